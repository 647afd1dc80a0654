#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The list of plugins, one of them; plugins that are none of ours.
. "${0%/*}/functions.sh"

expect 0 plugins
for kind in layers models observers fakequant optimizers schedules formats \
    reporters backends datasets losses metrics comm ptq solvers; do
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

# a layer by path is in models that open with --plugin only: said before training
expect 0 qat tiny.ini -o model.activation="$builddir/stage/layers/elu.so" --output path \
  -o 'qconfig act2.quantize=no'
says "is named by its path, which no model file may choose"
says "open with --plugin $builddir/stage/layers/elu.so only"
says "no weights are named (model.weights): the float network is one of random numbers"
model=path/model-int8.safetensors
expect 1 eval $model
says "layer '$builddir/stage/layers/elu.so' is a path, which a model must not choose; give it with --plugin"
expect 0 eval $model --plugin "$builddir/stage/layers/elu.so" --json
grep -o '"loss":[^,]*' out > same-path
# the file may have come from another folder
mkdir elsewhere
cp "$builddir/stage/layers/elu.so" elsewhere
for c in "eval --json" inspect "bench --runs 1"; do
  # shellcheck disable=SC2086
  expect 0 $c $model --plugin ./elsewhere/elu.so
  if [ "$c" = "eval --json" ]; then
    grep -o '"loss":[^,]*' out > other-path
    same same-path other-path
  fi
done
expect 1 verify path
says "--plugin"
expect 0 verify path --plugin ./elsewhere/elu.so
expect 1 eval $model --plugin ./elsewhere/other.so
says "give it with --plugin"
expect 2 eval $model --plugin elu.so
says "--plugin is 'elu.so', expected the path of a .so, such as ./elu.so"
expect 0 ptq tiny.ini -o model.activation=elu --output plain
says "no weights are named"
expect 0 train tiny.ini -o model.activation=elu --output trained
if grep -q "no weights are named\|by its path" err; then
  failed "a warning without need"
fi
expect 0 qat tiny.ini -o model.activation=elu -o model.weights=trained/weights.safetensors --output qat
if grep -q "no weights are named" err; then failed "a warning without need"; fi

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
job tp_data_entry tp_data_entry.so "its symbol qk_plugin_v1 is data, expected a function"
job tp_outside tp_outside.so "class 0 lies outside the file"
job tp_nameless tp_nameless.so "class 'tp_nameless' has no description"
job tp_endless tp_endless.so "the options of class 'tp_endless' lie outside the file"
expect 1 run tiny.ini -o "qconfig.weight.observer=$testplugins/tp_silent.so"
says "observer 'tp_silent': its slot create returned -5 (Input/output error) without a sentence"

# cut anywhere: refused, not killed when it is touched
size=$(wc -c < "$testplugins/tp_good.so")
for n in 0 3 60 200 1000 4096 $((size / 4)) $((size / 2)); do
  head -c $n "$testplugins/tp_good.so" > tp_good.so
  expect 1 plugins ./tp_good.so
  says "plugin ./tp_good.so: "
done

# the reason, not the kind that was tried last
expect 1 plugins "$testplugins/tp_missing_slot.so"
says "observer class lacks required slot 'range'"
expect 1 plugins "$testplugins/tp_wrong_name.so"
says "its name is 'tp_original'"

# a link does not hide who may write what it leads to, a folder further up too
mkdir -p trust/open trust/up/deep
cp "$testplugins/tp_good.so" trust/open/
cp "$testplugins/tp_good.so" trust/up/deep/
ln -s ../open trust/up/way
ln -s open/tp_good.so trust/tp_good.so
expect 0 plugins ./trust/tp_good.so
chmod o+w trust/open
for f in ./trust/open/tp_good.so ./trust/tp_good.so ./trust/up/way/tp_good.so; do
  expect 1 plugins $f
  says "open' can be written by everyone: refused"
done
chmod o-w trust/open
chmod o+w trust/up
expect 1 plugins ./trust/up/deep/tp_good.so
says "trust/up' can be written by everyone: refused (on the way to './trust/up/deep/tp_good.so')"
expect 1 plugins ./trust/up/way/tp_good.so
chmod +t trust/up
expect 0 plugins ./trust/up/deep/tp_good.so
chmod 755 trust/up

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
