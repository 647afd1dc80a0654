#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Networks from ONNX files: looked at, evaluated, quantized, trained, verified;
# what cannot be read is refused with node and reason.
. "${0%/*}/functions.sh"

qatkit plugins > all 2> /dev/null
sed -n '/^models/,/^[a-z]/p' all | grep -q '^  onnx ' \
  || skip "built without protobuf-c or onnx.proto"

# array NAME DIMENSIONS NUMBER…: a .npy file of float
array () {
  perl -e '
    my ($file, $dims, @x) = @ARGV;
    my $head = sprintf ("{\x27descr\x27: \x27<f4\x27, \x27fortran_order\x27: "
      . "False, \x27shape\x27: (%s), }", $dims);
    $head .= " " x (53 - length ($head) % 64 + (length ($head) % 64 > 53 ? 64 : 0)) . "\n";
    open (my $f, ">:raw", $file) or die;
    print $f "\x93NUMPY\x01\x00", pack ("v", length ($head)), $head,
      pack ("f<*", @x);' "$@"
}
# numbers FILE: the floats of a .npy file
numbers () { perl -e '
  open (my $f, "<:raw", $ARGV[0]) or die; local $/; my $b = <$f>;
  print join (" ", map { sprintf ("%.4f", $_) } unpack ("f<*",
    substr ($b, 10 + unpack ("v", substr ($b, 8, 2))))), "\n"' "$1"; }

corpus=$srcdir/tests/fuzz/corpus/network
for f in "$corpus"/*; do cp "$f" "${f##*/}.onnx"; done

# ---- looking -----------------------------------------------------------------
expect 0 inspect good.onnx -o model.side=8
prints "3 nodes int8, 100.0 % of MACs"
grep -qE '^conv +conv2d +int8' out || failed "the node has lost its name"
expect 0 inspect good.onnx -o model.side=8 -o 'model.outputs= conv '
prints "1 node int8, 100.0 % of MACs"
expect 1 inspect good.onnx -o model.side=8 -o model.outputs=conv,nothing
says "good.onnx: there is no tensor and no node 'nothing'"
expect 0 plugins models/onnx
prints "Conv (opset 1): conv2d"
expect 1 inspect good.onnx -o model.file=none.onnx
says "none.onnx"

# ---- the numbers, by hand ------------------------------------------------------
# y = x w + b, w the numbers from 0 on in 8 rows of 5
array ones.npy 1,3,8,8 $(yes 1 | head -192)
expect 0 predict product.onnx ones.npy --output y.npy
[ "$(numbers y.npy | cut -d' ' -f1-5)" = "140.0000 149.0000 158.0000 167.0000 176.0000" ] \
  || failed "product: $(numbers y.npy | cut -d' ' -f1-5)"
# hard swish of -1 and 1
array pair.npy 2,3,8,8 $(yes -- -1 | head -192) $(yes 1 | head -192)
expect 0 predict pieces.onnx pair.npy --output y.npy
[ "$(numbers y.npy | tr ' ' '\n' | sort -u | tr '\n' ' ')" = "-0.3333 0.6667 " ] \
  || failed "pieces: $(numbers y.npy | tr ' ' '\n' | sort -u | tr '\n' ' ')"
# channels 2 and 3, then 1, of the last 7 columns
array counted.npy 1,3,8,8 $(seq 0 191)
expect 0 predict slices.onnx counted.npy --output y.npy
[ "$(numbers y.npy | cut -d' ' -f1,7,8,113)" = "65.0000 71.0000 73.0000 1.0000" ] \
  || failed "slices: $(numbers y.npy | cut -d' ' -f1,7,8,113)"
# x times itself transposed, by a node with the name of its output
expect 0 predict alike.onnx counted.npy --output squares.npy
[ "$(numbers squares.npy | cut -d' ' -f1-2)" = "140.0000 364.0000" ] \
  || failed "alike: $(numbers squares.npy | cut -d' ' -f1-2)"
# functions of the file, one calling another with an attribute, called twice
expect 0 predict functions.onnx ones.npy --output called.npy
awk '{ exit !($1 - 2.8107 < 2e-4 && 2.8107 - $1 < 2e-4 && $2 - 4.4406 < 2e-4 \
    && 4.4406 - $2 < 2e-4 && $3 - 5.3581 < 2e-4 && 5.3581 - $3 < 2e-4) }' \
  <<< "$(numbers called.npy)" \
  || failed "functions: $(numbers called.npy | cut -d' ' -f1-3)"
expect 0 inspect functions.onnx
prints "first/act/leaky"
prints "call_1/conv"
for f in shuffle shapes batch good; do
  expect 0 predict $f.onnx pair.npy --output $f.npy
done
cmp batch.npy good.npy || failed "the batch of the file changes the numbers"
expect 1 predict good.onnx y.npy
says "expected samples of (3,8,8) for input 'x'"
expect 1 predict good.onnx
says "input 'x' is not given"
expect 1 predict good.onnx --input z=pair.npy
says "such as 'x'"
expect 0 predict good.onnx --input x=pair.npy
prints "y (2,2):"

# ---- refused, by node and reason --------------------------------------------------
# refused NAME TEXT
refused () {
  expect 1 inspect "$1.onnx" -o model.side=8
  says "$1.onnx: $2"
}
refused attribute "node 'relu' (Relu): attribute 'slope' is not known here"
refused recursive "function 'Again' calls itself"
refused functions-inputs "node 'first' calls function 'Block' with 2 inputs and 1 outputs, expected at most 1 and 1"
refused functions-many "its functions, each put in the place of its calls, are more than 10000 nodes"
refused functions-empty "its functions, each put in the place of its calls, are more than 10000 nodes"
refused circle "node 'Relu_1' (Relu): is part of a circle"
refused dangling "node 'sum' (Add): input 'nothing' is made by no node"
refused twice "tensor 'y' is made twice"
refused no-output "output 'y' is made by no node"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' > pointer.onnx
refused pointer "this is a pointer of Git LFS, not the file: fetch it with \"git lfs pull\""
printf ' <!DOCTYPE html><html>' > page.onnx
refused page "this is a web page, not the file"
refused foreign "node 'mine' (Relu): is an operator of the domain 'com.example'"
refused unknown "node 'top' (TopK): this operator cannot be run"
says "model.outputs = NAME"
refused loop "node 'fork' (If): this operator cannot be run: export the network for one way"
refused groups "node 'conv' (Conv): 2 groups of 3 channels, but its input has 3"
refused kernel "node 'conv' (Conv): kernel_shape says 5, its weights 3"
refused weights-computed "node 'conv' (Conv): input 'x' is computed from the data"
refused deep "not an ONNX file, or damaged"
refused control "the name of node 0"
refused external "tensor \"e\": its data are said to be in \"../../etc/passwd\""
refused string "tensor \"s\" has type string (8), expected numbers"
expect 1 run good.onnx
says "name its samples with --data FOLDER"
expect 1 run nowhere.onnx
says "cannot find 'nowhere.onnx': No such file or directory"
expect 1 run good.onnx --data none
says "--data 'none'"

# ---- a network of its own, from weights to int8 --------------------------------------
expect 0 train tiny.ini --output float --quiet
expect 0 export tiny.ini --onnx net.onnx -o model.weights=float/weights.safetensors
expect 0 export tiny.ini images
expect 0 run net.onnx --data images --output r --quiet \
  -o qat.epochs=1 -o qat.batches=2 -o optimizer.lr=0.001
prints "QAT int8"
expect 0 verify r --quiet
prints "0 differing bytes"
grep -q '^file = ' r/config.ini || failed "the configuration is not in the folder"
# images without classes, and without a folder of their own for evaluation
mkdir flat
for f in images/train/*/*.jpg; do cp "$f" flat/; done
expect 0 run net.onnx --data flat --output flat-r --quiet
prints "SQNR"
grep -q '^labels = no' flat-r/config.ini || failed "the images have no classes"
# what was trained to be as the float network is not farther from it than before
awk '/^PTQ int8/ { ptq = $3 } /^QAT int8/ { qat = $3 }
     END { exit !(ptq > 10 && qat >= ptq - 0.5) }' out || failed "QAT ends below PTQ"
expect 0 verify flat-r --quiet
prints "0 differing bytes"
expect 0 eval flat-r/model-int8.safetensors --batches 1
set -- flat/*.jpg
expect 0 predict flat-r/model-int8.safetensors "$1" "$2" --output rows.npy
expect 0 predict flat-r/model-int8.safetensors "$2" --output row.npy
[ "$(numbers rows.npy | wc -w)" = $((2 * $(numbers row.npy | wc -w))) ] || failed "two images, one row"
[ "$(numbers rows.npy | tr ' ' '\n' | tail -3)" = "$(numbers row.npy | tr ' ' '\n' | tail -3)" ] \
  || failed "the rows are others' outputs"
expect 1 predict flat-r/model-int8.safetensors "$1" none.jpg --output none.npy
says "none.jpg"
! [ -e none.npy ] || failed "rows are missing, and it is written"
# class folders alone
expect 0 run net.onnx --data images/train --output folders-r --quiet \
  -o qat.epochs=1 -o qat.batches=2 -o optimizer.lr=0.001
prints "top-1"
grep -q '^val_share' folders-r/config.ini || failed "what is it evaluated on?"
# the file is not needed any more, and an int8 network takes arrays as well
mv net.onnx away.onnx
side=$(qatkit inspect r/model-int8.safetensors | awk '/^[a-z]* +quantize/ { print $3 }' | tr -d '()')
IFS=, read -r _ h w c <<< "$side"
array image.npy "1,$c,$h,$w" $(perl -e 'srand (1); print rand (2) - 1, " " for 1 .. $ARGV[0]' $((h * w * c)))
expect 0 predict r/model-int8.safetensors image.npy --output y.npy
expect 0 eval r/model-int8.safetensors --batches 1
mv away.onnx net.onnx

# weights from a file whose batch-norm adds another epsilon are wrong in our layers
if type python3 > /dev/null 2>&1; then
  expect 0 export tiny.ini --onnx bn.onnx -o model.weights=float/weights.safetensors
  expect 0 eval tiny.ini -o model.weights=float/weights.safetensors --json
  grep -o '"loss":[^,]*' out > want
  python3 - bn.onnx other.onnx << 'END'
import struct, sys
b = open (sys.argv[1], "rb").read ()
was = b"epsilon" + b"\x15" + struct.pack ("<f", 1e-5)
assert was in b, "no epsilon"
open (sys.argv[2], "wb").write (b.replace (was, b"epsilon" + b"\x15" + struct.pack ("<f", 1e-2)))
END
  expect 0 eval tiny.ini -o model.weights=bn.onnx --json
  grep -o '"loss":[^,]*' out | cmp - want || failed "other numbers from the same weights"
  expect 1 eval tiny.ini -o model.weights=other.onnx
  says "tensor \"bn1.running_var\" belongs to a layer with eps=0.01, expected 1e-05"
fi

# what is written is read again: the same numbers
cat > again.ini << 'END'
[run]
output = again
[model]
arch = onnx
file = net.onnx
[data]
dataset = imagefolder
root = images
END
expect 0 export again.ini --onnx again.onnx -o data.resize="$h" -o data.crop="$w"
[ ! -s err ] || failed "a network with weights of its own is warned about"
for f in net again; do expect 0 predict $f.onnx image.npy --output $f.npy; done
same net.npy again.npy
# its float network is known: what is lost can be said before and after QAT
size=(-o data.resize="$h" -o data.crop="$w")
expect 0 analyze again.ini "${size[@]}" --samples 8 --batches 1 --output again-analyzed
prints "conv1"
expect 0 analyze r --samples 8 --batches 1
! grep -q "not known" err || failed "the file's weights are taken for unknown"

# ---- images that are not square, sizes stated and left open -----------------------
wide=(-o data.dataset=imagefolder -o data.root=images -o data.resize=28x36 -o data.crop=24x32
  -o data.fit=cover -o data.interpolation=bicubic)
sed '/^size/d; /_count/d' tiny.ini > wide.ini
expect 0 train wide.ini --output wide-float --quiet "${wide[@]}"
expect 0 export wide.ini --onnx wide.onnx -o model.weights=wide-float/weights.safetensors "${wide[@]}"
# height and width 0: left open
perl -0pe 's/\x0a\x02\x08\x18\x0a\x02\x08\x20/\x0a\x02\x08\x00\x0a\x02\x08\x00/' \
  wide.onnx > open.onnx
expect 1 inspect open.onnx
says "leaves axis 2 open"
for f in wide open; do
  # shellcheck disable=SC2086
  expect 0 run $f.onnx --data images --output $f-r --quiet -o qat.epochs=1 -o qat.batches=2 \
    -o optimizer.lr=0.001 ${open-}
  prints "QAT int8"
  grep -q '^crop = 24x32' $f-r/config.ini || failed "$f: $(grep crop $f-r/config.ini)"
  expect 0 verify $f-r --quiet
  prints "0 differing bytes"
  expect 0 predict $f-r/model-int8.safetensors "$(find images/val -name "*.jpg" | head -n 1)" --quiet
  expect 0 eval $f-r/model-int8.safetensors --batches 1
  expect 0 export $f-r/model-int8.safetensors --onnx $f-int8.onnx
  grep -qa 'crop = 24x32' $f-int8.onnx || failed "the exported file does not say what images it takes"
  open="-o model.side=24x32"
done
expect 1 inspect good.onnx -o model.side=24x
says "side (-o): expected HEIGHTxWIDTH"
