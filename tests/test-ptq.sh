#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Post-training methods, dynamic mode, presets, distillation and the ledger,
# as the program runs them.
. "${0%/*}/functions.sh"

expect 0 train -q tiny.ini --output float
cp float/weights.safetensors w.safetensors
sed 's/^.model.*/&\nweights = w.safetensors/' tiny.ini > net.ini

# value FILE.json KEY: of the last object that has it
top1 () { grep -o '"top1":[0-9.e-]*' out | tail -n 1; }

# methods: an int8 model that both backends run alike
methods="-o ptq.methods=equalize,adaround,bias_correction -o ptq.adaround.iterations=30
  -o ptq.adaround.samples=64 -o qconfig.weight.bits=3"
# shellcheck disable=SC2086
expect 0 ptq net.ini --output all $methods
says "equalize: "
says "adaround: 4 layers"
says "bias correction: "
for b in reference fbgemm; do
  expect 0 eval -q all/model-ptq.safetensors --json --backend $b
  top1 > $b
done
same reference fbgemm
# block by block: the same with any number of threads
rec="-o ptq.methods=reconstruct -o ptq.reconstruct.iterations=30 -o ptq.reconstruct.batch=8
  -o qconfig.weight.bits=4 -o qconfig.activation.bits=4"
# shellcheck disable=SC2086
expect 0 ptq net.ini --output rec $rec
says "reconstruct: 2 blocks of 4 layers"
# the model without the number of threads in its configuration
model () {
  LC_ALL=C sed 's/threads = [0-9]*//; s/"qatkit.checksum":"[0-9a-f]*"//' \
    rec/model-ptq.safetensors
}
model > two-threads
# shellcheck disable=SC2086
expect 0 ptq -q net.ini --output rec $rec -o run.threads=1
model > one-thread
same one-thread two-threads
for b in reference fbgemm; do
  expect 0 eval -q rec/model-ptq.safetensors --json --backend $b
  top1 > $b
done
same reference fbgemm
# twice the same
cp all/model-ptq.safetensors first.safetensors
# shellcheck disable=SC2086
expect 0 ptq -q net.ini --output all $methods
same first.safetensors all/model-ptq.safetensors
# a method that makes things worse is left out: one huge channel before ReLU6
if type python3 > /dev/null 2>&1; then
  expect 0 train -q tiny.ini --output relu6 -o model.activation=relu6
  python3 - relu6/weights.safetensors huge.safetensors <<'END'
import json, struct, sys
b = bytearray(open(sys.argv[1], "rb").read())
n = struct.unpack("<Q", b[:8])[0]
at = 8 + n + json.loads(b[8:8 + n])["bn1.weight"]["data_offsets"][0]
b[at:at + 4] = struct.pack("<f", 50 * struct.unpack("<f", b[at:at + 4])[0])
open(sys.argv[2], "wb").write(b)
END
  set -- -o model.activation=relu6 -o model.weights=huge.safetensors \
    -o qconfig.weight.per_channel=no
  expect 0 ptq -q tiny.ini --output without "$@"
  expect 0 ptq tiny.ini --output with -o ptq.methods=equalize "$@"
  says "PTQ: equalize makes this network worse and is left out"
  expect 0 eval -q without/model-ptq.safetensors --json
  top1 > without.top1
  expect 0 eval -q with/model-ptq.safetensors --json
  top1 > with.top1
  same without.top1 with.top1
fi
# QAT that begins with what methods leave, and one that does not; without steps
# it ends with it
set -- -o ptq.methods=equalize,bias_correction -o ptq.equalize.by=activations \
  -o qat.epochs=1 -o optimizer.lr=0 -o train.epochs=0
expect 0 run -q net.ini --output float-first "$@"
expect 0 run net.ini --output ptq-first "$@" -o qat.from_ptq=yes
says "equalize: 2 pairs"
expect 0 verify -q ptq-first
prints "0 differing bytes"
! cmp -s float-first/model-int8.safetensors ptq-first/model-int8.safetensors \
  || failed "QAT began with the float network"
expect 0 run -q net.ini --output ptq-first "$@" -o qat.from_ptq=yes --resume
expect 0 verify -q ptq-first
# the grids as well: without steps it is the network that calibration gave
for learned in no yes; do
  set -- -o ptq.methods=adaround -o ptq.adaround.iterations=30 -o ptq.adaround.samples=64 \
    -o qconfig.weight.bits=3 -o qat.epochs=1 -o qat.batches=1 -o qat.from_ptq=yes \
    -o qat.freeze_bn_after=-1 -o optimizer.lr=0 -o qat.freeze_observers_after=-1
  [ $learned = no ] || set -- "$@" -o qconfig.weight.fakequant=lsq -o qconfig.activation.fakequant=lsq
  expect 0 run -q net.ini --output carried "$@" -o train.epochs=0
  expect 0 verify -q carried
  for part in ptq int8; do
    expect 0 eval -q carried/model-$part.safetensors --json
    grep -o '"loss":[0-9.e-]*' out | tail -n 1 > $part.loss
  done
  [ -s ptq.loss ] || failed "no loss"
  same ptq.loss int8.loss
done
# (with weights of these few bits the method is not left out, on any CPU)
expect 1 run tiny.ini --output no -o model.activation=relu6 -o ptq.methods=equalize \
  -o qat.from_ptq=yes -o qconfig.weight.per_channel=no -o qconfig.weight.bits=4
says "from_ptq"
says "QAT cannot begin with that"
expect 1 ptq net.ini -o ptq.methods=adarond
says "did you mean 'adaround'"

# dynamic: the linear layer alone; read back and run by any backend
expect 0 ptq net.ini --output dynamic -o ptq.mode=dynamic
says "dynamic: fc ("
says "backend 'reference'"
expect 0 inspect dynamic/model-ptq.safetensors
prints " linear_dynamic "
expect 0 eval -q net.ini --json
top1 > float.top1
expect 0 eval -q dynamic/model-ptq.safetensors --json --backend fbgemm
[ -n "$(top1)" ] || failed "no accuracy"

# weights or values alone: no int8 model of weights alone
expect 0 ptq net.ini --output weights -o qconfig.preset=weight_only
prints "PTQ fake-quantized"
[ ! -e weights/model-ptq.safetensors ] || failed "a model of weights alone"
expect 0 qat net.ini --output weights -o qconfig.preset=weight_only
prints "best fake-quantized network"
! grep -q "int8" out || failed "there is no int8 network"
[ ! -e weights/model-int8.safetensors ] || failed "a model of weights alone"
expect 1 verify weights/best.safetensors
says "no int8 form"
expect 0 qat -q net.ini --output values -o qconfig.preset=activation_only
expect 0 verify -q values --backend reference,fbgemm
[ "$(grep -c ': 0 differing bytes of [1-9]' out)" = 2 ] || failed "values alone differ"

# the ledger, before anything is trained
expect 0 inspect net.ini
prints "100.0 % of MACs"
expect 0 inspect net.ini -o 'qconfig fc.quantize=no' -o 'qconfig conv2.preset=weight_only'
prints "float: fc (left in float by its qconfig; "
prints "weights only: conv2 (only weights are quantized; "
expect 0 inspect net.ini --json
grep -q '"name":"conv1".*"as":"int8".*"share":' out || failed "ledger in JSON"
expect 0 inspect net.ini -o qat.epochs=0 -o ptq.mode=dynamic
prints "dynamic: fc ("
expect 0 qat net.ini --output ledger -o 'qconfig fc.quantize=no'
says "QAT: "
says "float: fc (left in float by its qconfig; "
grep -q '"event":"node".*"node":"fc".*"as":"float"' ledger/log.jsonl \
  || grep -q '"node":"fc".*"as":"float"' ledger/log.jsonl || failed "no ledger in the log"
expect 0 qat -v net.ini --output ledger
says "QAT: fc (linear) int8"

# outputs on a grid: ties are counted and told
expect 0 qat net.ini --output ties -o qat.quantize_outputs=yes -o qconfig.activation.bits=2
grep -q '"event":"eval".*"ties1":[1-9]' ties/log.jsonl || failed "no ties in the log"
expect 0 eval -q ties/model-int8.safetensors --json
grep -q '"ties1":[1-9]' out || failed "no ties in JSON"

# distillation: changes what is trained, repeats, resumes, verifies
set -- -o loss.weight=0.5 -o "loss distillation.weight=0.5" \
  -o "loss distillation.temperature=3" -o qat.epochs=3
expect 0 qat -q net.ini --output plain -o qat.epochs=3
expect 0 qat -q net.ini --output whole "$@"
tail -c 1000 plain/model-int8.safetensors > x
tail -c 1000 whole/model-int8.safetensors > y
cmp -s x y && failed "the teacher teaches nothing"
expect 0 verify -q whole
cp -r whole kept
expect 0 qat -q net.ini --output whole "$@"
same kept/model-int8.safetensors whole/model-int8.safetensors
# back to the checkpoint before the last
rm "$(ls whole/checkpoints/*.safetensors | tail -n 1)"
rm whole/model-int8.safetensors
expect 0 qat -q net.ini --output whole --resume "$@"
same kept/best.safetensors whole/best.safetensors
expect 1 qat net.ini -o "loss distillation.name=distilation"
says "did you mean 'distillation'"

# distillation after float training: the teacher is the trained network
expect 0 run -q tiny.ini --output run "$@"
expect 0 verify -q run
exit 0
