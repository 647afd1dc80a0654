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
proof twelve -o qconfig.activation.bits=12
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

# formats that have none of it: refused with the value's name, nothing written
for format in tflite c; do
  expect 1 export strict/model-int8.safetensors --$format out-$format
  says "'image' has more than 8 bits"
  says "activation.bits = 8 in [qconfig image]"
  [ ! -e out-$format ] || failed "$format was written"
done

# ONNX has uint16 in its form of reals; what ONNX Runtime makes of the file is
# ours but for its sums, which are of floats
# onnx NETWORK MOST: within MOST of the logits' spread
onnx () {
  expect 0 export "$1/model-int8.safetensors" --onnx "$1.onnx"
  "$builddir/run" "$builddir/tests/check_logits" "$1/model-int8.safetensors" \
    samples logits > out 2> err || failed "check_logits $1"
  read -r _ c h w _ < out
  node "$srcdir/tests/bench/ort-infer.js" run "$1.onnx" "$c,$h,$w" samples ort \
    precise > out 2> err || failed "ONNX Runtime: $1"
  /usr/bin/python3 - "$2" > out 2> err <<'END' || failed "$1: $(cat out err)"
import sys, numpy
a, b = (numpy.fromfile(f, numpy.float32) for f in ("ort", "logits"))
print("largest difference", abs(a - b).max(), "spread", b.std())
assert a.size == b.size and b.std() > 0
assert abs(a - b).max() <= float(sys.argv[1]) * b.std()
END
}
if [ -e "$builddir/stage/formats/onnx.so" ]; then
  for option in '--form qoperator' '--io uint8' '--io int8'; do
    # shellcheck disable=SC2086
    expect 1 export strict/model-int8.safetensors --onnx x.onnx $option
    says "has more than 8 bits, which need the form qdq"
    [ ! -e x.onnx ] || failed "$option: a file was written"
  done
  if type node > /dev/null 2>&1 \
      && node -e 'require ("onnxruntime-node")' 2> /dev/null \
      && /usr/bin/python3 -c 'import numpy' 2> /dev/null; then
    # a step more or less now and then, of 16, 12, 9 and 8 bits
    onnx strict 0.001
    onnx input 0.001
    onnx all 0.005
    onnx twelve 0.01
    onnx some 0.05
  else
    echo "no ONNX Runtime: what is written is not computed"
    expect 0 export strict/model-int8.safetensors --onnx strict.onnx
  fi
fi
expect 1 ptq net.ini -o qconfig.activation.bits=16 -o ptq.mode=dynamic
says "activation.bits is 16, expected 8 or fewer"

# a backend without them leaves such nodes to the fallback, and says so
expect 0 verify strict --backend qnnpack
says "values of more than 8 bits"
prints "qnnpack: 0 differing bytes of"
