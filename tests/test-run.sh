#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The whole story, and every command on what it leaves: progress, tables,
# JSON, predict, verify, inspect, compare.
. "${0%/*}/functions.sh"

# json FILE EXPRESSION: python's view of each line's value x; without python3
# the check is left out
json () {
  type python3 > /dev/null 2>&1 || { echo "no python3: JSON not read"; return; }
  python3 - "$1" "$2" <<'END' || failed "JSON of $1: $2"
import json, sys
text = open (sys.argv[1]).read ()
try:
    x = json.loads (text)
except json.JSONDecodeError:
    x = [json.loads (line) for line in text.splitlines ()]
assert eval (sys.argv[2]), x
END
}

expect 0 run tiny.ini
for row in network float "PTQ int8" "QAT fake-quantized" "QAT int8"; do
  grep -q "^$row  " out || failed "no row '$row'"
done
prints "files in run"
# plain lines where no terminal is
grep -q '^train 1/1: 128/128, .* samples/s, loss [0-9.]*, in ' err \
  || failed "no progress line of the training"
for stage in float calibrate "PTQ int8" "qat 2/2" "int8 2/2" "QAT fake-quantized"; do
  grep -q "^$stage: " err || failed "no progress of '$stage'"
done
! grep -q "$(printf '\r')" err || failed "control characters in plain progress"
for f in weights model-ptq model-int8 best; do
  [ -s run/$f.safetensors ] || failed "no $f"
done
json run/log.jsonl '[e["event"] for e in x][0] == "run_start" and x[-1]["event"] == "run_end"'
json run/timing.jsonl 'all (e["event"] == "timing" for e in x)'
json run/timing.jsonl 'all (e["input_wait_seconds"] >= 0 for e in x if e["what"].startswith (("train ", "qat ")))'

expect 0 run -q tiny.ini
[ ! -s err ] || failed "-q writes to stderr"
cp out table
expect 0 run --quiet tiny.ini --json
[ ! -s err ] || failed "-q writes to stderr"
json out '[r["network"] for r in x] == ["float", "PTQ int8", "QAT fake-quantized", "QAT int8"]'
json out 'all (0 <= r["top1"] <= r["top5"] <= 1 and r["samples"] == 50 for r in x)'
json out 'x[3]["bytes"] < x[0]["bytes"]'

# the stages alone
expect 0 train tiny.ini --output alone
prints "float"
w=alone/weights.safetensors
same $w run/weights.safetensors
expect 0 ptq tiny.ini -o model.weights=$w --output alone2
prints "PTQ int8"
expect 0 qat tiny.ini -o model.weights=$w --output alone3
prints "QAT int8"
[ ! -e alone3/model-ptq.safetensors ] || failed "qat did PTQ"
expect 0 run tiny.ini -o ptq.enabled=no -o train.epochs=0 -o model.weights=$w --output alone4
! grep -q PTQ out || failed "ptq.enabled = no does PTQ"

# eval: as the log of the run says, on either backend and any threads
m=run/model-int8.safetensors
top1 () { sed -n 's/.*"top1":\([0-9.]*\).*/\1/p' "$1" | tail -n 1; }
grep '"network":"int8' run/log.jsonl | sort -t: -k6 > evals
for more in "" "--backend reference" "--threads 1" "--threads 5"; do
  # shellcheck disable=SC2086
  expect 0 eval $m --json $more
  grep -q "\"top1\":$(top1 out)," evals || failed "another accuracy: $more"
  [ -f eval1 ] || sed 's/"samples_per_second.*//' out > eval1
  sed 's/"samples_per_second.*//' out | cmp - eval1 || failed "eval $more differs"
done
expect 0 eval $m
grep -q '^int8 ' out || failed "eval $m: no row int8"
! grep -q QAT out || failed "eval knows where $m comes from"
# class by class: what the run wrote of it, and what the scores say
expect 0 eval $m --json --per-class
table='x[0]["tables"][0]'
json out "$table"'["metric"] == "accuracy"'
json out "sum (r['count'] for r in $table['rows']) == 50"
json out "sum (map (sum, $table['matrix'])) == 50"
json out "all (r['count'] == sum (m) for r, m in zip ($table['rows'], $table['matrix']))"
json out "abs (sum (m[i] for i, m in enumerate ($table['matrix'])) / 50 - x[0]['top1']) < 1e-9"
cp out per-class
json run/tables-int8.json "[t['matrix'] for t in x] == [t['matrix'] for t in json.load (open ('per-class'))[0]['tables']]"
ls run/tables-float.json run/tables-ptq.json > /dev/null || failed "no tables"
expect 0 eval $m --per-class
prints 'F1 %'
prints 'meant \ answered'
expect 1 eval $m --per-class -o metric.name=ece
says "no metric of [metric] has a table"
expect 0 eval $m --batches 1 --json
json out 'x[0]["samples"] == 50'
expect 0 eval $m -o data.eval_batch=20 --batches 2 --json
json out 'x[0]["samples"] == 40'
expect 1 eval $m -o data.sise=16
says "did you mean 'size'"
expect 1 eval $m -o data.size=24
says "(1,24,24,3)"
says "(1,16,16,3)"
expect 0 eval tiny.ini -o model.weights=$w
prints "float"

# predict: several files, one of them bad
expect 0 export tiny.ini samples -o data.val_count=20 -o data.train_count=10
good=$(ls samples/val/*/*.jpg | head -n 3)
: > bad.jpg
# shellcheck disable=SC2086
expect 0 predict $m $good
[ "$(grep -c ' %  ' out)" = 15 ] || failed "5 classes of 3 samples expected"
[ ! -s err ] || failed "predict writes to stderr"
# shellcheck disable=SC2086
expect 1 predict $m bad.jpg $good nowhere.jpg
[ "$(grep -c ' %  ' out)" = 15 ] || failed "a bad sample stops the others"
says "bad.jpg"
says "nowhere.jpg"
# shellcheck disable=SC2086
expect 1 predict $m --json $good bad.jpg
json out 'len (x) == 3 and all (len (p["answers"]) == 5 for p in x)'
json out 'all (sum (c["score"] for c in p["answers"]) <= 1.0001 for p in x)'
expect 1 predict run/model-int8.safetensors tiny.ini
says "tiny.ini"
expect 2 predict tiny.ini bad.jpg
says "is a configuration"

# names of files are bytes; what is not UTF-8 is U+FFFD in JSON
set -- $good
cp "$1" $'caf\351 \360\237\220\242"\n.jpg'
cp $m $'mod\377l.safetensors'
expect 0 predict $'mod\377l.safetensors' --json $'caf\351 \360\237\220\242"\n.jpg'
json out 'x["file"] == "caf\ufffd \U0001f422\"\n.jpg"'
expect 0 bench $'mod\377l.safetensors' --runs 1 --backend reference --json - -q
json out 'x["model"] == "mod\ufffdl.safetensors" and len (x["results"]) == 1'
expect 0 inspect $'mod\377l.safetensors' --json
json out 'len (x["nodes"]) > 3'

# verify: not one byte, on both backends; -q has the verdict alone
expect 0 verify run --backend reference,fbgemm
prints "reference: 0 differing bytes"
prints "fbgemm: 0 differing bytes"
expect 0 verify run -q
[ "$(wc -l < out)" = 1 ] || failed "verify -q prints more than the verdict"
expect 0 verify run/best.safetensors
prints " 0 differing bytes"
expect 0 verify "$(ls run/checkpoints/*.safetensors | tail -n 1)" --batches 1
prints " 0 differing bytes"
expect 0 verify run --json --backend reference,fbgemm
json out 'len (x) == 2 and all (v["differing"] == 0 and v["bytes"] > 1000 for v in x)'
expect 0 verify run/best.safetensors --model $m
expect 0 verify run --backend qnnpack
prints "qnnpack: 0 differing bytes"

# libraries whose rounding is their own: a number, and no promise
for backend in onednn xnnpack; do
  qatkit plugins $backend > /dev/null 2>&1 || continue
  expect 0 verify run -q --json --backend $backend
  json out 'not x["exact"] and x["bytes"] > 1000'
  json out 'x["differing"] < x["bytes"] / 4 and x["fallbacks"] < len (x["nodes"])'
done
expect 1 verify run --backend refrence
says "did you mean 'reference'"
expect 1 verify run/best.safetensors --model alone2/model-ptq.safetensors
prints "NOT the same network"

# a model somebody changed: its checksum says so, and where it has none, verify
mkdir changed
cp run/best.safetensors changed
with_header $m "$(header_of $m | sed 's/"qatkit.checksum":"[0-9a-f]*"/"changed":"yes"/')" \
  > changed/model-int8.safetensors
cmp -s $m changed/model-int8.safetensors && failed "the model has no checksum"
expect 0 verify changed
says "has no checksum"
at=$(data_offset $m conv2.weight)
old=$(od -An -t u1 -j "$at" -N 1 $m)
cp $m flipped.safetensors
patch flipped.safetensors "$at" "\\x$(printf %02x $(((old + 64) % 256)))"
for command in inspect eval bench; do
  expect 1 $command flipped.safetensors
  says "flipped.safetensors: damaged: the checksum of its contents is"
done
at=$(data_offset changed/model-int8.safetensors conv2.weight)
patch changed/model-int8.safetensors "$at" "\\x$(printf %02x $(((old + 64) % 256)))"
expect 1 verify changed --backend reference,fbgemm
prints "NOT the same network"
grep -qE '^conv2 .* [1-9][0-9]*$' out || failed "conv2 is not said to differ"
grep -qE '^conv1 .* 0$' out || failed "conv1 is said to differ"
expect 1 verify changed --json
json out 'x["differing"] > 0'

# outputs of all samples, whose classes are their index modulo 10
accuracy () { # FILE: the share of the 50 rows with the largest number there
  python3 - "$1" <<'END'
import struct, sys
data = open (sys.argv[1], "rb").read ()
assert b"'shape': (50, 10)" in data[:128], data[:128]
y = struct.unpack ("<500f", data[128:])
rows = [y[10 * i : 10 * i + 10] for i in range (50)]
print (sum (r[i % 10] == max (r) for i, r in enumerate (rows)) / 50)
END
}
for f in $m tiny.ini; do
  expect 0 eval -q --json $f --save-outputs y.npy
  if type python3 > /dev/null 2>&1; then
    share=$(accuracy y.npy) || failed "the outputs of $f"
    json out "abs (x[0]['top1'] - $share) < 1e-9"
  fi
done
expect 0 eval -q $m --save-outputs y.npz --batches 1
[ -s y.npz ] || failed "no y.npz"
expect 1 eval -q $m --save-outputs y.jpg
says 'y.jpg: no format is known for the ending ".jpg"'

# inspect
expect 0 inspect $m
prints "conv1"
prints "target 'label': 10 categories"
grep -qE '^checksum [0-9a-f]{8}: ' out || failed "no checksum"
expect 0 inspect $m --json
json out 'x["targets"][0]["categories"] == 10 and x["nodes"][0]["int8"] is True'
expect 0 inspect $w
prints "conv1.weight"
prints "(8,3,3,3)"
expect 0 inspect run/best.safetensors
prints "param.conv1.weight"
expect 0 inspect $w --json
json out 'any (t["tensor"] == "fc.bias" for t in x)'

# compare
set -- -o ptq.methods=adaround -o ptq.adaround.iterations=30
expect 0 compare tiny.ini --output compared "$@"
for row in float "PTQ dynamic" "PTQ per tensor, minmax" "PTQ per tensor" \
    "PTQ per tensor + equalize" "PTQ per tensor + equalize + bias correction" \
    "PTQ per channel, minmax" "PTQ per channel" "PTQ per channel + bias correction" \
    "PTQ per channel + adaround" "QAT fake-quantized" "QAT int8"; do
  grep -q "^$row  " out || failed "no row '$row'"
done
expect 0 compare -q tiny.ini --output compared --json "$@"
! grep -v '^qatkit: warning: ' err || failed "-q writes to stderr"
json out 'len (x) == 12 and all (0 <= r["top1"] <= 1 for r in x)'

# the configuration of the program's own, by name
expect 1 run shapes-mobilenet_v2.ini -o data.sise=3
says "did you mean 'size'"
exit 0
