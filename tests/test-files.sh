#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The files of a run: lost ones are written again, a spare serves for the one
# that all follow from, and none tells where its maker's files lie.
. "${0%/*}/functions.sh"
direct

expect 0 run tiny.ini
cp -r run whole

# bent FILE: one bit in its numbers
bent () {
  local at=$(($(wc -c < "$1") - 9))
  patch "$1" $at "\\x$(printf %02x $(($(od -An -t u1 -j $at -N 1 "$1") ^ 64)))"
}

# best.safetensors with a flipped bit, or gone
for what in bent rm; do
  $what run/best.safetensors
  for command in "verify run" "convert run" "run tiny.ini --resume"; do
    # shellcheck disable=SC2086
    expect 0 $command
    says "run/best.safetensors"
  done
  for f in best model-int8; do same whole/$f.safetensors run/$f.safetensors; done
  expect 0 verify run
done

# a spare that is lost is no spare
rm run/spare/best.safetensors
truncate -s 1000 run/spare/weights.safetensors
expect 0 run tiny.ini --resume
for f in best weights; do
  says "run/spare/$f.safetensors"
  same whole/$f.safetensors run/spare/$f.safetensors
done

# each file in turn, and all of them
for f in weights best model-ptq model-int8; do
  rm run/$f.safetensors
  expect 0 run tiny.ini --resume
  says "run/$f.safetensors"
  says "to be written again"
  same whole/$f.safetensors run/$f.safetensors
done
rm run/*.safetensors
expect 0 run tiny.ini --resume
for f in whole/*.safetensors; do same "$f" "run/${f#whole/}"; done
# damaged models
for f in model-ptq model-int8; do
  truncate -s 1000 run/$f.safetensors
  expect 0 run tiny.ini --resume
  same whole/$f.safetensors run/$f.safetensors
done
# what cannot be written again is said
rm -r run/weights.safetensors run/spare
expect 0 run tiny.ini --resume
says "weights.safetensors is lost, and so is its spare"

# QAT alone writes no float weights, and misses none
expect 0 qat tiny.ini --output qat
expect 0 qat tiny.ini --output qat --resume
! grep -q "weights.safetensors" err || failed "float weights are missed that nobody wrote"

# another folder, the same bytes; no path of this machine in what travels
mkdir -p "$tmp/some where"
expect 0 run tiny.ini --output "$tmp/some where/else"
for f in $(cd whole && find . -name '*.safetensors'); do same "whole/$f" "some where/else/$f"; done
expect 0 export tiny.ini "$tmp/samples" -o data.train_count=100 -o data.val_count=20
sed '/^size\|_count\|^dataset/d' tiny.ini > folder.ini
data=(-o data.dataset=imagefolder -o data.crop=16 -o data.resize=16 -o "data.root=$tmp/samples"
  -o "model.weights=$tmp/whole/weights.safetensors" -o train.epochs=0)
expect 0 run folder.ini "${data[@]}" --output "$tmp/far"
for f in far/model-*.safetensors; do
  ! grep -aqF "$tmp" "$f" || failed "$f has a path of its maker"
done
expect 0 export far/model-int8.safetensors --onnx far/model.onnx
! grep -aqF "$tmp" far/model.onnx || failed "the ONNX file has a path of its maker"
# at home it finds them, elsewhere it is told
expect 0 eval far/model-int8.safetensors
expect 0 verify far
cp far/model-int8.safetensors travelled.safetensors
mkdir abroad && cd abroad || exit 99
expect 1 eval ../travelled.safetensors
says "samples/val"
expect 0 eval ../travelled.safetensors -o "data.root=$tmp/samples"
exit 0
