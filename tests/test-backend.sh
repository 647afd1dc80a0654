#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The backend "auto" is the one for this kind of CPU, and all that is written,
# printed or compared has its real name.
. "${0%/*}/functions.sh"

case $(uname -m) in
  x86_64 | i?86) own=fbgemm other=qnnpack ;;
  aarch64 | arm*) own=qnnpack other=reference ;;
  *) own=reference other=qnnpack ;;
esac

# says_name FILE: the configuration that the file carries names the backend
says_name () {
  header_of "$1" | grep -qF "backend = $own\\n" || failed "$1 lacks $own"
  ! header_of "$1" | grep -qF 'backend = auto' || failed "$1 says auto"
}

# nothing said, auto and the name itself are the same
grep -q '^backend' tiny.ini && failed "tiny.ini names a backend"
expect 0 run tiny.ini -q
for f in run/*.safetensors run/checkpoints/*; do
  case $f in */weights.safetensors) continue ;; esac
  says_name "$f"
done
grep -qF "\"backend\":\"$own\"" run/log.jsonl || failed "log.jsonl lacks $own"
mkdir said named
cd said || exit 99
expect 0 run ../tiny.ini -q -o qat.backend=auto
cd ../named || exit 99
expect 0 run ../tiny.ini -q --backend $own
cd ..
for f in model-ptq model-int8 best; do
  same run/$f.safetensors said/run/$f.safetensors
  same run/$f.safetensors named/run/$f.safetensors
done
expect 0 inspect tiny.ini --json
cp out ledger
expect 0 inspect tiny.ini --json -o qat.backend=$own
same out ledger

# a run goes on where auto is the same backend, and nowhere else
expect 0 run tiny.ini -q --resume --backend $own
expect 0 run tiny.ini -q --resume --backend auto
expect 1 run tiny.ini -q --resume --backend $other
says "[qat] backend was = $own, now = $other"
expect 0 run tiny.ini -q --output elsewhere --backend $other
expect 1 run tiny.ini -q --output elsewhere --resume
says "[qat] backend was = $other, now = $own"

# commands that take a name or several
expect 0 verify run -q --backend auto,reference
prints "$own: 0 differing bytes"
prints "reference: 0 differing bytes"
expect 0 inspect run/model-int8.safetensors --backend auto
head -n 1 out | grep -qw "$own" || failed "inspect: no column $own"
expect 0 bench cnn --size 16 --classes 10 --runs 1
grep -q "^$own " out || failed "bench: no row $own"
expect 0 bench cnn --size 16 --classes 10 --runs 1 --backend float,auto
grep -q "^$own " out || failed "bench --backend auto: no row $own"
expect 0 analyze run --batches 1 --samples 8 --json -
grep -qF "\"backend\":\"$own\"" out || failed "analyze: no backend $own"
expect 0 eval run/model-int8.safetensors --backend auto --json
expect 0 tune tiny.ini -q --output tune --goal 'top1 >= 0' --trials 1
grep -qx "backend = $own" tune/tuned.ini || failed "tuned.ini lacks $own"

# nodes that a backend lacks are told in one line; onednn held to AVX2 has none
# for 8 bits, and there may be no onednn at all
if qatkit plugins backend/onednn > /dev/null 2>&1; then
  export ONEDNN_MAX_CPU_ISA=AVX2
  expect 0 bench run/model-int8.safetensors --backend onednn --runs 1 --json -
  nodes=$(sed -n 's/.*"fallback_nodes":\([0-9]*\).*/\1/p' out)
  lines=$(grep -c "backend 'onednn' leaves $nodes node" err)
  [ "$lines" = $((nodes > 0)) ] || failed "$nodes fallbacks in $lines lines"
  grep -q 'runs on backend' err && failed "each node is told"
  unset ONEDNN_MAX_CPU_ISA
fi

# the configurations that are installed run on every CPU
for f in "$srcdir"/etc/*.ini; do
  grep '^backend *=' "$f" | grep -vx 'backend = auto' && failed "$f names a backend"
done
exit 0
