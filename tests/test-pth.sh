#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files of weights that PyTorch wrote (tests/golden/pth.py): the same numbers
# as in a safetensors file; files that ask for more than tensors.
. "${0%/*}/functions.sh"
[ -e "$builddir/stage/formats/pth.so" ] || skip "built without libzip"
golden=$srcdir/tests/golden/pth

loss () { # FILE
  expect 0 eval tiny.ini -o model.channels=4 -o model.depth=1 \
    -o model.weights="$1" --json
  grep -o '"loss":[^,]*' out
}
want=$(loss "$golden/cnn.safetensors" | tail -n 1)
for f in cnn training; do
  got=$(loss "$golden/$f.pth" | tail -n 1)
  [ "$got" = "$want" ] || failed "$f.pth gives $got, expected $want"
done
expect 0 inspect "$golden/training.pth"
prints "bn1.num_batches_tracked  i64"
prints "conv1.weight             f32   (4,3,3,3)"

cp "$golden/cnn.pth" x.pth
chmod u+w x.pth
expect 1 eval tiny.ini -o model.weights=x.pth
says "wrong shape: conv1.weight is (4,3,3,3), expected (8,3,3,3)"
: > empty.pth
expect 1 inspect empty.pth
says "empty.pth"
echo no archive > text.pth
expect 1 inspect text.pth
says "neither an archive nor what torch.save wrote before 1.6"
head -c 700 x.pth > cut.pth
expect 1 inspect cut.pth
says "cut.pth"

python=/usr/bin/python3
$python - "$golden/cnn.pth" 2> /dev/null <<'END' || skip "no Python 3"
import io, pickle, sys, zipfile

def archive(name, text, method=zipfile.ZIP_STORED, change=lambda n, d: d):
    with zipfile.ZipFile(sys.argv[1]) as old, \
         zipfile.ZipFile(name, "w", method) as new:
        for i in old.namelist():
            data = old.read(i)
            if text is not None and i.endswith("data.pkl"):
                data = text
            data = change(i, data)
            if data is not None:
                new.writestr(i, data)

class Evil:
    def __reduce__(self):
        return (exec, ("open('evil', 'w')",))

archive("evil.pth", pickle.dumps({"w": Evil()}, 2))
archive("list.pth", pickle.dumps([1, 2], 2))
archive("packed.pth", None, zipfile.ZIP_DEFLATED)
archive("none.pth", None, change=lambda n, d: None if n.endswith("data/0") else d)
archive("short.pth", None, change=lambda n, d: d[:-4] if n.endswith("data/0") else d)
data = bytearray(open(sys.argv[1], "rb").read())
data[data.index(b"data/0") + 100] ^= 1
open("bent.pth", "wb").write(data)
END
expect 1 inspect evil.pth
says "holds no dictionary of tensors"
[ ! -e evil ] || failed "a pickle was run"
expect 1 inspect list.pth
says "no dictionary of tensors"
expect 1 inspect packed.pth
says "compressed"
expect 1 inspect none.pth
says "its numbers are not in the file"
expect 1 inspect short.pth
says "bytes of numbers, expected 108 elements of float32"
expect 1 inspect bent.pth
says "checksum"

# what PyTorch of all times and the scripts of people write
$python "$srcdir/tests/lib/torch-files.py" "$golden/cnn.safetensors" 2> py.err \
  || failed "torch-files.py: $(tail -n 1 py.err)"
same () { # FILE…
  local f got
  for f in "$@"; do
    got=$(loss "$f" | tail -n 1)
    [ "$got" = "$want" ] || failed "$f gives $got, expected $want"
  done
}
same script1.pth script2.pth script3.pth script4.pth script5.pth
same old.th oldest.pth script-old.pth.tar views.pth big-machine.pth
same half.pth bfloat.ckpt big.pth little.pth
same compiled.pth compiled-parts.pth backbone.pth python2.pth
same average.pth row.pth rows.pth
expect 0 inspect half.pth
prints "conv1.weight             f32   (4,3,3,3)"

# recognised by what they begin with, whatever they are called
cp old.th old.bin
cp script4.pth best
cp half.pth model.safetensors
cp "$golden/cnn.safetensors" w.pth
cp "$golden/cnn.safetensors" weights.bin
same old.bin best model.safetensors w.pth weights.bin
echo no archive > text.bin
expect 1 inspect text.bin
says "no format is known for the ending \".bin\""
says "name the format (model.format)"

# what cannot be read says what it is
refused () { # FILE SENTENCE…
  local file=$1
  shift
  expect 1 eval tiny.ini -o model.weights="$file"
  says "$file: $*"
}
refused whole.pth "holds a whole module (Net), which needs Python and its source: save its state_dict()"
refused whole-old.pth "holds a whole module (Net)"
refused script.pt "an archive of TorchScript, a program"
refused two.pth "holds 2 dictionaries of tensors ('generator', 'critic')"
refused nothing.pth "holds no dictionary of tensors"
refused loop.pth ""
says "not of this network: x"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' > lfs.pth
refused lfs.pth "this is a pointer of Git LFS"
cp lfs.pth lfs.safetensors
refused lfs.safetensors "this is a pointer of Git LFS"
printf '\n <!DOCTYPE HTML><html>' > page.pth
refused page.pth "this is a web page, not the file"
printf '{"error": "not found"}' > page.bin
refused page.bin "this is a text in JSON"
gzip -c old.th > old.pth
refused old.pth "this is compressed with gzip"
size=$(wc -c < old.th)
for n in 4 17 200 900 $((size - 1)); do
  head -c $n old.th > cut.th
  expect 1 inspect cut.th
  says "cut.th"
done
says "cut.th: cut short: $((size - 1)) bytes, its storages end at $size"
size=$(wc -c < x.pth)
head -c $((size - 40)) x.pth > cut.pth
refused cut.pth "begins as an archive of PyTorch, but is cut short or damaged"

# what stands beside the network is told, in its full name
expect 1 eval tiny.ini -o model.channels=4 -o model.depth=1 -o model.weights=lightning.ckpt
says "1 tensor does not fit the network:"
says "not of this network: loss.weight"

# public files, where a folder of them is given
foreign=${QATKIT_TEST_DATA-}/foreign
if [ -e "$foreign" ]; then
  expect 0 inspect "$foreign/resnet20_cifar10.th"
  prints "module.layer1.0.conv1.weight"
  expect 0 inspect "$foreign/face_slim_320.pth"
  expect 1 eval tiny.ini -o model.weights="$foreign/face_slim_320.pth"
  says "None of the network's names is in the file"
  says "not of this network: "
  [ "$(wc -l < err)" -lt 30 ] || failed "a list of all names"
fi
exit 0
