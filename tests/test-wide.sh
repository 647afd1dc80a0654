#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Activations of more than 8 bits: trained, converted and computed the same, byte
# for byte; what has no form of them stays in float or is refused with words.
. "${0%/*}/functions.sh"

# proof NAME ARGUMENT…: QAT with the arguments, then verify
proof () {
  local name=$1
  shift
  expect 0 qat -q net.ini --output "$name" "$@"
  expect 0 verify -q "$name" --backend reference,fbgemm
  [ "$(grep -c ': 0 differing bytes of [1-9]' out)" = 2 ] || failed "$name differs"
}
# network LINE…: net.ini with this [model], trained a little
network () {
  sed '/^channels/d; /^depth/d; /^arch/d' tiny.ini > x
  awk -v lines="$(printf '%s\n' "$@")" '{ print } /^.model/ { print lines }' x \
    > net.ini
  expect 0 train -q net.ini --output float
  cp float/weights.safetensors w.safetensors
  sed -i 's/^.model.*/&\nweights = w.safetensors/' net.ini
}

# depthwise convolutions, sums and an average, which has 8 bits at most
network "arch = mobilenet_v2" "width = 0.1" "dropout = 0"
proof all -o qconfig.activation.bits=16
expect 0 inspect all/model-int8.safetensors --json
grep -q '"int8":false' out || failed "the average is not float"
expect 0 inspect net.ini -o qconfig.activation.bits=16
prints "its int8 operation is of 8 bits at most"
expect 1 qat -q net.ini -o qconfig.activation.bits=16 -o qat.strict=yes
says "its int8 operation is of 8 bits at most"
proof batch -o qconfig.activation.bits=16 -o qat.freeze_bn_after=9 \
  -o qat.freeze_observers_after=9
proof learned -o qconfig.activation.bits=12 -o qconfig.activation.fakequant=lsq \
  -o qconfig.activation.observer=histogram -o qconfig.weight.bits=4

# some nodes, by name, between nodes of 8 bits; dropout, flatten and linear layers
network "arch = lenet"
proof some -o qconfig.activation.bits=8 -o "qconfig conv2.activation.bits=16" \
  -o "qconfig fc1.activation.bits=9" -o qat.quantize_outputs=yes
proof input -o qconfig.activation.bits=8 -o "qconfig image.activation.bits=16"
proof strict -o qconfig.activation.bits=16 -o qat.strict=yes -o qat.quantize_outputs=yes

# with any number of threads
for threads in 1 3; do
  expect 0 verify -q strict --backend reference,fbgemm -o run.threads=$threads
  [ "$(grep -c ': 0 differing bytes of [1-9]' out)" = 2 ] || failed "threads matter"
done

# after training, with every observer that values have
for observer in minmax histogram mse kl percentile; do
  expect 0 ptq -q net.ini --output "ptq-$observer" -o qconfig.activation.bits=16 \
    -o ptq.activation.observer=$observer
done

# block by block, from values that are kept
expect 0 ptq -q net.ini --output ptq-blocks -o qconfig.activation.bits=16 \
  -o qconfig.weight.bits=4 -o ptq.methods=reconstruct -o ptq.reconstruct.iterations=20 \
  -o ptq.reconstruct.batch=8

# files: of a format of their own, whole again once read
header_of strict/model-int8.safetensors | grep -q '"qatkit.model": *"1.2"' \
  || failed "not of format 1.2"
header_of ptq-minmax/model-ptq.safetensors | grep -q '"qatkit.model": *"1.2"' \
  || failed "not of format 1.2"
expect 0 qat -q net.ini --output eight -o qconfig.activation.bits=8
header_of eight/model-int8.safetensors | grep -q '"qatkit.model": *"1.[01]"' \
  || failed "8 bits are not what older programs read"
expect 0 eval strict/model-int8.safetensors

# other programs have none of it: refused with the value's name, nothing written
for format in tflite onnx c; do
  expect 1 export strict/model-int8.safetensors --$format out-$format
  says "'image' has more than 8 bits"
  says "activation.bits = 8 in [qconfig image]"
  [ ! -e out-$format ] || failed "$format was written"
done
expect 1 ptq net.ini -o qconfig.activation.bits=16 -o ptq.mode=dynamic
says "activation.bits is 16, expected 8 or fewer"

# a backend without them leaves such nodes to the fallback, and says so
expect 0 verify strict --backend qnnpack
says "values of more than 8 bits"
prints "qnnpack: 0 differing bytes of"
