#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# NaN and infinity stop the work with the name of the layer; what was written
# before stays as it was.
. "${0%/*}/functions.sh"

# a learning rate that throws the numbers out
expect 1 run tiny.ini -o "train optimizer.lr=1000000"
says "train 1/1"
says "NaN or infinity"
grep -qE "'(conv|bn|relu|fc|avgpool)[0-9]*[.a-z_:]*'" err || failed "no layer is named"
[ ! -e run/model-int8.safetensors ] || failed "a model was written"
[ ! -e run/weights.safetensors ] || failed "weights were written"

expect 0 train tiny.ini --output float
w=float/weights.safetensors

# the same in QAT: the run before is not harmed
expect 0 qat tiny.ini -o model.weights=$w
cp run/model-int8.safetensors run/best.safetensors .
expect 1 qat tiny.ini -o model.weights=$w -o optimizer.lr=1000000 \
  -o optimizer.weight_decay=1000 -o qat.batches=4
says "qat "
grep -qE "'(conv|bn|relu|fc|avgpool)[0-9]*[.a-z_:]*'" err || failed "no layer is named"
same model-int8.safetensors run/model-int8.safetensors
same best.safetensors run/best.safetensors

# weights that hold NaN or infinity
nan='\x00\x00\xc0\x7f' inf='\x00\x00\x80\x7f'
# poison TENSOR BYTES LAYER: every command that uses the weights stops
poison () {
  cp $w bad.safetensors
  patch bad.safetensors "$(data_offset $w "$1")" "$2"
  for c in eval ptq qat; do
    expect 1 $c tiny.ini -o model.weights=bad.safetensors -o run.output=poisoned
    says "$3"
    grep -qiE "nan|inf" err || failed "NaN is not mentioned"
  done
  expect 1 run tiny.ini -o train.epochs=0 -o model.weights=bad.safetensors --output poisoned
  says "$3"
  [ ! -e poisoned/model-int8.safetensors ] || failed "a model was written"
  [ ! -e poisoned/model-ptq.safetensors ] || failed "a model was written"
}
poison conv2.weight "$nan" "conv2"
poison bn1.running_mean "$inf" "bn1"
poison fc.bias "$nan" "fc"
exit 0
