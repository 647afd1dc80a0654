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
says "before 1.6"
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
says "wants Python's '__builtin__.exec', which a file of weights does not need"
[ ! -e evil ] || failed "a pickle was run"
expect 1 inspect list.pth
says "no dictionary of tensors"
expect 1 inspect packed.pth
says "compressed"
expect 1 inspect none.pth
says "its numbers are not in the archive"
expect 1 inspect short.pth
says "bytes of numbers, expected 108 elements"
expect 1 inspect bent.pth
says "checksum"
exit 0
