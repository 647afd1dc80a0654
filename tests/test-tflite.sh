#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qatkit export --tflite: a reader of its own finds the model's grids, weights and
# biases in the file, and computes it with TFLite's roundings and with ours;
# where there is LiteRT (npm package @litertjs/core), it does too.
. "${0%/*}/functions.sh"
python_with numpy
checks=$srcdir/tests/tflite_check.py
check () { # WHAT ARGUMENT…
  "$python" "$checks" "$@" > out 2> err \
    || failed "tflite_check.py $*: $(tail -n 1 err)"
  cat out
}
# litert FILE X.npy Y.npz: LiteRT gives Y.npz, within a step on 99 %
litert () {
  local status
  type node > /dev/null 2>&1 || { echo "no LiteRT"; return; }
  check inputs "$1" "$2" samples
  node "$srcdir/tests/bench/litert-infer.js" "$1" samples given > out 2> err
  status=$?
  [ $status != 77 ] || { echo "no LiteRT"; return; }
  [ $status = 0 ] || failed "LiteRT cannot run $1"
  check outputs "$1" given "$3"
}
# samples FILE SHAPE…: normal random numbers
samples () {
  "$python" - "$@" <<'END2'
import sys, numpy
r = numpy.random.default_rng(1)
numpy.save(sys.argv[1], r.normal(size=[int(a) for a in sys.argv[2:]])
           .astype(numpy.float32))
END2
}
# real MODEL FILE: samples of the data that it was made with
real () {
  "$builddir/run" "$builddir/tests/check_logits" "$1" reals logits > out 2> err \
    || failed "check_logits $1"
  "$python" - 2> err <<END2 || failed "samples of $1"
import numpy
n, c, h, w = ($(cut -d ' ' -f 1-4 out | tr ' ' ,))
x = numpy.fromfile("reals", numpy.float32).reshape(n, c, h, w)
numpy.save("$2", x[:32])
END2
}
# agrees FORMS MODEL X.npy [NAME…]: in each of the forms; NAMEs are not our bytes
agrees () {
  local forms=$1 model=$2 x=$3 io
  shift 3
  expect 0 predict "$model" "$x" --output y.npz
  for io in $forms; do
    expect 0 export "$model" --tflite net.tflite --io "$io"
    check model "$model" net.tflite "$x" y.npz "$@"
  done
  expect 0 export "$model" --tflite net.tflite
  litert net.tflite "$x" y.npz
}

# ---- what goes with it, and what does not ----------------------------------------
expect 0 run tiny.ini --quiet
model=run/model-int8.safetensors
expect 2 export $model
expect 2 export $model --tflite x.tflite --onnx x.onnx
says "--onnx, --tflite and --c are several exports, expected one"
expect 2 export $model --tflite x.tflite --form qdq
says "--form and --weights are for --onnx"
expect 2 export $model x --tflite x.tflite
says "one model expected with --tflite, got 2"
expect 1 export tiny.ini --tflite x.tflite
says "tiny.ini: is a configuration, expected an int8 model"
expect 1 export $model --tflite x.tflite --io int16
says "--io: [export] io: expected one of float, uint8, int8, got 'int16'"
expect 1 export $model --tflite x.tflite -o run.seed=1
says "-o changes nothing of the model"
expect 1 eval tiny.ini -o model.weights=x.tflite
says "x.tflite"
[ ! -e x.tflite ] || failed "a failed export leaves a file"

# ---- trained: outputs that stay real, 8 bits and 7, weights per tensor -------------
real $model x.npy
agrees 'int8 float' $model x.npy
expect 0 export $model --tflite again.tflite
same again.tflite net.tflite
for o in "qconfig.activation.bits=7 qconfig.weight.per_channel=no" \
  "qconfig.activation.bits=8 qconfig.weight.per_channel=yes"; do
  # shellcheck disable=SC2086
  expect 0 ptq tiny.ini --quiet --output ptq -o model.weights=run/weights.safetensors \
    -o qat.quantize_outputs=yes -o ${o/ / -o }
  agrees int8 ptq/model-ptq.safetensors x.npy
done
# the names of the categories
grep -qa qatkit.classes net.tflite || failed "no names of categories"

# a damaged model is an error, and no file
head -c 3000 $model > bad.safetensors
expect 1 export bad.safetensors --tflite x.tflite
[ ! -e x.tflite ] || failed "a failed export leaves a file"

# ---- each operator -------------------------------------------------------------------
if [ ! -e "$builddir/stage/models/onnx.so" ] \
    || ! "$python" -c 'import onnx' 2> /dev/null; then
  echo "no ONNX: only these networks are tested"
  exit 0
fi
"$python" "$srcdir/tests/tflite_nets.py" . 2> err || failed "tflite_nets.py"
samples x.npy 16 8 10 9
# quantized NAME OUTPUT SIZE CHANNELS [KEY…]
quantized () {
  printf '%s\n' "[run]" "output = $1" "[model]" "arch = onnx" "file = $1.onnx" \
    "[data]" "dataset = random" "size = $3" "channels = $4" "classes = 10" \
    "count = 16" "batch = 8" "eval_batch = 8" "[loss]" "name = distillation" \
    "measure = mse" "output = $2" "[metric]" "name = sqnr" "output = $2" \
    "[ptq]" "batches = 2" "[qat]" "quantize_outputs = yes" > net.ini
  expect 0 ptq net.ini --quiet -o qconfig.activation.bits=8
}
quantized each conv_same 10x9 8
# TFLite has its own grids for some, and other arithmetic
agrees uint8 each/model-ptq.safetensors x.npy sigmoid tanh silu softmax prelu
quantized more add 10x9 8
agrees float more/model-ptq.safetensors x.npy linear linear_corners
samples x.npy 16 3 16 16
quantized branch y 16 3
# its hard sigmoids are lines, of which single values lie next to a tie
agrees int8 branch/model-ptq.safetensors x.npy y

# ---- refused, by node and operator ---------------------------------------------------
refused () { # NAME OUTPUT TEXT
  quantized "$1" "$2" 10x9 8
  expect 1 export "$1/model-ptq.safetensors" --tflite x.tflite
  says "node '$2': TFLite has no counterpart here for layer $3"
  [ ! -e x.tflite ] || failed "a failed export leaves a file"
}
refused div quotient "'div' (operator binary): it has no division of integers"
refused sum total "'reduce' (operator reduce): its sums of integers do not saturate"
refused lrn normalised "'lrn' (operator lrn)"
expect 0 ptq tiny.ini --quiet --output mixed -o 'qconfig conv2.quantize=no'
expect 1 export mixed/model-ptq.safetensors --tflite x.tflite
says "(operator of real numbers): it was not quantized"

# ---- the networks that people have; minutes -------------------------------------------
[ "${QATKIT_TEST_LONG:-0}" = 1 ] || exit 0
expect 0 run --quiet --output story
real story/model-int8.safetensors x.npy
expect 0 predict story/model-int8.safetensors x.npy --output y.npz
expect 0 export story/model-int8.safetensors --tflite net.tflite --io int8
check deep story/model-int8.safetensors net.tflite x.npy y.npz
exit 0
