#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qatkit convert; networks as ONNX files and back; where Python has onnx, what
# is written is checked by ONNX's own checker and computed with numpy; where
# there is ONNX Runtime, by it too.
. "${0%/*}/functions.sh"

# ---- convert: the same bytes the run has written -----------------------------
# in a plugin folder: models and checkpoints choose no code outside of those
mkdir -p own/models
ln -s "$testplugins/tp_every_layer.so" "$testplugins/tp_transformer.so" \
  "$testplugins/tp_answers.so" own/models/
export QATKIT_PLUGIN_PATH="${QATKIT_PLUGIN_PATH:+$QATKIT_PLUGIN_PATH:}$tmp/own"
every=model.arch=tp_every_layer
run () { # FOLDER [OPTION]…
  local folder=$1
  shift
  expect 0 run tiny.ini --output "$folder" --quiet "$@"
}
sed -i '/^channels/d; /^depth/d; s/^lr = 0.05/lr = 0.02/' tiny.ini
run run -o "$every"
mv run/model-int8.safetensors was.safetensors
expect 0 convert run
says "run/model-int8.safetensors written from run/best.safetensors"
same was.safetensors run/model-int8.safetensors
rm run/model-int8.safetensors
expect 0 convert tiny.ini -o "$every"
same was.safetensors run/model-int8.safetensors
mkdir apart && mv run/best.safetensors run/spare apart
expect 0 convert run
says "written from run/checkpoints/"
mv apart/* run
cp was.safetensors run/model-int8.safetensors
expect 0 verify run --quiet

expect 1 convert no-such-folder
says "cannot find 'no-such-folder'"
expect 1 convert tiny.ini -o run.output=elsewhere
says "cannot find 'elsewhere'"
mkdir empty
expect 1 convert empty
says "'empty' has no best.safetensors and no checkpoint"
[ ! -e empty/checkpoints ] || failed "convert makes folders"
expect 1 convert run/best.safetensors
says "neither a folder nor a configuration"
expect 0 train tiny.ini --output float --quiet -o "$every"
expect 1 convert float
says "float network, from before quantization-aware training"
expect 2 convert

# ---- ONNX ----------------------------------------------------------------------
expect 2 export run/model-int8.safetensors
says "exported with --onnx"
expect 2 export tiny.ini x.onnx
says "--onnx x.onnx"
expect 2 export tiny.ini folder --onnx x.onnx
expect 1 export no-such.safetensors --onnx x.onnx
says "no-such.safetensors"
expect 1 export run/best.safetensors --onnx x.onnx
says "not an int8 model"
[ ! -e x.onnx ] || failed "a failed export leaves a file"

if [ ! -e "$builddir/stage/formats/onnx.so" ]; then
  expect 1 export run/model-int8.safetensors --onnx x.onnx
  says "no format plugin 'onnx'"
  echo "built without ONNX: the rest is not tested"
  exit 0
fi

float="-o $every -o model.weights=float/weights.safetensors"
# shellcheck disable=SC2086
expect 0 export tiny.ini $float --onnx float.onnx
expect 0 export run/model-int8.safetensors --onnx int8.onnx
expect 0 export tiny.ini -o "$every" --onnx random.onnx
says "no weights are given"
expect 1 export run/model-int8.safetensors --onnx x.onnx -o run.seed=1
says "-o changes nothing of the model"

# the weights come back, bit for bit
# shellcheck disable=SC2086
expect 0 eval tiny.ini $float --json
grep -o '"loss":[^,]*' out > want
expect 0 eval tiny.ini -o "$every" -o model.weights=float.onnx --json
grep -o '"loss":[^,]*' out > got
same want got
# factors of channels as (C,1,1), and what stands for factors of groups
answers=model.arch=tp_answers
expect 0 train tiny.ini --output answers --quiet -o "$answers"
expect 0 eval tiny.ini -o "$answers" -o model.weights=answers/weights.safetensors --json
grep -o '"loss":[^,]*' out > want
expect 0 export tiny.ini -o "$answers" -o model.weights=answers/weights.safetensors \
  --onnx answers.onnx
expect 0 eval tiny.ini -o "$answers" -o model.weights=answers.onnx --json
grep -o '"loss":[^,]*' out > got
same want got
# and the network too
expect 0 inspect float.onnx
grep -qE '^depthwise/out[^ ]* +conv2d +int8' out || failed "no convolution"
prints "100.0 % of MACs"
expect 1 eval tiny.ini -o "$every" -o model.weights=int8.onnx
says "not of this network"
says "missing: stem_bn.running_var"
head -c 2000 float.onnx > bad.onnx
expect 1 eval tiny.ini -o "$every" -o model.weights=bad.onnx
says "bad.onnx: not an ONNX file, or damaged"
expect 1 export tiny.ini -o "$every" --onnx /dev/null/x.onnx

python=/usr/bin/python3
$python -c 'import onnx, numpy' 2> /dev/null || {
  echo "no Python with onnx and numpy: the networks are not computed"
  exit 0
}

# compute NETWORK ONNX MOST MISSES [OPTION]…: the ONNX file gives the logits of
# NETWORK within MOST of their spread, and but for MISSES the same classes
compute () {
  local network=$1 onnx=$2 most=$3 misses=$4
  shift 4
  "$builddir/run" "$builddir/tests/check_logits" "$network" samples logits \
    "$@" > out 2> err || failed "check_logits $network"
  read -r n c h w _ < out
  $python "$srcdir/tests/onnx_eval.py" "$onnx" samples logits eval > out 2> err \
    || failed "onnx_eval.py $onnx"
  cat out
  awk -v n="$n" -v most="$most" -v misses="$misses" '
    { exit !($1 == n && $2 <= misses && $3 <= most * $4) }' out \
    || failed "$onnx: samples, other classes, difference, spread, DQ: $(cat out)"
  type node > /dev/null 2>&1 || { echo "no ONNX Runtime"; return; }
  # products of 8 bits saturate in 16 where there is no VNNI, unless told not to
  node "$srcdir/tests/bench/ort-infer.js" run "$onnx" "$c,$h,$w" samples ort \
    precise > out 2> err || { echo "no ONNX Runtime"; return; }
  $python - "$most" 2> err <<'END' || failed "ONNX Runtime: $onnx"
import sys, numpy
a, b = (numpy.fromfile(f, numpy.float32) for f in ("ort", "logits"))
print("ONNX Runtime: largest difference", abs(a - b).max(), "spread", b.std())
assert abs(a - b).max() <= float(sys.argv[1]) * b.std()
END
}
# shellcheck disable=SC2086
compute tiny.ini float.onnx 1e-5 0 "$every" model.weights=float/weights.safetensors
compute run/model-int8.safetensors int8.onnx 0.1 1
# means are rounded to even by a node of their own, not by a runtime's kernel
$python - > out 2> err <<'END' || failed "a mean is not rounded"
import onnx
nodes = onnx.load("int8.onnx").graph.node
means = [n for n in nodes if n.op_type in ("AveragePool", "GlobalAveragePool")]
assert len(means) >= 2, len(means)
for m in means:
    assert [n.op_type for n in nodes if m.output[0] in n.input] == ["Round"], m
END

# ---- test vectors: samples, and what our program gives for them ----------------
# vectors IO TYPE: as numbers of that type, the same that predict gives
vectors () {
  rm -rf beside
  mkdir beside
  expect 0 export run/model-int8.safetensors --onnx beside/model.onnx \
    --test-vectors 3 --io "$1"
  [ "$(find beside -name '*.pb' | wc -l)" = 6 ] || failed "not six files beside it"
  $python - "$2" > out 2> err <<'END2' || failed "test vectors: $(tail -n 1 err)"
import json, sys, numpy, onnx
from onnx import numpy_helper
meta = {p.key: p.value for p in onnx.load("beside/model.onnx").metadata_props}
grids = json.loads(meta.get("qatkit.io", "{}"))
def real(t):
    x = numpy_helper.to_array(t)
    if t.name not in grids:
        assert x.dtype == numpy.float32
        return x
    g = grids[t.name]
    assert x.dtype == sys.argv[1], x.dtype
    return (x.astype(numpy.float32) - g["zero_point"]) * numpy.float32(g["scale"])
x, y = [], []
for i in range(3):
    for ends, name in (x, "input_0"), (y, "output_0"):
        with open("beside/test_data_set_%d/%s.pb" % (i, name), "rb") as f:
            t = onnx.TensorProto.FromString(f.read())
        assert t.dims[0] == 1, t.dims
        ends.append(real(t))
assert (x[0] != x[1]).any()
numpy.save("vector-x", numpy.concatenate(x))
numpy.save("vector-y", numpy.concatenate(y))
END2
  expect 0 predict run/model-int8.safetensors vector-x.npy --output vector-z.npy
  $python - 2> err <<'END2' || failed "test vectors with --io $1: other outputs"
import numpy
y, z = numpy.load("vector-y.npy"), numpy.load("vector-z.npy")
assert y.shape == z.shape and y.std() > 0 and (y == z).all()
END2
}
vectors float float32
vectors int8 int8
vectors uint8 uint8
expect 2 export run/model-int8.safetensors --onnx x.onnx --test-vectors 0
says "--test-vectors"
expect 2 export run/model-int8.safetensors --onnx x.onnx --test-vectors 1001
says "--test-vectors is 1001, expected 1 to 1000"
expect 2 export run/model-int8.safetensors --c x --test-vectors 1
says "--test-vectors is for --onnx"
expect 1 export tiny.ini --onnx x.onnx --test-vectors 1
says "expected an int8 model"
[ ! -e x.onnx ] || failed "a failed export leaves a file"

# ---- weights of 4 bits, two in a byte -------------------------------------------
expect 1 export run/model-int8.safetensors --onnx x.onnx --weights int4
says "no layer has weights of 4 bits"
# shellcheck disable=SC2086
expect 0 ptq tiny.ini $float --output four --quiet -o qconfig.weight.bits=4
four=four/model-ptq.safetensors
expect 1 export $four --onnx x.onnx --weights int4 --form qoperator
says "weights of int4 are of the form qdq"
expect 1 export $four --onnx x.onnx --weights int3
says "--weights: [export] weights: expected one of int8, int4, got 'int3'"
[ ! -e x.onnx ] || failed "a failed export leaves a file"
expect 0 export $four --onnx bytes.onnx
expect 0 export $four --onnx halves.onnx --weights int4
$python - > out 2> err <<'END2' || failed "int4: $(tail -n 1 err)"
import numpy, onnx
from onnx import numpy_helper
a, b = onnx.load("bytes.onnx"), onnx.load("halves.onnx")
assert [o.version for o in b.opset_import if not o.domain] == [21]
assert b.ir_version == 10
x = {t.name: t for t in a.graph.initializer}
found = 0
for t in b.graph.initializer:
    if t.data_type != 22:
        continue
    bytes_ = numpy.frombuffer(t.raw_data, numpy.uint8)
    both = numpy.stack([bytes_ & 15, bytes_ >> 4], 1).ravel().astype(int)
    want = numpy_helper.to_array(x[t.name]).ravel()
    assert len(bytes_) == (len(want) + 1) // 2
    assert ((both ^ 8) - 8)[:len(want)].tolist() == want.tolist(), t.name
    assert list(t.dims) == list(x[t.name].dims)
    found += want.any()
dq = [numpy_helper.to_array(x[n.input[0]]) for n in b.graph.node
      if n.op_type == "DequantizeLinear" and n.input[0] in x]
dq = [w for w in dq if w.dtype == numpy.int8 and w.min() >= -8 and w.max() < 8]
assert found == len(dq) > 3, (found, len(dq))
END2
# the same numbers in ONNX Runtime
if type node > /dev/null 2>&1 && node -e 'require ("onnxruntime-node")' 2> /dev/null
then
  "$builddir/run" "$builddir/tests/check_logits" $four samples logits > out 2> err \
    || failed "check_logits $four"
  read -r _ c h w _ < out
  for f in bytes halves; do
    node "$srcdir/tests/bench/ort-infer.js" run $f.onnx "$c,$h,$w" samples $f.out \
      precise > out 2> err || failed "ONNX Runtime: $f.onnx"
  done
  $python - 2> err <<'END2' || failed "int4 in ONNX Runtime: $(tail -n 1 err)"
import numpy
a, b, c = (numpy.fromfile(f, numpy.float32)
           for f in ("bytes.out", "halves.out", "logits"))
assert c.std() > 0
assert abs(a - b).max() <= 1e-5 * c.std(), abs(a - b).max() / c.std()
END2
fi

# 7 bits, per tensor, quantized logits; nodes left in float
quantize () { # FOLDER [OPTION]...
  local folder=$1
  shift
  # shellcheck disable=SC2086
  expect 0 ptq tiny.ini $float --output "$folder" --quiet "$@"
  expect 0 export "$folder/model-ptq.safetensors" --onnx "$folder.onnx"
  compute "$folder/model-ptq.safetensors" "$folder.onnx" 0.1 1
}
quantize seven -o qconfig.activation.bits=7 -o qat.quantize_outputs=yes \
  -o qconfig.weight.per_channel=no
quantize mixed -o 'qconfig depthwise.quantize=no' -o 'qconfig mix.quantize=no'

# linear layers that choose the grid of their input in each call, which is that
# of the whole batch: of 8 bits by the operator for it, of 7 by its pieces
dynamic () { # FOLDER OPERATOR [OPTION]...
  local folder=$1 operator=$2
  shift 2
  # shellcheck disable=SC2086
  expect 0 ptq tiny.ini $float --output "$folder" --quiet -o ptq.mode=dynamic \
    -o data.batch=50 "$@"
  expect 0 export "$folder/model-ptq.safetensors" --onnx "$folder.onnx"
  grep -qa MatMulInteger "$folder.onnx" || failed "$folder.onnx: nothing is dynamic"
  grep -qa "$operator" "$folder.onnx" || failed "$folder.onnx has no $operator"
  compute "$folder/model-ptq.safetensors" "$folder.onnx" 1e-4 0
}
dynamic dynamic-every DynamicQuantizeLinear -o qconfig.weight.per_channel=yes \
  -o qat.backend=reference

# attention and normalisations
expect 0 train tiny.ini --output attention --quiet -o model.arch=tp_transformer
float="-o model.arch=tp_transformer"
float="$float -o model.weights=attention/weights.safetensors"
# shellcheck disable=SC2086
expect 0 export tiny.ini $float --onnx attention.onnx
compute tiny.ini attention.onnx 1e-4 0 model.arch=tp_transformer \
  model.weights=attention/weights.safetensors
dynamic dynamic8 DynamicQuantizeLinear -o qat.backend=reference
dynamic dynamic7 ReduceMax -o qconfig.activation.bits=7
quantize attention-int8
quantize attention-heads -o model.heads=yes -o model.softmax=yes
quantize attention-mixed -o 'qconfig norm1.quantize=no' \
  -o 'qconfig weights.quantize=no' -o 'qconfig groups.quantize=no'
exit 0
