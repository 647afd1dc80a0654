#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The recipes for networks as people have them, each in a short form, on public
# files that are not ours to distribute: QATKIT_DATA names their folder.
. "${0%/*}/functions.sh"

data=${QATKIT_DATA:-$srcdir/../shared/data}
[ -d "$data" ] || skip "no folder of public networks: QATKIT_DATA"
qatkit plugins > all 2> /dev/null
sed -n '/^models/,/^[a-z]/p' all | grep -q '^  onnx ' \
  || skip "built without protobuf-c or onnx.proto"

ran=0
# has FILE…: whether the data are there
has () {
  local f
  for f; do
    [ -r "$data/$f" ] || { echo "no $f: its recipe is not run"; return 1; }
  done
  ran=1
}

# score FOLDER NETWORK SCORE: as the log has it last
score () {
  local s
  s=$(grep '"event":"eval"' "$1/log.jsonl" | grep -F "\"network\":\"$2" \
      | tail -n 1 | grep -o "\"$3\":[^,}]*" | cut -d: -f2)
  [ -n "$s" ] || failed "$1: no score $3 of '$2' in log.jsonl"
  echo "$s"
}

# holds EXPRESSION: of numbers
holds () {
  awk "BEGIN { exit !($1) }" || failed "not true: $1"
}

# ---- keyword spotting, the float network as teacher ----------------------------
if has kws/kws_dscnn.onnx kws/x.npy kws/y.npy; then
  expect 0 run "$srcdir/etc/keyword-spotting.ini" --output kws --quiet \
    -o model.file="$data/kws/kws_dscnn.onnx" -o data.root="$data/kws" \
    -o run.threads=2 -o qat.epochs=2 -o qat.freeze_observers_after=0 \
    -o qconfig.activation.bits=8
  float=$(score kws float top1)
  holds "$float * 600 > 538.5 && $float * 600 < 539.5"
  int8=$(score kws 'QAT fake' top1)
  holds "$int8 * 600 > 534.5"
  holds "$(score kws 'QAT fake' sqnr) > $(score kws PTQ sqnr)"
  expect 0 verify kws --quiet --batches 2
  prints "0 differing bytes"
  # held out samples instead
  expect 0 eval "$srcdir/etc/keyword-spotting.ini" --quiet \
    -o model.file="$data/kws/kws_dscnn.onnx" -o data.root="$data/kws" \
    -o data.val_inputs= -o data.val_targets= -o data.val_share=0.2
fi

[ $ran = 1 ] || skip "none of the public files is in $data"
exit 0
