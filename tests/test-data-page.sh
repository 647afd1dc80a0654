#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The examples of qatkit-data(7), each on small files made for it, and the
# recipe for keyword spotting on its data where they are.  A run does not go on
# with other samples than it began with, whichever dataset reads them.
. "${0%/*}/functions.sh"

page=$srcdir/docs/man/qatkit-data.7

# example WHAT: the example that begins with "; files of WHAT", as a
# configuration, in example.ini
example () {
  sed -n "/^; files of $1\$/,/^\.RE/p" "$page" \
    | sed '/^\./d; s/\\-/-/g; s/\\(aq/'"'"'/g' > lines
  [ -s lines ] || failed "the page has no example '$1'"
  if grep -q '^\[model\]' lines; then
    sed '/^\[model\]/,$d' tiny.ini > example.ini
  else
    sed '/^\[data\]/,$d' tiny.ini > example.ini
  fi
  cat lines >> example.ini
  echo 'batch = 8' >> example.ini
  sed -n '/^\[train\]/,$p' tiny.ini >> example.ini
  tested="$tested
$1"
}

# array FILE DESCR SHAPE: an array whose numbers are taken from stdin
array () {
  local dict="{'descr': '$2', 'fortran_order': False, 'shape': ($3), }"
  printf '\x93NUMPY\x01\x00'
  # shellcheck disable=SC2059
  printf "\\x$(printf %02x ${#dict})\\x00"
  printf %s "$dict"
  cat
} > "$1"

# count NUMBER LAST: NUMBER bytes 0, 1 … LAST, 0, 1 …
count () {
  local i h all=
  for ((i = 0; i < $1; i++)); do
    printf -v h '\\x%02x' $((i % ($2 + 1)))
    all+=$h
  done
  # shellcheck disable=SC2059
  printf "$all"
}

# changed FOLDER FILE TEXT: with FILE as it is now, which is not as it was, the
# run in FOLDER does not go on, and says TEXT; then FILE is put back
changed () {
  expect 1 run example.ini --output "$1" --quiet --resume "${options[@]}"
  says "samples are not those that the run in '$1' began with: $3"
  mv kept "$2"
}

options=()
tested=
example arrays
mkdir arrays
count 2560 250 > bytes
array arrays/x.npy '|u1' "40, 1, 8, 8" < bytes
count 40 2 | array arrays/y.npy '|u1' "40,"
expect 0 run example.ini --output arrays.out --quiet
prints "QAT int8"
expect 0 verify arrays.out --quiet
head -c 64 bytes | array one.npy '|u1' "1, 8, 8"
expect 0 predict arrays.out/model-int8.safetensors one.npy --quiet
prints "one.npy"
cp arrays/x.npy kept
patch arrays/x.npy $(($(wc -c < kept) - 64 * 30)) '\077'
changed arrays.out arrays/x.npy "'sample 10 of category 1' has other contents"
cp arrays/y.npy kept
patch arrays/y.npy $(($(wc -c < kept) - 30)) '\2'
changed arrays.out arrays/y.npy "'sample 10 of category 2' instead of 'sample 10 of category 1'"
array arrays/y.npy '|u1' "39," < <(count 39 2)
expect 1 run example.ini --output x --quiet
says "arrays/x.npy has 40 samples, arrays/y.npy has 39"

example images
mkdir -p images/{train,val}/{cat,dog}
for d in train val; do
  cp "$srcdir"/tests/golden/image/{exif*.jpg,rgb*.png,palette*.png} images/$d/cat
  cp "$srcdir"/tests/golden/image/{exif*.jpg,grey*.png,turned.*} images/$d/dog
done
# what this build cannot decode is left out, and counted
expect 0 run example.ini --output images.out --quiet -o data.max_bad=0.8
prints "QAT int8"
expect 0 predict images.out/model-int8.safetensors images/val/dog/exif6.jpg \
  --quiet
prints "dog"

# changed at random: the same for any number of workers, and not at all for
# evaluation
example "images, changed at random"
expect 0 run example.ini --output changed --quiet -o data.max_bad=0.8 -o data.workers=1 \
  -o run.threads=1
expect 0 run example.ini --output again --quiet -o data.max_bad=0.8 -o data.workers=3 \
  -o run.threads=1
same changed/weights.safetensors again/weights.safetensors
expect 0 run example.ini --output again --quiet -o data.max_bad=0.8 -o run.threads=1 \
  -o data.hue=0.2
! cmp -s changed/weights.safetensors again/weights.safetensors \
  || failed "another hue changes nothing"
top1 () { sed -n 's/.*"top1":\([0-9.]*\).*/\1/p' out; }
m=changed/model-int8.safetensors
expect 0 eval $m --quiet --json -o data.max_bad=0.8
kept=$(top1)
expect 0 eval $m --quiet --json -o data.max_bad=0.8 -o data.rotate=90 -o data.erase=1 \
  -o data.auto_augment=randaugment
[ "$kept" = "$(top1)" ] || failed "images for evaluation are changed"
for wrong in rotate=181 translate=0.1,0.2,0.3 scale=2,1 'fill=1,2' auto_magnitude=31 \
  auto_augment=autoaugment erase_scale=0.5,0.1 hue=0.6; do
  expect 1 eval example.ini -o data."$wrong"
  says "${wrong%%=*}"
done
expect 1 eval example.ini -o data.channels=4 -o data.fill=0
says "images of 4 channels"

# not square, as timm prepares them: the same in training, model and predict
example "images for timm"
expect 0 run example.ini --output timm.out --quiet -o data.max_bad=0.8 -o model.arch=cnn
expect 0 verify timm.out --quiet -o data.max_bad=0.8
expect 0 inspect timm.out/model-int8.safetensors
grep -qE 'quantize +\(1,24,32,3\)' out || failed "the input is not (1,24,32,3)"
expect 0 predict timm.out/model-int8.safetensors images/val/dog/exif6.jpg --json
cp out bicubic
expect 0 predict timm.out/model-int8.safetensors images/val/dog/exif6.jpg --json \
  -o data.interpolation=nearest
! cmp -s out bicubic || failed "predict does not resize as it is told"
# refused with key, place and what was expected
for wrong in 'crop=24x' 'crop=24,32' 'crop=x9' 'crop=0' 'crop=9999' 'resize=1x2x3' 'resize=-4'; do
  expect 1 eval example.ini -o data."$wrong"
  says "${wrong%%=*} (-o): expected HEIGHTxWIDTH, or one number for both, each in 1..8192, got '${wrong#*=}'"
done
expect 1 eval example.ini -o data.resize=30
says "resize (-o) and crop_pct (example.ini:"
expect 1 eval example.ini -o data.interpolation=bicubik
says "interpolation: expected one of bilinear, bicubic"
expect 1 eval example.ini -o data.crop_pct=0.001
says "crop_pct (-o) = 0.001 makes images of 24000 x 32000"

# a tenth held out where there is no folder for evaluation
mv images/val images/else
expect 1 run example.ini --output x --quiet
says "val_share"
expect 0 run example.ini --output share.out --quiet -o data.val_share=0.3 \
  -o data.max_bad=0.8
mv images/else images/val

example "a list"
mkdir list
for i in 1 2 3 4 5 6 7 8; do
  cp "$srcdir/tests/golden/image/exif$i.jpg" list
  cp "$srcdir/tests/golden/image/exif$i.jpg" list/again$i.png
done
{
  echo "file,kind"
  for i in 1 2 3 4 5 6 7 8; do
    echo "exif$i.jpg,$((i % 2))"
    echo "again$i.png,$((i % 2))"
  done
  echo "gone.jpg,1"
} > list/train.csv
expect 0 run example.ini --output list.out --quiet -o data.max_bad=0.5
options=(-o data.max_bad=0.5)
cp list/train.csv kept
sed -i 's/exif3.jpg,1/exif3.jpg,0/' list/train.csv
changed list.out list/train.csv "'exif3.jpg,0' instead of 'exif3.jpg,1'"
cp list/exif3.jpg kept
cp list/exif4.jpg list/exif3.jpg
changed list.out list/exif3.jpg "'exif3.jpg,1' has other contents"
options=()
expect 1 run example.ini --output x --quiet
says "list/train.csv:18: list/gone.jpg: No such file"

example "a list with masks"
if type python3 > /dev/null 2>&1 && grep -q -- '-DWITH_LIBPNG' "$builddir/Makefile"; then
  mkdir masks
  for i in 1 2 3 4 5 6 7 8; do
    python3 - masks/$i.png <<'END'
import struct, sys, zlib
rows = b"".join (b"\0" + bytes ((x // 12 + y // 15) % 5 for x in range (40)) for y in range (45))
chunk = lambda n, d: struct.pack (">I", len (d)) + n + d + struct.pack (">I", zlib.crc32 (n + d))
open (sys.argv[1], "wb").write (b"\x89PNG\r\n\x1a\n" + chunk (b"IHDR", struct.pack (">IIBBBBB", 40, 45, 8, 0, 0, 0, 0))
                             + chunk (b"IDAT", zlib.compress (rows)) + chunk (b"IEND", b""))
END
  done
  { echo "file,mask"; for i in 1 2 3 4 5 6 7 8; do echo "$i.png,$i.png"; done; } > masks/train.csv
  if [ -s masks/8.png ]; then
    expect 0 run example.ini --output masks.out --quiet
    expect 0 eval masks.out/model-int8.safetensors --quiet --per-class
    prints "IoU %"
  fi
fi

example shards
mkdir shards
for i in 1 2 3 4 5 6 7 8; do
  echo $((i % 2)) > list/exif$i.cls
  echo $((i % 2)) > list/again$i.cls
done
tar -C list -cf shards/0.tar --sort=name --exclude='exif*' .
tar -C list -cf shards/1.tar --sort=name --exclude='again*' .
expect 0 run example.ini --output shards.out --quiet
cp shards/1.tar kept
echo 1 > list/exif2.cls
tar -C list -cf shards/1.tar --sort=name --exclude='again*' .
changed shards.out shards/1.tar "'1.tar: image at byte "
says "of class 1' instead of "

example "a table"
{
  echo "id,width,kind,height"
  for ((i = 0; i < 60; i++)); do
    echo "$i,$((i % 7)).5,$((i % 2 ? 1 : 0))-leaf,$((i % 2 * 30 + i % 5))"
  done
} > table.csv
expect 0 run example.ini --output table.out --quiet
prints "QAT int8"
cp table.csv kept
sed -i '13s/1-leaf/0-leaf/' table.csv
changed table.out table.csv "'line 13: 0-leaf,4.5,31' instead of 'line 13: 1-leaf,4.5,31'"
# without the table: what it was standardised with is in the model
mv table.csv elsewhere.csv
sed -n '1p;5p' elsewhere.csv > row.csv
expect 0 predict table.out/model-int8.safetensors row.csv --quiet
prints "leaf"
mv elsewhere.csv table.csv
expect 0 eval table.out/model-int8.safetensors --quiet

example "IDX"
mkdir mnist
{
  printf '\0\0\10\3\0\0\0\50\0\0\0\34\0\0\0\34'
  count 31360 255
} > mnist/train-images-idx3-ubyte
{ printf '\0\0\10\1\0\0\0\50'; count 40 9; } > mnist/train-labels-idx1-ubyte
for f in images-idx3 labels-idx1; do
  cp mnist/train-$f-ubyte mnist/t10k-$f-ubyte
done
gzip mnist/t10k-labels-idx1-ubyte 2> /dev/null || true
expect 0 run example.ini --output mnist.out --quiet
cp mnist/train-images-idx3-ubyte kept
patch mnist/train-images-idx3-ubyte $((16 + 784 * 7)) '\377'
changed mnist.out mnist/train-images-idx3-ubyte "'image 7 of class 7' has other contents"

example CIFAR
mkdir cifar
for i in 1 2 3 4 5; do { count 6146 6; } > cifar/data_batch_$i.bin; done
cp cifar/data_batch_1.bin cifar/test_batch.bin
expect 0 run example.ini --output cifar.out --quiet
cp cifar/data_batch_2.bin kept
patch cifar/data_batch_2.bin 0 '\3'
changed cifar.out cifar/data_batch_2.bin "'image 2 of class 3' instead of 'image 2 of class 0'"
expect 0 run example.ini --output cifar.one --quiet -o run.threads=1 -o data.workers=1 \
  -o data.auto_augment=randaugment -o data.erase=0.5 -o data.rotate=20
expect 0 run example.ini --output cifar.two --quiet -o run.threads=1 -o data.workers=3 \
  -o data.auto_augment=randaugment -o data.erase=0.5 -o data.rotate=20
same cifar.one/weights.safetensors cifar.two/weights.safetensors

example sound
if [ -r "$builddir/stage/datasets/wav.so" ]; then
  mkdir -p sound/train/low sound/train/high
  for ((i = 0; i < 24; i++)); do
    [ $((i % 2)) = 0 ] && d=low || d=high
    { # 1600 samples of 16 bits at 16000 Hz
      printf 'RIFF\244\14\0\0WAVEfmt \20\0\0\0\1\0\1\0'
      printf '\200\76\0\0\0\175\0\0\2\0\20\0data\200\14\0\0'
      count 3200 $((i % 2 ? 3 : 90))
    } > sound/train/$d/$i.wav
  done
  expect 0 run example.ini --output sound.out --quiet
  expect 0 predict sound.out/model-int8.safetensors sound/train/low/0.wav \
    --quiet
  prints "low"
  # the folders tell what a file is: none is asked about that is not read
  faults=$builddir/tests/faults/.libs/faults.so
  if [ -f "$faults" ] && ! grep -q '^#define QK_SANITIZED' "$builddir/config.h"; then
    questions () {
      ( direct
        LD_PRELOAD=$faults QATKIT_FAULT_STATS=$tmp/stats qatkit inspect example.ini \
          > /dev/null 2>&1 ) || failed "inspect with a counter"
      cat stats
    }
    before=$(questions)
    for ((i = 24; i < 40; i++)); do cp sound/train/low/0.wav sound/train/low/$i.wav; done
    after=$(questions)
    for ((i = 24; i < 40; i++)); do rm sound/train/low/$i.wav; done
    [ "$after" = "$before" ] || failed "$after questions about files, before 16 more sounds $before"
  fi
  cp sound/train/low/4.wav kept
  patch sound/train/low/4.wav 100 '\377'
  changed sound.out sound/train/low/4.wav "'low/4.wav' has other contents"
fi
example "sound, changed at random"
if [ -r "$builddir/stage/datasets/wav.so" ]; then
  for n in 1 3; do
    expect 0 run example.ini --output sound.$n --quiet -o run.threads=1 -o data.workers=$n
  done
  same sound.1/weights.safetensors sound.3/weights.safetensors
  expect 1 eval example.ini -o data.noise_snr=9,3
  says noise_snr
fi

# every example of the page was tested
sed -n 's/^; files of //p' "$page" | sort > there
sed '/^$/d' <<< "$tested" | sort > ran
same there ran

# ---- the recipe ----------------------------------------------------------------
kws=${QATKIT_DATA:-$srcdir/../shared/data}/kws
if [ -r "$kws/x.npy" ]; then
  expect 0 run "$srcdir/etc/kws-cnn.ini" -o data.root="$kws" -o train.epochs=4 \
    -o model.channels=8 -o qat.epochs=1 --output kws --quiet
  prints "QAT int8"
  expect 0 verify kws --quiet
else
  echo "no data for the recipe: not run"
fi
