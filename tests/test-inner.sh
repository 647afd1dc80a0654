#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Distillation of inner tensors: what they are called, that they change training,
# and that resumed runs and int8 networks are what they are without.
. "${0%/*}/functions.sh"
direct

base=(-o data.train_count=64 -o qat.epochs=2 -o qat.batches=0 -o run.keep=99 -o qconfig.weight.bits=3
  -o qconfig.weight.fakequant=lsq -o qconfig.activation.fakequant=lsq -o loss.weight=1)
expect 0 train tiny.ini "${base[@]}" --output float
base+=(-o model.weights=float/weights.safetensors)

# loss_of FOLDER: the losses of its epochs, in training and int8
loss_of () { grep -E '"event":"(epoch|eval)"' "$1/log.jsonl" | grep -o '"loss":[^,}]*'; }

expect 0 qat tiny.ini "${base[@]}" --output plain
for measure in mse relative_mse cosine attention; do
  d=(-o 'loss distillation.tensors=conv1, conv[23]' -o "loss distillation.measure=$measure" -o 'loss distillation.weight=2')
  expect 0 qat tiny.ini "${base[@]}" "${d[@]}" --output $measure
  expect 0 verify $measure
  prints "0 differ"
  loss_of $measure > losses
  ! cmp -s losses <(loss_of plain) || failed "$measure: the loss is as without"
  ! grep -q nan losses || failed "$measure: $(cat losses)"
  cp -r $measure part
  for f in $(ls part/checkpoints | tail -n +3); do rm part/checkpoints/"$f"; done
  expect 0 qat tiny.ini "${base[@]}" "${d[@]}" --output part --resume
  for f in model-int8 best; do same $measure/$f.safetensors part/$f.safetensors; done
  rm -rf part
done
# the int8 network is the network, without other outputs
expect 0 inspect attention/model-int8.safetensors
prints "1 output"
expect 0 eval attention/model-int8.safetensors

# outputs too, and several sections
expect 0 qat tiny.ini "${base[@]}" -o 'loss distillation.output=logits' -o 'loss distillation.tensors=conv*' \
  -o 'loss distillation.measure=cosine' -o 'loss maps.name=distillation' -o 'loss maps.tensors=conv3' \
  -o 'loss maps.measure=attention' --output both
expect 0 verify both
prints "0 differ"
expect 0 analyze -q both --samples 8 --json -

# ---- what cannot be
refused () { # refused TEXT OPTION…
  local text=$1
  shift
  expect 1 qat tiny.ini "${base[@]}" --output no "$@"
  says "$text"
}
refused "the pattern 'conv4' matches none of the" -o 'loss distillation.tensors=conv1,conv4'
says "'conv1' to 'fc' (did you mean 'conv"
refused "it compares with targets, expected a loss with a teacher" -o 'loss.tensors=conv1'
refused "attention compares positions" -o 'loss distillation.tensors=fc' -o 'loss distillation.measure=attention'
exit 0
