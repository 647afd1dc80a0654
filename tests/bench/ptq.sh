#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Time post-training quantization of qatkit and of PyTorch in turns: seconds of
# calibration and conversion, best of all rounds.
#
#   tests/bench/ptq.sh [model=mobilenet_v2] [size=224] [batch=32] [batches=10]
#     [threads=2] [rounds=3]
#
# Ours is the whole command "qatkit ptq" on random samples, with reading the
# weights and evaluating one sample in float and in int8; PyTorch's only what is
# named above, within a process that is warm.  Run it in the build folder.
set -eu -o pipefail

model=mobilenet_v2 size=224 batch=32 batches=10 threads=2 rounds=3
for arg; do
  case $arg in
    model=*|size=*|batch=*|batches=*|threads=*|rounds=*)
      declare "${arg%%=*}=${arg#*=}" ;;
    *) echo "ptq.sh: unknown argument '$arg'" >&2; exit 2 ;;
  esac
done
here=$(cd "$(dirname "$0")" && pwd)
build=${abs_top_builddir-$PWD}
python=${PYTHON-/usr/bin/python3}
if ! [ -x "$build/qatkit" ]; then
  echo "ptq.sh: no $build/qatkit: make it first" >&2
  exit 2
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/net.ini" <<END
[run]
output = $tmp/out
threads = $threads
[model]
arch = $model
[data]
dataset = random
size = $size
count = $((batch * batches))
batch = $batch
eval_batch = 1
eval_batches = 1
[train]
epochs = 1
batches = 1
[train optimizer]
lr = 1e-6
[ptq]
batches = $batches
END
"$build/run" qatkit train "$tmp/net.ini" -q > /dev/null
mv "$tmp/out/weights.safetensors" "$tmp/"
torch=yes
"$python" -c 'import torch, torchvision' 2> /dev/null || torch=no
for ((i = 0; i < rounds; i++)); do
  start=$(date +%s.%N)
  "$build/run" qatkit ptq "$tmp/net.ini" -q \
    -o model.weights="$tmp/weights.safetensors" > /dev/null
  echo "$start $(date +%s.%N)" >> "$tmp/ours"
  [ $torch = no ] || "$python" "$here/torch_ptq.py" --model "$model" \
    --size "$size" --batch "$batch" --batches "$batches" \
    --threads "$threads" >> "$tmp/torch"
done
[ $torch = yes ] || echo "(no python3-torch and python3-torchvision here)"
cd "$tmp"
echo "$model, $size x $size, $((batch * batches)) samples, $threads threads:" \
  "best seconds of $rounds rounds"
touch torch
awk '
  FILENAME == "ours" && (o == "" || $2 - $1 < o) { o = $2 - $1 }
  FILENAME == "torch" && (p == "" || $1 + $2 < p) { p = $1 + $2 }
  END {
    printf "qatkit ptq, all of it %.2f\n", o
    if (p != "")
      printf "PyTorch, calibration and conversion %.2f: %.1f times as long\n",
        p, p / o
  }' ours torch
