#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whatever can be configured about quantization trains, converts, and computes
# in int8 what was trained, byte for byte, on both backends.
. "${0%/*}/functions.sh"

# proof NAME ARGUMENT…: QAT with the arguments, then verify
proof () {
  local name=$1
  shift
  expect 0 qat -q "$ini" --output "$name" "$@"
  expect 0 verify -q "$name" --backend reference,fbgemm
  [ "$(grep -c ': 0 differing bytes of [1-9]' out)" = 2 ] || failed "$name differs"
}
# network LINE…: $ini with this [model], trained a little
network () {
  ini=net.ini
  sed '/^channels/d; /^depth/d; /^arch/d' tiny.ini > x
  awk -v lines="$(printf '%s\n' "$@")" '{ print } /^.model/ { print lines }' x \
    > $ini
  expect 0 train -q $ini --output float
  cp float/weights.safetensors w.safetensors
  sed -i 's/^.model.*/&\nweights = w.safetensors/' $ini
}
network "arch = cnn" "channels = 8" "depth = 3"

# one layer otherwise
proof bits4 -o "qconfig conv2.weight.bits=4"
expect 0 inspect bits4/model-int8.safetensors
proof bits2 -o "qconfig.weight.bits=2" -o qconfig.activation.bits=3
# ends NAME BITS: the lowest and the highest integer that the weights of conv2
# hold, which are packed
ends () {
  python3 - "$1/model-int8.safetensors" "$2" <<'END'
import json, struct, sys
data, bits = open (sys.argv[1], "rb").read (), int (sys.argv[2])
n = struct.unpack ("<Q", data[:8])[0]
first, last = json.loads (data[8:8 + n])["conv2.weight.i%d" % bits]["data_offsets"]
stream = int.from_bytes (data[8 + n + first:8 + n + last], "little")
x = [stream >> i & (1 << bits) - 1 for i in range (0, 8 * (last - first) // bits * bits, bits)]
x = [v - (v >> bits - 1 << bits) for v in x]
print (min (x), max (x))
END
}
for fakequant in affine lsq dorefa normalized; do
  proof "ternary-$fakequant" -o qconfig.weight.bits=2 -o qconfig.weight.narrow=yes \
    -o "qconfig.weight.fakequant=$fakequant"
  ! type python3 > /dev/null 2>&1 || [ "$(ends "ternary-$fakequant" 2)" = "-1 1" ] \
    || failed "$fakequant: ternary weights are $(ends "ternary-$fakequant" 2)"
done
proof narrow -o qconfig.weight.bits=4 -o qconfig.weight.narrow=yes
! type python3 > /dev/null 2>&1 || [ "$(ends narrow 4)" = "-7 7" ] \
  || failed "narrow weights of 4 bits are $(ends narrow 4)"
# weights of four bits that stay packed, for one row a sample: the same bytes
sed '/^channels\|^depth/d' tiny.ini > wide.ini
ini=wide.ini proof packed -o model.arch=mlp -o model.hidden=300,300 -o train.epochs=0 \
  -o qconfig.weight.bits=4
expect 0 inspect packed/model-int8.safetensors --backend fbgemm
[ "$(grep -c 'packed=4' out)" -ge 1 ] || failed "no layer keeps its weights packed"
proof mixed -o "qconfig conv2.quantize=no"
expect 0 inspect mixed/model-int8.safetensors --json
grep -q '"name":"conv2".*"int8":false' out || failed "conv2 is not float"
grep -q '"name":"conv3".*"int8":true' out || failed "conv3 is not int8"
proof first -o "qconfig conv1.quantize=no"
proof last -o "qconfig fc.quantize=no"
proof none -o "qconfig conv*.quantize=no" -o "qconfig fc.quantize=no"
expect 1 qat $ini -o "qconfig conv2.quantize=no" -o qat.strict=yes
says "'conv2'"
says "left in float by its qconfig"

# the network as a whole
proof logits -o qat.quantize_outputs=yes
proof strict -o qat.strict=yes
proof bits8 -o qconfig.activation.bits=8
proof bits7 -o qconfig.activation.bits=7
proof tensor -o qconfig.weight.per_channel=no -o qconfig.activation.observer=minmax \
  -o qconfig.weight.observer=minmax
proof histogram -o qconfig.activation.observer=histogram -o qat.freeze_observers_after=5 \
  -o qat.freeze_bn_after=5
proof lsqw -o qconfig.weight.fakequant=lsq
proof lsqa -o qconfig.activation.fakequant=lsq
proof lsq -o qconfig.weight.fakequant=lsq -o qconfig.activation.fakequant=lsq \
  -o qconfig.weight.bits=4
proof symmetric -o qconfig.activation.symmetric=yes -o qconfig.activation.bits=8
expect 0 inspect symmetric/model-int8.safetensors --json
grep -q '"zero_point":128' out || failed "no zero_point in the middle"
proof symmetric4 -o qconfig.activation.symmetric=yes -o qconfig.activation.bits=4 \
  -o qconfig.activation.fakequant=pact -o qconfig.weight.bits=5
expect 1 qat $ini -o qconfig.weight.symmetric=no
says "weight.symmetric is no, expected yes"
expect 1 ptq $ini -o qconfig.activation.symmetric=yes -o ptq.mode=dynamic
says "activation.symmetric is yes, expected no"

# every layer in a way of its own, by patterns of the file
cp $ini each.ini
cat >> each.ini << 'END'
[qconfig]
activation.bits = 8
weight.fakequant = lsq
[qconfig conv1]
activation.fakequant = pact
weight.bits = 6
[qconfig conv[23]]
weight.fakequant = dorefa
weight.bits = 3
weight.per_channel = no
[qconfig conv3]
activation.symmetric = yes
activation.observer = histogram
activation.bits = 5
[qconfig fc]
weight.observer = mse
weight.fakequant = affine
weight.bits = 2
END
ini=each.ini
proof each
ini=net.ini
QATKIT_CPU=avx2
export QATKIT_CPU
proof avx2 -o qconfig.activation.bits=8
unset QATKIT_CPU

# evaluation moves no observer: with more of it, the network is trained to the
# same numbers (of weights alone, so that each epoch evaluates with quantizers)
for n in 1 5; do
  expect 0 qat -q $ini --output eval$n -o qconfig.preset=weight_only \
    -o qat.freeze_bn_after=9 -o qat.freeze_observers_after=9 \
    -o data.eval_batch=10 -o data.eval_batches=$n
  last=$(ls eval$n/checkpoints/* | tail -1)
  # all of the checkpoint but the accuracies, run.*: NAME FROM TO in the file
  header_of "$last" | tr -d ' \n' \
    | grep -o '"[^"]*":{"dtype"[^}]*}' | grep -v '^"run\.' \
    | sed 's/^"\([^"]*\)".*\[\([0-9]*\),\([0-9]*\)\].*/\1 \2 \3/' > tensors
  while read -r name from to; do
    echo "$name $(tail -c +$((9 + $(header_size "$last") + from)) "$last" \
                  | head -c $((to - from)) | cksum)"
  done < tensors > eval$n.sums
done
grep -q 'observer' eval1.sums || failed "no observers in the last checkpoint"
same eval1.sums eval5.sums

# PTQ models compute the same on both backends
expect 0 ptq -q $ini --output ptq
expect 0 eval -q ptq/model-ptq.safetensors --json --backend reference
sed 's/"samples_per_second.*//' out > x
expect 0 eval -q ptq/model-ptq.safetensors --json --backend fbgemm
sed 's/"samples_per_second.*//' out | cmp x - || failed "PTQ differs between backends"

# networks with residual sums, pools, depthwise convolutions, ReLU6
sed -i 's/^val_count.*/val_count = 20/; s/^train_count.*/train_count = 64/' tiny.ini
network "arch = resnet18" "channels = 4"
proof resnet
expect 0 inspect resnet/model-int8.safetensors
prints " add "
proof resnet_lsq -o qconfig.activation.fakequant=lsq
proof resnet_mixed -o "qconfig *add.quantize=no" -o qat.quantize_outputs=yes \
  -o "qconfig *conv2.weight.bits=5"
network "arch = resnet18" "channels = 4" "input = large"
proof pool
expect 0 inspect pool/model-int8.safetensors
prints " maxpool2d "
network "arch = mobilenet_v2" "width = 0.1"
proof mobilenet
proof mobilenet_mixed -o "qconfig features.3.*:quantize=no"
expect 0 inspect mobilenet_mixed/model-int8.safetensors --json
grep -q '"name":"features.3.*"int8":false' out || failed "features.3 is not float"
exit 0
