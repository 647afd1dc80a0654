#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Class folders of JPEGs: export, training on them, and all that can be wrong
# with them.
. "${0%/*}/functions.sh"

# where there are no pictures
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
  [ ! -e run ] || failed "a run without pictures made its folder"
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

# pictures
expect 0 export tiny.ini pictures -o data.train_count=300 -o data.val_count=50
n=$(find pictures/train -name '*.jpg' | wc -l)
[ "$n" = 300 ] || failed "$n pictures exported, expected 300"
n=$(find pictures/val -name '*.jpg' | wc -l)
[ "$n" = 50 ] || failed "$n pictures exported, expected 50"
# the same pictures, byte for byte, a second time
expect 0 export tiny.ini again -o data.train_count=300 -o data.val_count=50
diff -r pictures again || failed "two exports differ"
rm -r again
expect 1 export folder.ini x $(data pictures)
says "imagefolder"
says "cannot be exported"

expect 0 run folder.ini $(data pictures) --output good
prints "QAT int8"

# a class without pictures
mkdir pictures/val/aaa
folder pictures "class folder pictures/val/aaa has no .jpg"
rmdir pictures/val/aaa
mkdir pictures/train/aaa
touch pictures/train/aaa/notes.txt
folder pictures "class folder pictures/train/aaa has no .jpg"
cp pictures/train/*/*5.jpg pictures/train/aaa
folder pictures "11 classes" "10"
mv pictures/train/aaa pictures/aaa
mv pictures/train/disc pictures/train/dicse
folder pictures "'dicse'" "'disc'"
mv pictures/train/dicse pictures/train/disc
rm -r pictures/aaa

# one bad picture of each kind among many: named once, left out, counted
set -- pictures/train/*/*7.jpg
cut=$1 text=$2 empty=$3
head -c $(($(wc -c < "$cut") / 2)) "$cut" > x && mv x "$cut"
echo "this is no picture" > "$text"
: > "$empty"
expect 0 run folder.ini $(data pictures) --output some -o train.epochs=2
for f in "$cut" "$text" "$empty"; do
  [ "$(grep -cF "$f" err)" = 1 ] || failed "$f is named $(grep -cF "$f" err) times"
done
grep -q '"event":"epoch".*"bad_pictures":3' some/log.jsonl \
  || failed "log.jsonl does not count 3 bad pictures"
prints "3 pictures could not be decoded"

# the same with -q: warnings are not progress
expect 0 run -q folder.ini $(data pictures) --output quiet
[ "$(wc -l < err)" = 3 ] || failed "-q hides or adds something"

# more than the share allowed
rm -rf run
expect 1 run folder.ini $(data pictures) -o data.max_bad=0.005
says "of 300 pictures"
says "more than the 0.5 % allowed"
set -- pictures/val/star/*.jpg
head -c 200 "$1" > x
for f in pictures/val/disc/*.jpg; do cp x "$f"; done
expect 1 eval good/model-int8.safetensors
says "1 of 50 pictures (2 %)"
says "pictures/val/disc"
expect 0 eval good/model-int8.safetensors -o data.max_bad=0.1
prints "5 pictures could not be decoded"
# nothing but bad ones
for f in pictures/val/*/*.jpg; do cp x "$f"; done
expect 1 eval good/model-int8.safetensors -o data.max_bad=1
says "no picture"
expect 1 eval folder.ini $(data pictures) -o data.max_bad=1
says "no picture"

# a folder that is gone
mv pictures gone
expect 1 eval good/model-int8.safetensors
says "pictures/val"
exit 0
