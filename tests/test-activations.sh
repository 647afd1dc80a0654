#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Networks with each activation, with squeeze and excitation, with functions of
# two tensors, and with attention and all normalisations: trained, quantized, and the int8 network gives
# training's bytes on every backend that promises them.
. "${0%/*}/functions.sh"

# in a plugin folder: models and checkpoints choose no code outside of those
mkdir -p own/models
ln -s "$testplugins/tp_every_layer.so" "$testplugins/tp_transformer.so" \
  own/models/
export QATKIT_PLUGIN_PATH="${QATKIT_PLUGIN_PATH:+$QATKIT_PLUGIN_PATH:}$tmp/own"

own=reference,qnnpack
case $(uname -m) in x86_64 | i?86) own=$own,fbgemm ;; esac

# check FOLDER OPTION…: a run, and verify
check () {
  local folder=$1 backend
  shift
  expect 0 run "${ini-tiny.ini}" --output "$folder" --quiet "$@"
  expect 0 verify "$folder" --quiet --backend "$own"
  for backend in ${own//,/ }; do
    prints "$backend: 0 differing bytes"
  done
}

for layer in hardswish hardsigmoid sigmoid silu tanh gelu elu leaky_relu; do
  check "$layer" -o model.activation=$layer
  expect 0 inspect "$layer/model-int8.safetensors"
  grep -q "^act1 .*\btable\b" out || failed "$layer is no table"
  ! grep -q float32 out || failed "$layer: nodes in float"
done
check attend -o model.activation=hardswish -o model.squeeze_excitation=yes
expect 0 inspect attend/model-int8.safetensors
grep -q "^se1.mul .*\bmul\b" out || failed "no mul"
# fake-quantizers and observers that look at all numbers, and 7 bits
check lsq -o model.activation=silu -o qconfig.activation.fakequant=lsq
check histogram -o model.activation=gelu \
  -o qconfig.activation.observer=histogram -o qconfig.activation.bits=7

# an activation left in float between int8 nodes
check mixed -o model.activation=silu -o 'qconfig act2.quantize=no'
# every layer there is
sed '/^channels/d; /^depth/d; s/^lr = 0.05/lr = 0.02/' tiny.ini > every.ini
ini=every.ini check every -o model.arch=tp_every_layer
# attention and normalisations
ini=every.ini check transformer -o model.arch=tp_transformer
expect 0 inspect transformer/model-int8.safetensors
for layer in "scores .*matmul" "weights .*softmax" "norm1 .*norm" \
  "response .*lrn" "mixed .*matmul"; do
  grep -q "^$layer" out || failed "no $layer"
done
! grep -q float32 out || failed "transformer: nodes in float"
ini=every.ini check transformer-heads -o model.arch=tp_transformer \
  -o model.heads=yes -o model.softmax=yes
ini=every.ini check transformer-lsq -o model.arch=tp_transformer \
  -o qconfig.activation.fakequant=lsq -o qat.quantize_outputs=yes
ini=every.ini check transformer-mixed -o model.arch=tp_transformer \
  -o qconfig.activation.bits=7 -o qconfig.activation.observer=histogram \
  -o 'qconfig weights.quantize=no' -o 'qconfig norm2.quantize=no' \
  -o 'qconfig response.quantize=no'
cp transformer/model-int8.safetensors was
expect 0 convert transformer
same was transformer/model-int8.safetensors

# the same network, loaded from its file, is the same file again
expect 0 convert attend
cp attend/model-int8.safetensors was
expect 0 convert attend
same was attend/model-int8.safetensors

# two runs, same bytes
mv silu first
expect 0 run tiny.ini --output silu --quiet -o model.activation=silu
same first/model-int8.safetensors silu/model-int8.safetensors
exit 0
