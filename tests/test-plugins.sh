#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The list of plugins, one of them; plugins that are none of ours.
. "${0%/*}/functions.sh"

expect 0 plugins
for kind in layers models observers fakequant optimizers schedules formats \
    reporters backends datasets losses metrics comm ptq; do
  grep -qx "$kind" out || failed "no kind $kind in the list"
done
n=$(grep -c '^  ' out)
[ "$n" -ge 34 ] || failed "only $n plugins"
! grep -q 'cannot be loaded' out || failed "a plugin cannot be loaded"

# each of them alone, by kind and name
awk '/^[a-z]/ { kind = $1 } /^  / { print kind "/" $1 }' out > names
while read -r name; do
  qatkit plugins "$name" > out 2> err || failed "plugins $name"
  grep -q "^[a-z ]* ${name#*/}: " out || failed "plugins $name: no title"
  for key in file version licence abi; do
    grep -q "^$key=." out || failed "plugins $name: no $key"
  done
done < names

expect 0 plugins sgd
prints "momentum = 0"
expect 0 plugins optimizer/sgd
prints "optimizer sgd:"
expect 0 plugins observers/histogram
prints "bins = "
expect 0 plugins fbgemm
prints "cpu_level="
expect 1 plugins histogramm
says "no plugin 'histogramm'"
says "did you mean 'histogram'"
expect 1 plugins observers/sgd
says "sgd"
expect 1 plugins nokind/sgd
says "no plugin 'nokind/sgd'"

if type python3 > /dev/null 2>&1; then
  expect 0 plugins --json
  python3 -c '
import json, sys
n = 0
for line in open ("out"):
    p = json.loads (line)
    assert p["kind"] and p["name"] and p["description"] and p["file"]
    n += 1
assert n >= 34, n' || failed "plugins --json is not JSON lines"
fi

# another folder in front of the path; a plugin that cannot be loaded is told
mkdir -p mine/observers
head -c 100 /dev/urandom > mine/observers/garbage.so
QATKIT_PLUGIN_PATH=$tmp/mine:${QATKIT_PLUGIN_PATH:-$builddir/stage}
export QATKIT_PLUGIN_PATH
expect 1 plugins
prints "histogram"
prints "cannot be loaded"
expect 1 plugins garbage
says "garbage.so"
expect 1 run tiny.ini -o qconfig.weight.observer=garbage
says "garbage.so"

# by path, with '/'
[ -d "$testplugins" ] || { echo "no test plugins, part left out"; exit 0; }
# job FILE TEXT…: a run with this observer fails and says all the texts
job () {
  local file=$1
  shift
  expect 1 run tiny.ini -o "qconfig.weight.observer=$testplugins/$file.so"
  while [ $# -gt 0 ]; do
    says "$1"
    shift
  done
  [ ! -e run/log.jsonl ] || failed "work was begun"
  [ ! -d run ] || failed "the folder was made"
}
job tp_wrong_abi tp_wrong_abi.so "plugin ABI 7" "plugin ABI 1"
job tp_later_abi tp_later_abi.so "plugin ABI 2" "plugin ABI 1"
job tp_wrong_kind tp_wrong_kind.so "kind schedule" "expected observer"
job tp_wrong_name tp_wrong_name.so "'tp_original'" "expected 'tp_wrong_name'"
job tp_not_plugin tp_not_plugin.so "qk_plugin_v1 is missing"
job tp_null tp_null.so "returns nothing"
job tp_tiny tp_tiny.so struct_size
job tp_beyond tp_beyond.so "more than there is in the file"
job tp_liar tp_liar.so "has no function"
job tp_small_self tp_small_self.so "self_size 4"
job tp_missing_slot tp_missing_slot.so range
job tp_bad_option tp_bad_option.so bins
job no_such no_such.so "No such file"
expect 1 run tiny.ini -o qconfig.weight.observer=./tiny.ini
says "./tiny.ini"

# a good one runs, with an option of its own
good=$testplugins/tp_good.so
expect 1 ptq tiny.ini -o ptq.weight.observer=$good \
  -o ptq.weight.observer.strat=1
says "unknown key 'weight.observer.strat' in [ptq]"
says "did you mean 'weight.observer.start'"
expect 1 ptq tiny.ini -o ptq.weight.observer=$good \
  -o ptq.weight.observer.start=101
says "start"
says "101"
expect 0 ptq tiny.ini -o ptq.weight.observer=$good \
  -o ptq.weight.observer.start=9
expect 0 plugins "$good"
prints "observer tp_good: "
exit 0
