#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whose float products train is a choice of the run: without the library's
# plugin nothing needs the library, and what is trained is deployed with either.
. "${0%/*}/functions.sh"
requires objdump
stage=${QATKIT_PLUGIN_PATH:-$builddir/stage}

# ---- who needs a library that has a plugin of its own ------------------------
n=0
for so in "$stage"/*/*.so "$builddir"/.libs/libqatkit.so; do
  name=${so#"$stage/"}
  objdump -p "$(readlink -f "$so")" | sed -n 's/^ *NEEDED *//p' > needed
  [ -s needed ] || [ "${so%/*}" != "$builddir/.libs" ] || failed "libqatkit needs nothing"
  case $name in
    backends/onednn.so) grep -q '^libdnnl' needed || failed "$name does not need oneDNN"; continue ;;
    backends/xnnpack.so | comm/mpi.so) continue ;;
  esac
  if grep -E '^lib(dnnl|XNNPACK|mpi|mpich)\.so' needed; then failed "$name needs it"; fi
  n=$((n + 1))
done
[ $n -ge 60 ] || failed "only $n plugins"

# ---- the same folders without the plugins that have float products -----------
mkdir without
for dir in "$stage"/*/; do cp -r "$dir" without; done
rm -f without/backends/onednn.so
small=(-o run.threads=2 -o data.train_count=96 -o ptq.methods=adaround)
chosen () { strings_of "$1" | grep -o 'float_backend = [a-z_0-9]*' | head -n 1; }
strings_of () { tr -c '[:print:]\n' '\n' < "$1" | sed 's/\\n/\n/g'; }

expect 0 run tiny.ini --output own "${small[@]}" -o run.float_backend=none
expect 0 verify own
[ "$(chosen own/model-int8.safetensors)" = "float_backend = none" ] \
  || failed "the model says $(chosen own/model-int8.safetensors)"
(
  export QATKIT_PLUGIN_PATH=$tmp/without
  expect 0 run tiny.ini --output alone "${small[@]}"
  expect 0 verify alone
  expect 1 run tiny.ini --output x -o run.float_backend=onednn
  says "[run] float_backend: "
  says "onednn"
) || exit
numbers_of () { tail -c +$((9 + $(header_size "$1"))) "$1"; }
cmp <(numbers_of own/weights.safetensors) <(numbers_of alone/weights.safetensors) \
  || failed "without the plugin something else is trained than with none"

# ---- what has no products ----------------------------------------------------
expect 1 run tiny.ini --output x -o run.float_backend=reference
says "backend 'reference' has no float products (slot sgemm); give auto, none or another backend"
expect 1 run tiny.ini --output x -o run.float_backend=onedn
[ ! -e x ] || failed "a refused run made its folder"

qatkit plugins backends/onednn > /dev/null 2>&1 || { echo "built without oneDNN"; exit 0; }

# ---- with them ---------------------------------------------------------------
expect 0 run tiny.ini --output auto "${small[@]}"
expect 0 verify auto
[ "$(chosen auto/model-int8.safetensors)" = "float_backend = onednn" ] \
  || failed "the model says $(chosen auto/model-int8.safetensors)"
expect 0 run tiny.ini --output named "${small[@]}" -o run.float_backend=onednn
cmp <(numbers_of auto/weights.safetensors) <(numbers_of named/weights.safetensors) \
  || failed "auto and onednn train other weights"
# products that are rounded in another order: another kind is at work
cmp -s <(numbers_of auto/weights.safetensors) <(numbers_of own/weights.safetensors) \
  && failed "float_backend = none trains with the same products"

# a run goes on with the kind it began with, wherever it does
expect 1 run tiny.ini --output auto "${small[@]}" -o run.float_backend=none --resume
says "[run] float_backend was = onednn, now = none"
(
  export QATKIT_PLUGIN_PATH=$tmp/without
  expect 1 run tiny.ini --output auto "${small[@]}" --resume
  says "[run] float_backend was = onednn, now = none"
  # its networks are of use there all the same
  expect 0 eval auto/model-int8.safetensors
  expect 0 verify auto
) || exit
exit 0
