#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Float training from scratch, ours and PyTorch's, of the same ResNet-20 from the
# same random weights on the same images with the same recipe: the share of the
# held out images (every tenth) that each gets right after the last epoch.
#
#   tests/bench/cifar.sh FOLDER [epochs=10] [seeds=1] [threads=2] [share=1] [lr=0.1] [still=no]
#     [out=cifar-out]
#
# FOLDER holds class folders of images of 32x32.  share=4 trains on every fourth
# image.  still=yes shows in a minute that the recipes are the same: one batch of
# all images as they are, in each epoch, has the same loss in both.  Run from the
# build folder.  Needs python3-torch.
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?which folder of samples?}
shift
epochs=10 seeds=1 threads=2 share=1 lr=0.1 still=no out=cifar-out
for a in "$@"; do
  case $a in
    epochs=*|seeds=*|threads=*|share=*|lr=*|still=*|out=*) declare "$a" ;;
    *) echo "cifar.sh: '$a': expected epochs=, seeds=, threads=, share=, lr=, still= or out=" >&2; exit 2 ;;
  esac
done
python=${PYTHON:-/usr/bin/python3}
mkdir -p "$out" || exit

# The recipe, in the words of both.
momentum=0.9 decay=0.0005 batch=128
ours=() theirs=()
if [ "$still" = yes ]; then
  [ "$share" -gt 1 ] || share=350
  batch=$((50000 / share)) ours=(-o data.pad=0 -o data.flip=no -o data.eval_batches=1) theirs=(--still)
fi
for seed in $(seq "$seeds"); do
  "$python" "$here/torch_cifar.py" prepare "$folder" "$out" --seed "$seed" --share "$share" \
    2> "$out/prepare.err" || { cat "$out/prepare.err" >&2; exit 1; }
  ./run qatkit train "$here/../../etc/cifar-resnet20.ini" --overwrite --output "$out/ours-$seed" \
    -o run.seed="$seed" -o run.threads="$threads" -o model.file="$out/seed-$seed.onnx" \
    -o data.dataset=list -o data.train="$out/train.csv" -o data.val="$out/val.csv" \
    -o data.batch="$batch" -o train.epochs="$epochs" -o train.batches=0 \
    -o "train optimizer.name=sgd" -o "train optimizer.lr=$lr" \
    -o "train optimizer.momentum=$momentum" -o "train optimizer.weight_decay=$decay" \
    -o "train optimizer.clip_norm=0" -o "train schedule.warmup=0" \
    "${ours[@]}" > "$out/ours-$seed.txt" || exit
  "$python" "$here/torch_cifar.py" train "$out" --seed "$seed" --epochs "$epochs" \
    --threads "$threads" --lr "$lr" --momentum "$momentum" --decay "$decay" --batch "$batch" "${theirs[@]}" \
    > "$out/torch-$seed.json" || exit
done

if [ "$still" = yes ]; then
  paste -d ' ' <(grep '"event":"epoch"' "$out/ours-1/log.jsonl" | grep -o '"loss":[0-9.e-]*' | cut -d: -f2) \
    <(grep -o '"loss": [0-9.e-]*' "$out/torch-1.json" | cut -d' ' -f2) | awk '
    { printf "epoch %d: loss %.6f, PyTorch %.6f\n", NR, $1, $2 }'
  exit
fi

# of the last epoch
ours () { grep '"event":"eval"' "$1/log.jsonl" | tail -n 1 | grep -o '"top1":[0-9.]*' | cut -d: -f2; }
torch () { tail -n 1 "$1" | grep -o '"top1": [0-9.]*' | cut -d' ' -f2; }
for seed in $(seq "$seeds"); do
  echo "$seed $(ours "$out/ours-$seed") $(torch "$out/torch-$seed.json")"
done | awk '
  { printf "seed %d: qatkit %.2f %%, PyTorch %.2f %%\n", $1, 100 * $2, 100 * $3
    a += $2; b += $3; n++ }
  END { printf "mean: qatkit %.2f %%, PyTorch %.2f %%, difference %+.2f\n",
          100 * a / n, 100 * b / n, 100 * (a - b) / n }'
