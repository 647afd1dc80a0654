#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files of weights: what does not fit is listed whole; files that lie.
. "${0%/*}/functions.sh"

expect 0 train tiny.ini --output float
w=float/weights.safetensors
[ -s $w ] || failed "no weights"
rm -rf run

# they load, and give the accuracy the training ended with
a=$(sed -n 's/.*"network":"float".*"top1":\([0-9.]*\).*/\1/p' float/log.jsonl)
expect 0 eval tiny.ini -o model.weights=$w --json
prints "\"top1\":$a,"

# weights TEXT…: bad.safetensors is refused with all the texts
weights () {
  expect 1 run tiny.ini -o model.weights=bad.safetensors
  says "bad.safetensors"
  while [ $# -gt 0 ]; do
    says "$1"
    shift
  done
  [ ! -e run ] || failed "a run with bad weights made its folder"
}

h=$(header_of $w)
edit () { with_header $w "$(printf %s "$h" | sed "$1")" > bad.safetensors; }
case $h in
*'"fc.bias"'*'"shape":[10]'*) ;;
*) failed "another header than this test edits: $h" ;;
esac

# a missing and an extra one; two of each, all listed
edit 's/"fc.bias"/"fc.bais"/; s/"conv2.weight"/"conv9.weight"/'
weights "4 tensors do not fit" "missing: fc.bias" "missing: conv2.weight" \
  "not of this network: fc.bais" "not of this network: conv9.weight"
cp bad.safetensors x.safetensors
sed 's/^arch.*/&\nweights = x.safetensors/' tiny.ini > x.ini
expect 1 run x.ini
says "x.ini:6: [model] weights: x.safetensors: 4 tensors do not fit the network"
# wrong shapes, as the file has them
edit 's/"shape":\[8,3,3,3\]/"shape":[3,8,3,3]/; s/"shape":\[10\]/"shape":[5,2]/'
weights "2 tensors do not fit" "wrong shape: conv1.weight is (3,8,3,3), expected (8,3,3,3)" \
  "wrong shape: fc.bias is (5,2), expected (10)"
# another network altogether
expect 1 run tiny.ini -o model.weights=$w -o model.channels=4
says "wrong shape: conv1.weight"
says "wrong shape: 6 more (3 *.weight, 1 *.bias, 1 *.running_mean, 1 *.running_var)"
# batch-norm counters of PyTorch and names of DataParallel are fine
for prefix in module. _orig_mod. net.model.; do
  edit "s/\"\(conv\|bn\|fc\)/\"$prefix\1/g"
  expect 0 eval tiny.ini -o model.weights=bad.safetensors --json
  prints "\"top1\":$a,"
done
# the output alone has another size
edit 's/"shape":\[10\]/"shape":[5,2]/'
weights "Everything else fits.  Is the number of outputs"

# headers that lie
size=$(wc -c < $w)
edit "s/\"data_offsets\":\[0,/\"data_offsets\":[4,/"
weights "offset"
edit "0,/\"data_offsets\":\[0,[0-9]*\]/s//\"data_offsets\":[0,99999999999]/"
weights
edit "0,/\"data_offsets\":\[0,[0-9]*\]/s//\"data_offsets\":[-8,8]/"
weights
edit 's/"shape":\[8,3,3,3\]/"shape":[8,3,3,4611686018427387905]/'
weights
edit 's/"F32"/"F31"/'
weights "F31"
{ le64 $size; tail -c +9 $w; } > bad.safetensors
weights "header"
{ le64 9223372036854775807; tail -c +9 $w; } > bad.safetensors
weights "header"
head -c $((size - 1)) $w > bad.safetensors
weights
{ cat $w; printf x; } > bad.safetensors
weights
head -c 7 $w > bad.safetensors
weights
: > bad.safetensors
weights
head -c 4096 /dev/urandom > bad.safetensors
weights
rm bad.safetensors
weights "No such file"
mkdir bad.safetensors
weights
# a name that no checkpoint can keep is said before there is one
odd=$'w\xff.safetensors'
if cp $w "$odd" 2> /dev/null; then
  expect 1 run tiny.ini -o "model.weights=$odd"
  says "-o: [model] weights: is not UTF-8, in which models and checkpoints keep it"
  [ ! -e run ] || failed "a run that can keep nothing made its folder"
  expect 0 eval tiny.ini -o "model.weights=$odd"
fi
cp $w x.bin
expect 0 eval tiny.ini -o model.weights=x.bin
expect 0 eval tiny.ini -o model.weights=x.bin -o model.format=safetensors
cp tiny.ini x.safetensors
expect 1 run tiny.ini -o model.weights=x.safetensors
says "x.safetensors"

# a file that holds something else: a checkpoint, a model
expect 0 run tiny.ini --output whole
expect 1 run tiny.ini -o model.weights=whole/model-int8.safetensors
says "model-int8.safetensors"
says "missing: bn1.weight"
expect 1 eval $w
says "weights.safetensors"
says "not an int8 model"
expect 1 eval whole/best.safetensors
says "best.safetensors"
expect 1 predict $w x.jpg
says "not an int8 model"
expect 1 verify $w
says "weights.safetensors"
expect 1 verify whole/model-int8.safetensors
says "model-int8.safetensors"
expect 1 verify whole/best.safetensors --model $w
says "weights.safetensors"
exit 0
