#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tune --minimize: bits for each layer, as cheap as reaches the goal.
. "${0%/*}/functions.sh"
requires python3

# trials EXPRESSION: python's view of the value x that tune --json has printed
trials () {
  python3 -c 'import json, sys
x = json.load (open ("out"))
sys.exit (not eval (sys.argv[1]))' "$1" || failed "$1"
}

small=(-o data.val_count=40 -o tune.points=5 -o tune.samples=16)
ptq=(--goal 'top1 >= 1' "${small[@]}" -o qat.epochs=0)

# what is wrong is named before anything is trained
wrong () { # SENTENCE OPTION…
  local sentence=$1
  shift
  expect 1 tune tiny.ini "$@" "${ptq[@]}" --output wrong
  says "$sentence"
  ! grep -q 'train 1/1' err || failed "trained before it is said that: $sentence"
  rm -rf wrong
}
wrong "minimize: flash, expected bytes, bitops or latency" --minimize flash
wrong "minimize: arena, expected bytes, bitops or latency; the arena is the same for all bits" \
  --minimize arena
wrong "[tune] bits: expected different whole numbers of bits, got 4.5" --minimize bytes \
  -o tune.bits=8,4.5
wrong "[tune] bits: expected different whole numbers of bits, got 4" --minimize bytes -o tune.bits=8,4,4
wrong "expected at least two numbers of bits to choose from, got 1" --minimize bytes -o tune.bits=8
wrong "[tune] bits: expected" --minimize bytes -o tune.bits=8,9
wrong "no solver plugin 'gredy' (did you mean 'greedy'?)" --minimize bytes -o tune.solver=gredy
wrong "unknown key 'fil' in [solver greedy] (did you mean 'fill'?)" --minimize bytes \
  -o tune.solver=greedy -o 'solver greedy.fil=no'

# fewest bytes after calibration: the same bits everywhere, then chosen ones
expect 0 tune tiny.ini --minimize bytes "${ptq[@]}" --json
trials 'x["minimize"] == "bytes" and x["reached"] and len (x["layers"]) == 4'
trials 'all (f["noise"] > 0 and f["cost"] > 0 for l in x["layers"] for f in l["forms"])'
trials '[f["bits"] for f in x["layers"][1]["forms"]] == [2, 3, 4, 5, 6, 8]'
trials '[t["label"] for t in x["trials"][:6]] == ["%d bits in 4 layers" % b for b in (8, 6, 5, 4, 3, 2)]'
trials 'len (x["trials"]) == 8 and "mean" in x["trials"][6]["label"]'
# noise falls with the bits; the cheapest that reaches the goal is the best
trials 'all (a["noise"] > b["noise"] for l in x["layers"] for a, b in zip (l["forms"], l["forms"][1:]))'
trials 'min (t["cost"] for t in x["trials"] if t["reached"]) == x["trials"][x["best"]]["cost"]'
# what is foreseen is what the networks have
trials 'all (abs (t["cost"] - t["bytes"]) <= 0.01 * t["bytes"] for t in x["trials"])'
cp out first
chart=$(awk '/qk_page_chart\[\]/ { getline; print; exit }' "$builddir/core/pages/page-data.c")
if [ "$chart" = "0 };" ]; then
  [ ! -e run/tuning.html ] || failed "a page without Chart.js"
else
  grep -q '"minimize": *"bytes"' run/tuning.html || failed "no tuning.html with the numbers"
  if dom run/tuning.html; then
    ! grep -o '<html[^>]*data-error="[^"]*"' dom || failed "an error in the page's script"
    [ "$(grep -o '<canvas[^>]*width="[1-9]' dom | wc -l)" = 3 ] || failed "not three charts"
    grep -q '>8 bits in 4 layers</td>' dom || failed "no row of a trial"
  else
    echo "no chromium that runs: charts not looked at"
  fi
fi
grep -q '"qconfig [a-z0-9]*, [a-z0-9]*:weight.bits=' run/tune.jsonl || failed "no bits for two layers"

# tuned.ini repeats the best
best=$(sed -n '1s/; int8 top1 \([0-9.]*\).*/\1/p' run/tuned.ini)
expect 0 run run/tuned.ini
grep 'PTQ int8' out | grep -qF " $best " || failed "tuned.ini does not give $best again"

# continued: nothing is measured and nothing tried again; a damaged file is
expect 0 tune tiny.ini --minimize bytes "${ptq[@]}" --resume --json
says "what layers cost and lose is known from run/sensitivity.json"
trials 'all (t["remembered"] for t in x["trials"])'
sed 's/"remembered":true/"remembered":false/g' out | cmp - first || failed "continued, it differs"
for damage in '{' '[]' '{"crc32": 1}' "$(sed 's/"noise": [0-9.e-]*/"noise": -1/' run/sensitivity.json)" \
    "$(sed 's/"bits": 2/"bits": 9/' run/sensitivity.json)" "$(sed 's/"name"/"nam"/' run/sensitivity.json)"; do
  printf '%s' "$damage" > run/sensitivity.json
  expect 0 tune tiny.ini --minimize bytes "${ptq[@]}" --resume --json
  ! grep -q "is known from" err || failed "used: ${damage:0:60}"
  trials 'all (t["remembered"] for t in x["trials"])'
done

# a layer that has a section of its own keeps its bits; all of them: an error
expect 0 tune tiny.ini --minimize bytes "${ptq[@]}" --output fixed --json -o 'qconfig conv1:weight.bits=7'
trials '[f["bits"] for f in x["layers"][0]["forms"]] == [7]'
! grep -q 'qconfig .*conv1.*:weight.bits=[^7]' fixed/tune.jsonl || failed "conv1 has other bits"
expect 1 tune tiny.ini --minimize bytes "${ptq[@]}" --output fixed --overwrite -o 'qconfig *:weight.bits=7'
says "no layer's bits are free to choose"

# a run of such a configuration continues with other threads
printf '[tune]\nsamples = 32\n[solver greedy]\nfill = no\n' >> tiny.ini
expect 0 run -q tiny.ini --output kept
expect 0 run -q tiny.ini --output kept --resume --threads 1
sed -i '/^\[tune\]/,$d' tiny.ini

# each solver, and one of somebody else's
for solver in $(qatkit plugins | awk '/^[a-z]/ { k = $1 } /^  / && k == "solvers" { print $1 }'); do
  expect 0 tune tiny.ini --minimize bitops "${ptq[@]}" --output "$solver" --json -o "tune.solver=$solver"
  says "bits are chosen by the solver $solver"
  trials 'x["trials"][0]["cost"] > 3.9 * x["trials"][5]["cost"]'
  trials 'all (f["cost"] in (l["macs"] * f["bits"] * a for a in (7, 8)) for l in x["layers"] for f in l["forms"])'
done

# the Hessian in place of the noise: layers and costs are the same, what they lose
# is not; another seed has other vectors; resumed, it is known
expect 0 tune tiny.ini --minimize bytes "${ptq[@]}" --output hessian --json -o tune.sensitivity=hessian \
  -o tune.probes=4
trials 'len (x["layers"]) == 4 and all (f["noise"] >= 0 for l in x["layers"] for f in l["forms"])'
trials 'any (l["forms"][0]["noise"] > 0 for l in x["layers"])'
trials 'all (a["noise"] >= b["noise"] for l in x["layers"] for a, b in zip (l["forms"], l["forms"][1:]))'
python3 - << 'END' || failed "other costs than with noise, or the same losses"
import json, sys
a, b = (json.load (open (f))["layers"] for f in ("first", "out"))
costs = [[[f["cost"] for f in l["forms"]] for l in x] for x in (a, b)]
noise = [[[f["noise"] for f in l["forms"]] for l in x] for x in (a, b)]
sys.exit (costs[0] != costs[1] or noise[0] == noise[1])
END
expect 0 tune tiny.ini --minimize bytes "${ptq[@]}" --output hessian --json -o tune.sensitivity=hessian \
  -o tune.probes=4 --resume
says "what layers cost and lose is known from hessian/sensitivity.json"
expect 1 tune tiny.ini --minimize bytes "${ptq[@]}" --output hessian --overwrite -o tune.sensitivity=hessian \
  -o 'loss.during=qat' -o train.epochs=0
says "no loss counts in float training"

# seconds: those of one sample on the backend
expect 0 tune tiny.ini --minimize latency "${ptq[@]}" --output seconds
prints " ms "

# training where calibration does not suffice, down to the cheapest that does
expect 1 tune tiny.ini --minimize bytes --goal 'top1 >= 100' "${small[@]}" --output far --json
trials '[t["qat"] for t in x["trials"]].count (True) == 1 and x["trials"][-1]["qat"]'
trials 'not x["reached"]'
grep -q 'trial 9: 8 bits in 4 layers' err || failed "the dearest was not trained"
expect 0 tune tiny.ini --minimize bytes --goal 'loss <= 100' "${small[@]}" --output near --json
trials 'x["reached"] and "2 bits" in x["trials"][x["best"]]["label"]'
