#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Class folders of JPEGs: export, training on them, and all that can be wrong
# with them.
. "${0%/*}/functions.sh"

# where there are no samples
data () { echo "-o data.dataset=imagefolder -o data.crop=32 -o data.resize=32 -o data.root=$1"; }
# folder ROOT TEXT…: fails, says the texts, leaves nothing
folder () {
  # shellcheck disable=SC2046
  sed '/^size\|_count/d' tiny.ini > folder.ini
  expect 1 run folder.ini $(data "$1")
  shift
  while [ $# -gt 0 ]; do
    says "$1"
    shift
  done
  [ ! -e run ] || failed "a run without samples made its folder"
}
folder nowhere "nowhere" "No such file"
folder tiny.ini "tiny.ini" "Not a directory"
mkdir -p bare/train bare/val
folder bare "bare/val has no class folders"
expect 1 run folder.ini -o data.dataset=imagefolder
says "root"
if [ "$(id -u)" != 0 ]; then
  mkdir -p locked/val
  chmod 0 locked/val
  folder locked "locked/val" "Permission denied"
fi

# samples
expect 0 export tiny.ini samples -o data.train_count=300 -o data.val_count=50
n=$(find samples/train -name '*.jpg' | wc -l)
[ "$n" = 300 ] || failed "$n samples exported, expected 300"
n=$(find samples/val -name '*.jpg' | wc -l)
[ "$n" = 50 ] || failed "$n samples exported, expected 50"
# the same samples, byte for byte, a second time
expect 0 export tiny.ini again -o data.train_count=300 -o data.val_count=50
diff -r samples again || failed "two exports differ"
rm -r again
expect 1 export folder.ini x $(data samples)
says "imagefolder"
says "cannot be exported"

expect 0 run folder.ini $(data samples) --output good
prints "QAT int8"

# the folders tell what a file is: a question for each of 1.28 million costs
# minutes on a file server.  As many for 60 samples as for 50.
faults=$builddir/tests/faults/.libs/faults.so
if [ -f "$faults" ] && ! grep -q '^#define QK_SANITIZED' "$builddir/config.h"; then
  questions () {
    ( direct
      # shellcheck disable=SC2046
      LD_PRELOAD=$faults QATKIT_FAULT_STATS=$tmp/stats qatkit eval folder.ini $(data samples) \
        -o data.batch=8 > /dev/null 2>&1 ) || failed "eval with a counter"
    cat stats
  }
  before=$(questions)
  class=$(basename "$(ls -d samples/val/*/ | head -n 1)")
  for i in $(seq 10); do
    cp "$(ls samples/val/"$class"/*.jpg | head -n 1)" samples/val/"$class"/more$i.jpg
  done
  after=$(questions)
  rm samples/val/"$class"/more*.jpg
  [ "$after" = "$before" ] || failed "$after questions about files, before 10 more images $before"
fi

# a class without samples
mkdir samples/val/aaa
folder samples "class folder samples/val/aaa has no .jpg"
rmdir samples/val/aaa
mkdir samples/train/aaa
touch samples/train/aaa/notes.txt
folder samples "class folder samples/train/aaa has no .jpg"
cp samples/train/*/*5.jpg samples/train/aaa
folder samples "11 categories" "10" "the latter lack 'aaa'"
mv samples/train/aaa samples/aaa
mv samples/train/disc samples/train/dicse
folder samples "'dicse'" "'disc'"
mv samples/train/dicse samples/train/disc
rm -r samples/aaa

# one bad sample of each kind among many: named once, left out, counted
set -- samples/train/*/*7.jpg
cut=$1 text=$2 empty=$3
head -c $(($(wc -c < "$cut") / 2)) "$cut" > x && mv x "$cut"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n' > "$text"
: > "$empty"
expect 0 run folder.ini $(data samples) --output some -o train.epochs=2
for f in "$cut" "$text" "$empty"; do
  [ "$(grep -cF "$f" err)" = 1 ] || failed "$f is named $(grep -cF "$f" err) times"
done
says "$text: this is a pointer of Git LFS, not the file"
grep -q '"event":"epoch".*"bad_samples":3' some/log.jsonl \
  || failed "log.jsonl does not count 3 bad samples"
prints "3 samples could not be decoded"

# the same with -q: warnings are not progress
expect 0 run -q folder.ini $(data samples) --output quiet
[ "$(wc -l < err)" = 3 ] || failed "-q hides or adds something"

# more than the share allowed
rm -rf run
expect 1 run folder.ini $(data samples) -o data.max_bad=0.005
says "of 300 samples"
says "more than the 0.5 % allowed"
set -- samples/val/star/*.jpg
head -c 200 "$1" > x
for f in samples/val/disc/*.jpg; do cp x "$f"; done
expect 1 eval good/model-int8.safetensors
says "1 of 50 samples (2 %)"
says "samples/val/disc"
expect 0 eval good/model-int8.safetensors -o data.max_bad=0.1
prints "5 samples could not be decoded"
# nothing but bad ones
for f in samples/val/*/*.jpg; do cp x "$f"; done
expect 1 eval good/model-int8.safetensors -o data.max_bad=1
says "no sample"
expect 1 eval folder.ini $(data samples) -o data.max_bad=1
says "no sample"

# --data: the images of a folder, without a configuration or in one
few=(-q -o train.epochs=1 -o train.batches=2 -o qat.epochs=1 -o qat.batches=1 -o model.width=0.1 -o data.batch=8)
mkdir -p own/disc own/ring
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  cp "$srcdir/tests/golden/jpeg/odd.jpg" "own/disc/$i.jpg"
  cp "$srcdir/tests/golden/jpeg/odd.jpg" "own/ring/$i.jpg"
done
expect 0 run --data own --output own-run "${few[@]:1}"
says "no network is named: a narrow MobileNetV2 learns the classes in 'own', from images of 64x64; a tenth"
grep -q '^root = own$' own-run/config.ini || failed "config.ini does not name the folder"
mkdir -p split/train split/val
cp -r own/* split/train
cp -r own/* split/val
expect 0 run --data split --output own-run --overwrite "${few[@]}"
! grep -q '^val_share' own-run/config.ini || failed "images are held out though there is val"
sed 's/^dataset = .*/dataset = imagefolder\nresize = 18\ncrop = 16/' folder.ini > own.ini
expect 0 run own.ini --data own --output own-run --overwrite "${few[@]:0:9}" -o data.batch=8
grep -q '^root = own$' own-run/config.ini || failed "--data is passed over beside a configuration"
expect 1 run --data nowhere
says "--data 'nowhere': No such file or directory"
expect 1 run --data own/disc
says "--data 'own/disc' has no class folders"
expect 1 run tiny.ini --data own
says "the configuration's dataset is 'shapes', expected imagefolder"

# a folder that is gone
mv samples gone
expect 1 eval good/model-int8.safetensors
says "samples/val"
exit 0
