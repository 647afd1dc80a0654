#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Networks that are quantized in their file: what they give in float is what the
# file says, the int8 network gives the same; grids that stay, that training
# begins with, and that are left out; our own files read again.
. "${0%/*}/functions.sh"

qatkit plugins > all 2> /dev/null
sed -n '/^models/,/^[a-z]/p' all | grep -q '^  onnx ' \
  || skip "built without protobuf-c or onnx.proto"
python=/usr/bin/python3
$python -c 'import onnx, numpy' 2> /dev/null \
  || skip "no Python with onnx and numpy, which make the files"
$python "$srcdir/tests/qdq_files.py" . 2> err || failed "qdq_files.py"

# near FILE WANTED MOST: the arrays differ by MOST at most
near () {
  $python - "$@" 2> err <<'END' || failed "$1 is not $2: $(tail -n 1 err)"
import sys, numpy
a, b = (numpy.load(f) for f in sys.argv[1:3])
d = abs(a.reshape(b.shape) - b).max()
assert d <= float(sys.argv[3]), "they differ by %g" % d
assert b.std() > 0.05, "nothing is compared"
END
}
# configure NAME [KEY…]: NAME.ini for the file ${NAME%-*}.onnx
configure () {
  local name=$1
  shift
  { printf '%s\n' "[run]" "output = $name" "[model]" "arch = onnx" \
      "file = ${name%-*}.onnx"
    printf '%s\n' "$@"
    printf '%s\n' "[data]" "dataset = random" "size = 8" "classes = 5" \
      "count = 16" "[ptq]" "batches = 1" "[qat]" "epochs = 1" "batches = 2" \
      "[optimizer]" "lr = 0.001"; } > "$name.ini"
}

# ---- as the file says, in float and in int8 ---------------------------------
for f in u8 i8 zero7 integers; do
  expect 0 predict $f.onnx x.npy --output y.npy
  near y.npy $f-y.npy 1e-5
  [ ! -s err ] || failed "$f: $(cat err)"
  configure $f-keep
  expect 0 ptq $f-keep.ini --quiet
  expect 0 predict $f-keep/model-ptq.safetensors x.npy --output y.npy
  near y.npy $f-y.npy 1e-5
done
expect 0 inspect u8.onnx -o model.side=8
prints "7 nodes int8, 100.0 % of MACs"
expect 0 inspect u8-keep/model-ptq.safetensors
grep -qE '^conv1 .* 0\.0153 +0$' out || failed "another grid: $(cat out)"
# ONNX Runtime's kernels for integers agree, where it is
if type node > /dev/null 2>&1 \
    && node -e 'require ("onnxruntime-node")' 2> /dev/null; then
  for f in u8 i8 zero7 integers; do
    $python -c 'import numpy; numpy.load ("x.npy").tofile ("samples")'
    node "$srcdir/tests/bench/ort-infer.js" run $f.onnx 3,8,8 samples ort \
      precise > out 2> err || failed "ONNX Runtime: $f"
    $python -c 'import numpy
numpy.save ("ort.npy", numpy.fromfile ("ort", numpy.float32))'
    near ort.npy $f-y.npy 1e-5
  done
else
  echo "no ONNX Runtime: not compared with it"
fi

# ---- grids stay while the network is trained -----------------------------------
expect 0 run u8-keep.ini --quiet -o run.output=u8-qat
expect 0 verify u8-qat --quiet
prints "0 differing bytes"
expect 0 inspect u8-qat/model-int8.safetensors
for s in 'x .* 0\.02 +120' 'conv1 .* 0\.0153 +0' 'conv2 .* 0\.0317 +128' \
  'sum .* 0\.0293 +0' 'pool .* 0\.0293 +0' 'mean .* 0\.0111 +1' \
  'fc .* 0\.0107 +100'; do
  grep -qE "^$s\$" out || failed "no '$s'"
done
# methods that would change what the grids are for
expect 0 ptq u8-keep.ini --quiet -o ptq.methods=equalize -o run.output=e
says "equalize is left out"
expect 0 predict e/model-ptq.safetensors x.npy --output y.npy
near y.npy u8-y.npy 1e-5

# ---- training begins with them --------------------------------------------------
configure u8-train "grids = train"
expect 0 run u8-train.ini --quiet
expect 0 verify u8-train --quiet
prints "0 differing bytes"
expect 0 inspect u8-train/model-int8.safetensors
! grep -qE '^conv1 .* 0\.0153 +0$' out || failed "the grid has stayed"
grep -qE '^sum .* 0$' out || failed "a ReLU that only a grid was is lost"

# ---- or are left out: the float network, with the ReLU that a grid was ------------
for f in u8 i8; do
  expect 0 predict $f.onnx x.npy --output y.npy -o model.grids=ignore
  near y.npy $f-float.npy 1e-5
done
expect 1 predict u8.onnx x.npy -o model.grids=none
says "grids"

# ---- what has no form here: said by node, derived anew ---------------------------
expect 0 predict asymmetric.onnx x.npy --output y.npy
says "asymmetric.onnx: node 'conv1' (Conv): its weights have a zero point"
near y.npy asymmetric-y.npy 1e-5
configure asymmetric-keep
expect 0 ptq asymmetric-keep.ini --quiet
expect 0 predict asymmetric-keep/model-ptq.safetensors x.npy --output y.npy
near y.npy asymmetric-y.npy 0.05
expect 0 predict wide.onnx x.npy --output y.npy
says "wide.onnx: node 'xq/q' (QuantizeLinear): its grid is of type int16"
near y.npy wide-y.npy 1e-3
expect 0 predict dynamic.onnx x.npy --output y.npy
near y.npy dynamic-y.npy 1e-5
expect 1 inspect ends-in-integers.onnx
says "output 'y' is of type uint8, expected real numbers"
expect 1 inspect other-scale.onnx
says "node 'dq' (DequantizeLinear): reads with scale 0.03 and zero point 3"
expect 1 inspect computes.onnx
says "node 'abs' (Abs): computes on integers"

# ---- products in Einstein's notation ----------------------------------------------
expect 0 predict einsum.onnx x.npy --output y.npy
near y.npy einsum-y.npy 1e-3
expect 0 inspect einsum.onnx
prints "100.0 % of MACs"

# ---- our own files: the same bytes ----------------------------------------------
# again ARCH SIDE CHANNELS [KEY…]: its int8 network, written and read again
again () {
  local arch=$1 side=$2 channels=$3 k m form
  shift 3
  for k in first second; do
    m="arch = $arch"
    [ $k = first ] || m="arch = onnx
file = $arch.onnx"
    printf '%s\n' "[run]" "output = $arch-$k" "[model]" "$m" "[data]" \
      "dataset = random" "size = $side" "channels = $channels" \
      "classes = 10" "count = 8" "batch = 4" "eval_batch = 4" "[ptq]" \
      "batches = 1" > again.ini
    [ $k = second ] || printf '%s\n' "[model]" "$@" >> again.ini
    [ $k = second ] || expect 0 ptq again.ini --quiet
    for form in qoperator qdq; do
      [ $k = second ] || expect 0 export $arch-first/model-ptq.safetensors \
        --onnx $arch-$form.onnx --form $form
      [ $k = second ] || continue
      cp $arch-$form.onnx $arch.onnx
      expect 0 ptq again.ini --quiet --output $arch-$form
      expect 0 predict $arch-$form/model-ptq.safetensors $arch.npy \
        --output $arch-$form.npy
    done
    expect 0 predict $arch-first/model-ptq.safetensors $arch.npy \
      --output $arch-first.npy
  done
  same $arch-first.npy $arch-qdq.npy
  same $arch-first.npy $arch-qoperator.npy
}
for a in "lenet 28 1" "cnn 32 3" "mlp 16 1" "mobilenet_v2 32 3" "resnet18 32 3"; do
  read -r arch side channels <<< "$a"
  $python - "$arch" "$side" "$channels" <<'END'
import sys, numpy
side, c = (int(s) for s in sys.argv[2:])
r = numpy.random.default_rng(1)
numpy.save(sys.argv[1], r.normal(size=(3, c, side, side)).astype(numpy.float32))
END
  again $a
done

# ---- operators of integers; integers as inputs and outputs ------------------------
int8=resnet18-first/model-ptq.safetensors
expect 0 export $int8 --onnx float.onnx --form qoperator
expect 0 ptq again.ini --quiet --output outputs -o qat.quantize_outputs=yes
for io in uint8 int8; do
  expect 0 export outputs/model-ptq.safetensors --onnx $io.onnx --io $io
  expect 0 export outputs/model-ptq.safetensors --onnx q$io.onnx --io $io \
    --form qoperator
done
# the reals that the metadata say around them, and our program reads them
$python - > out 2> err <<'END' || failed "integers: $(tail -n 1 err)"
import json, onnx
from onnx import TensorProto, helper, numpy_helper
import numpy

nodes = [n.op_type for n in onnx.load("float.onnx").graph.node]
assert nodes.count("QLinearConv") == 20, nodes
# one whose sums have a value near a tie is written in pieces instead; whether
# there is one depends on the bits of the CPU's backend
assert nodes.count("QLinearAdd") + nodes.count("Add") == 8, nodes
assert nodes.count("QLinearAdd") >= 6 and "QGemm" in nodes, nodes
assert "Conv" not in nodes, nodes
for f in "uint8", "int8", "quint8", "qint8":
    m = onnx.load(f + ".onnx")
    onnx.checker.check_model(m)
    g = m.graph
    meta = {p.key: p.value for p in m.metadata_props}
    grids = json.loads(meta["qatkit.io"])
    t = TensorProto.INT8 if f.endswith("int8") and "uint8" not in f \
        else TensorProto.UINT8
    kind = numpy.int8 if t == TensorProto.INT8 else numpy.uint8
    x, y = g.input[0], g.output[0]
    for v in x, y:
        assert v.type.tensor_type.elem_type == t, v
        assert "N" == v.type.tensor_type.shape.dim[0].dim_param
        scale = numpy.array(grids[v.name]["scale"], numpy.float32)
        zero = numpy.array(grids[v.name]["zero_point"], kind)
        g.initializer.append(numpy_helper.from_array(scale, v.name + ".s"))
        g.initializer.append(numpy_helper.from_array(zero, v.name + ".z"))
        v.type.tensor_type.elem_type = TensorProto.FLOAT
    g.node.insert(0, helper.make_node(
        "QuantizeLinear", ["in", x.name + ".s", x.name + ".z"], [x.name]))
    g.node.append(helper.make_node(
        "DequantizeLinear", [y.name, y.name + ".s", y.name + ".z"], ["out"]))
    x.name, y.name = "in", "out"
    onnx.save(m, "real-" + f + ".onnx")
END
expect 0 predict outputs/model-ptq.safetensors resnet18.npy --output want.npy
for f in uint8 int8 quint8 qint8; do
  expect 0 ptq again.ini --quiet --output real-$f -o model.file=real-$f.onnx
  expect 0 predict real-$f/model-ptq.safetensors resnet18.npy --output y.npy
  near y.npy want.npy 1e-6
done
expect 1 export $int8 --onnx x.onnx --form qlinear
says "--form: [export] form: expected one of qdq, qoperator, got 'qlinear'"
expect 1 export $int8 --onnx x.onnx --io int16
says "--io"
sed 's/^arch = onnx/arch = resnet18/; /^file/d' again.ini > plain.ini
expect 1 export plain.ini --onnx x.onnx --io int8
says "is read in float: the file cannot take integers there"
expect 2 export $int8 folder --form qdq
says "--onnx"
[ ! -e x.onnx ] || failed "a failed export leaves a file"

# ---- two inputs: by their names, not by their order --------------------------------
$python - <<'END'
import numpy, onnx
from onnx import helper, TensorProto
v = lambda n: helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 5])
g = helper.make_graph([helper.make_node("Sub", ["a", "b"], ["y"], "sub")], "g",
                      [v("a"), v("b")], [v("y")])
onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)],
                            ir_version=7), "two.onnx")
for n in "ab":
    x = numpy.random.default_rng(ord(n)).normal(size=(8, 5))
    numpy.save(n, x.astype(numpy.float32))
    numpy.save("other-" + n, x.astype(numpy.float32))
numpy.save("want", (numpy.load("a.npy") - numpy.load("b.npy")))
END
for order in "a.npy b.npy" "b.npy a.npy" "other-a.npy other-b.npy"; do
  printf '%s\n' "[run]" "output = two" "[model]" "arch = onnx" \
    "file = two.onnx" "[data]" "dataset = npy" "inputs = ${order/ /, }" \
    "val_inputs = ${order/ /, }" "[loss]" "name = distillation" \
    "measure = mse" "[metric]" "name = sqnr" "[ptq]" "batches = 1" \
    "[qat]" "epochs = 0" > two.ini
  rm -rf two
  expect 0 ptq two.ini --quiet
  expect 0 predict two/model-ptq.safetensors --input a=a.npy --input b=b.npy \
    --output y.npy
  near y.npy want.npy 0.1
done
