#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What depends on lists of files and classes compares them, and names the first
# difference: a run that is resumed, and a model on other data.  And the last
# batch of an epoch.
. "${0%/*}/functions.sh"

expect 0 export tiny.ini samples -o data.train_count=100 -o data.val_count=60
sed '/^size\|_count\|^dataset/d' tiny.ini > folder.ini
data=(-o data.dataset=imagefolder -o data.crop=16 -o data.resize=16 -o data.root=samples)
expect 0 run folder.ini "${data[@]}"
cp -r samples original

# changed WHAT: --resume refuses, and says that
changed () {
  expect 1 run folder.ini "${data[@]}" --resume
  says "samples are not those that the run in 'run' began with: $1"
  rm -r samples
  cp -r original samples
}
class=$(basename "$(ls -d samples/train/*/ | sed -n 3p)")
first=$(basename "$(ls samples/train/"$class"/*.jpg | head -n 1)")
for split in train val; do mv samples/$split/"$class" samples/$split/aaa; done
changed "'label 0 is aaa' instead of 'label 0 is"
rm samples/train/"$class"/"$first"
changed "'$class/$first' is missing"
cp samples/train/"$class"/"$first" samples/train/"$class"/zzz.jpg
changed "'$class/zzz.jpg' is new"
other=$(ls samples/train/"$class"/*.jpg | tail -n 1)
cp "$other" samples/train/"$class"/"$first"
changed "'$class/$first' has other contents"
one=$(ls samples/val/"$class"/*.jpg | head -n 1)
mv "$one" "${one%.jpg}x.jpg"
changed "'$class/"
# the folder may have moved
mv samples elsewhere
expect 0 run folder.ini "${data[@]}" -o data.root=elsewhere --resume
mv elsewhere samples
# what power loss left of the list is no reason to refuse
for size in 0 300; do
  truncate -s $size run/samples-train.txt
  expect 0 run folder.ini "${data[@]}" --resume
  says "samples-train.txt: damaged"
done
expect 0 run folder.ini "${data[@]}" --resume

# a model finds classes by name: some of them, in another order of numbers
model=run/model-int8.safetensors
top () { grep -o '"top1":[0-9.]*' out; }
expect 0 eval $model --json
last=$(basename "$(ls -d samples/val/*/ | tail -n 1)")
mkdir -p some/train some/val
cp -r samples/val/"$last" samples/val/"$class" some/val
expect 0 eval $model --json -o data.root=some
two=$(top)
# as PyTorch's numbers would be: the same images among all classes
expect 0 predict $model samples/val/"$last"/*.jpg samples/val/"$class"/*.jpg --json
if type python3 > /dev/null 2>&1; then
  python3 - out "$last" "$two" << 'END' || failed "eval of two classes says $two"
import json, sys
right = n = 0
for line in open(sys.argv[1]):
    e = json.loads(line)
    n += 1
    right += e["answers"][0]["answer"] == e["file"].split("/")[-2]
assert abs(float(sys.argv[3].split(":")[1]) - right / n) < 1e-4, (right, n)
END
fi
mv some/val/"$last" some/val/unheard
expect 1 eval $model -o data.root=some
says "category 'unheard' of target 'label' is none of the model's: "

# a last batch of one sample, for batch-norm over one value a channel
narrow=(-o data.size=16 -o data.train_count=33 -o data.val_count=16 -o model.depth=8
  -o model.channels=2 -o train.epochs=1 -o qat.batches=0 -o qat.epochs=1)
expect 1 run tiny.ini "${narrow[@]}" --output last
says "the last batch of an epoch has one sample, on which this network cannot be trained; set data.last_batch to drop or merge"
[ ! -e last/weights.safetensors ] || failed "said after training"
expect 0 run tiny.ini "${narrow[@]}" --output last -o data.last_batch=drop
grep -q '"samples":32,' last/log.jsonl || failed "drop: $(grep '"epoch"' last/log.jsonl)"
expect 0 run tiny.ini "${narrow[@]}" --output last -o data.last_batch=merge
grep -q '"stage":"train".*"samples":33,' last/log.jsonl || failed "merge: $(grep '"epoch"' last/log.jsonl)"
# any count, workers or not: the same samples, each once
for n in 31 32 64 65 95; do
  expect 0 train tiny.ini --output m -o data.train_count=$n -o data.last_batch=merge -o data.workers=3
  grep -q "\"samples\":$n," m/log.jsonl || failed "merge of $n samples"
  expect 0 train tiny.ini --output d -o data.train_count=$n -o data.last_batch=drop
  want=$((n / 32 * 32))
  [ $want -gt 0 ] || want=$n
  grep -q "\"samples\":$want," d/log.jsonl || failed "drop of $n samples"
done
exit 0
