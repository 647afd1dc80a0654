#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Bits that change in the course of QAT: which epoch has which, what is deployed,
# and that a run that was stopped in any of them ends with the same bytes.
. "${0%/*}/functions.sh"
direct

base=(-o data.train_count=64 -o qat.epochs=5 -o qat.batches=0 -o run.keep=99 -o checkpoint.batches=1
  -o qconfig.weight.fakequant=lsq -o qconfig.activation.fakequant=lsq -o qat.bn_reestimate=1 -o qat.ema=0.5
  -o qat.oscillation.freeze=0.3 -o qat.freeze_observers_after=2)
lists=(-o qconfig.weight.bits=8,5,3 -o qconfig.activation.bits=8,6)

# bits NODES: what "inspect" says of them in "out"
bits () {
  sed -n 's/.*"name":"\([^"]*\)".*"weight_bits":\([0-9]*\),"value_bits":\([0-9]*\).*/\1 \2 \3/p' out | grep -E "^($1) "
}

expect 0 train tiny.ini "${base[@]}" --output float
base+=(-o model.weights=float/weights.safetensors)

# ---- which epochs: as many each, or as told; the last numbers are deployed
expect 0 qat tiny.ini "${base[@]}" "${lists[@]}" --output whole
says "epoch 2: number 2 of the 3 of bits in [qconfig]"
says "epoch 4: number 3 of the 3 of bits in [qconfig]"
[ "$(grep -c 'of bits in' err)" = 2 ] || failed "expected two changes of bits"
expect 0 verify whole --backend reference,fbgemm
prints "0 differ"
[ "$(sed -n 's/.*"best_epoch":\([0-9]*\).*/\1/p' whole/log.jsonl | tail -n 1)" -ge 3 ] \
  || failed "the best epoch has not the bits that are deployed"
expect 0 inspect tiny.ini "${base[@]}" "${lists[@]}" --json
[ "$(bits 'conv2')" = "conv2 3 6" ] || failed "inspect does not show the last numbers"
expect 0 qat tiny.ini "${base[@]}" "${lists[@]}" -o qat.bits_epochs=1,1 --output told
says "epoch 2: number 2 of the 3"
says "epoch 3: number 3 of the 3"

# ---- stopped anywhere, resumed
ls whole/checkpoints > all
[ "$(wc -l < all)" = 6 ] || failed "other checkpoints than of the beginning and each epoch: $(cat all)"
for keep in 1 2 3 4 5; do
  rm -rf part
  cp -r whole part
  for f in $(ls part/checkpoints | tail -n +$((keep + 1))); do rm part/checkpoints/"$f"; done
  # stopped again after the bits have changed, before a step
  [ $keep = 5 ] || expect 130 qat tiny.ini "${base[@]}" "${lists[@]}" --output part --resume -o run.max_minutes=0.0000001
  expect 0 qat tiny.ini "${base[@]}" "${lists[@]}" --output part --resume
  for f in model-int8 best; do same whole/$f.safetensors part/$f.safetensors; done
  same "$(ls whole/checkpoints/* | tail -n 1)" "$(ls part/checkpoints/* | tail -n 1)"
done

# ---- stopped within an epoch
for line in 'number 2 of the 3' 'number 3 of the 3' 'epoch 1: int8'; do
  rm -rf part part.err # or what the one before said is read
  $QATKIT qat tiny.ini "${base[@]}" "${lists[@]}" --output part > part.out 2> part.err &
  pid=$!
  while kill -0 $pid 2> /dev/null && ! grep -qs "$line" part.err; do sleep 0.005; done
  kill -TERM $pid 2> /dev/null || true
  wait $pid || true
  for c in part/checkpoints/*; do
    expect 0 verify "$c"
    prints "0 differ"
  done
  expect 0 qat tiny.ini "${base[@]}" "${lists[@]}" --output part --resume
  for f in model-int8 best; do same whole/$f.safetensors part/$f.safetensors; done
done

# ---- checkpoints of every phase: they stand for the bits they were trained with
for c in whole/checkpoints/*; do
  expect 0 verify "$c"
  prints "0 differ"
  expect 0 analyze -q "$c" --samples 8 --json -
done

# ---- other fake-quantizers and observers
expect 0 qat tiny.ini "${base[@]}" "${lists[@]}" -o qat.epochs=3 -o qconfig.weight.fakequant=dorefa \
  -o qconfig.activation.fakequant=pact -o qconfig.weight.observer=percentile \
  -o qconfig.activation.observer=mse --output others
expect 0 verify others
prints "0 differ"

# ---- a part of the network, and a preset: inner layers go down to its number
expect 0 qat tiny.ini "${base[@]}" -o qat.epochs=2 -o 'qconfig conv2.weight.bits=6,2' --output some
says "epoch 2: number 2 of the 2"
expect 0 verify some
prints "0 differ"
preset=(-o qconfig.preset=w3a3-papers -o qconfig.weight.bits=8,5,3 -o qconfig.activation.bits=8,3)
expect 0 inspect tiny.ini "${base[@]}" "${preset[@]}" --json
[ "$(bits 'conv1|conv2' | tr '\n' ' ')" = "conv1 8 3 conv2 3 3 " ] || failed "other bits of the preset"
expect 0 qat tiny.ini "${base[@]}" "${preset[@]}" --output preset
expect 0 verify preset
prints "0 differ"
# what is calibrated only has the last numbers
expect 0 ptq tiny.ini "${base[@]}" -o qconfig.weight.bits=8,3 --output ptq-list
expect 0 ptq tiny.ini "${base[@]}" -o qconfig.weight.bits=3 --output ptq-one
grep '"event":"eval"' ptq-list/log.jsonl > list.evals
grep '"event":"eval"' ptq-one/log.jsonl > one.evals
same list.evals one.evals

# ---- what cannot be is said before anything is trained
refused () { # refused TEXT OPTION…
  local text=$1
  shift
  expect 1 qat tiny.ini "${base[@]}" --output no "$@"
  says "$text"
  [ ! -e no/checkpoints ] || failed "training began"
}
refused "[qconfig] weight.bits: expected comma separated numbers, each in 2..8, got '8,9'" -o qconfig.weight.bits=8,9
refused "weight.bits is 4.5, expected a whole number, 2 to 8" -o qconfig.weight.bits=8,4.5
refused "activation.bits is 0, expected a whole number, 2 to 8" -o qconfig.activation.bits=8,0
refused "has 8 numbers, expected at most 7" -o qconfig.weight.bits=8,8,8,8,8,8,8,8
refused "2 epochs, expected more than the 2 before the last of 3 numbers" "${lists[@]}" -o qat.epochs=2
refused "5 epochs, expected more than the 6 before the last of 3 numbers" "${lists[@]}" -o qat.bits_epochs=3,3
refused "has 1 numbers, expected 2" "${lists[@]}" -o qat.bits_epochs=3
refused "has 1 numbers, expected 0" -o qat.bits_epochs=3
refused "expected whole numbers of epochs, got 1.5" "${lists[@]}" -o qat.bits_epochs=1,1.5
refused "ends with 4, expected 3" -o qconfig.preset=w3a3-papers -o qconfig.weight.bits=8,4
refused "a fixed scale is for one number of bits" -o qconfig.weight.bits=8,4 \
  -o qconfig.weight.fakequant=fixed -o qconfig.weight.fakequant.scale=0.05
expect 1 tune tiny.ini "${base[@]}" -o qconfig.weight.bits=8,4 --output no
says "expected one number: tune chooses bits itself"
exit 0
