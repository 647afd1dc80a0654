#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Own classes on weights that were trained for others: what is loaded and what
# starts anew, what stays frozen, and learning rates by pattern.
. "${0%/*}/functions.sh"

# tensor FILE NAME: its bytes
tensor () {
  local at
  at=$(header_of "$1" | tr -d ' \n' | grep -o "\"$2\":{[^}]*}" \
       | sed 's/.*"data_offsets":\[\([0-9]*,[0-9]*\)\].*/\1/')
  [ -n "$at" ] || failed "$1 has no tensor $2"
  tail -c +$((9 + $(header_size "$1") + ${at%,*})) "$1" | head -c $((${at#*,} - ${at%,*}))
}
# stays A B NAME… / moves A B NAME…: tensors of the two files
stays () {
  local a=$1 b=$2 n
  shift 2
  for n; do cmp <(tensor "$a" "$n") <(tensor "$b" "$n") || failed "$n of $a and $b differ"; done
}
moves () {
  local a=$1 b=$2 n
  shift 2
  for n; do
    ! cmp -s <(tensor "$a" "$n") <(tensor "$b" "$n") || failed "$n of $a and $b are the same"
  done
}

expect 0 train tiny.ini --output base
w=base/weights.safetensors

# five of the ten classes
expect 0 export tiny.ini samples -o data.train_count=100 -o data.val_count=60
for split in train val; do
  for d in $(ls -d samples/$split/*/ | tail -n 5); do rm -r "$d"; done
done
sed '/^size\|_count\|^dataset/d' tiny.ini > own.ini
data=(-o data.dataset=imagefolder -o data.crop=16 -o data.resize=16 -o data.root=samples)

# ---- what starts anew -----------------------------------------------------------

# by itself, where float training follows
expect 0 run own.ini "${data[@]}" -o model.weights=$w --output own
says "$w: 15 tensors loaded; fc.weight (5,"
says "fc.bias (5) start anew"
[ "$(grep -c 'start anew' err)" = 1 ] || failed "said more than once"
expect 0 verify own
prints "0 differ"
expect 0 eval own.ini "${data[@]}" -o model.weights=own/weights.safetensors
! grep -q anew err || failed "anew, though all is there"
# nobody else takes a network without its last layer for one
for c in eval ptq "qat --output no"; do
  # shellcheck disable=SC2086
  expect 1 $c own.ini "${data[@]}" -o model.weights=$w
  says "wrong shape: fc.weight is (10,"
  says "Everything else fits"
done
expect 1 run own.ini "${data[@]}" -o model.weights=$w -o train.epochs=0 --output no
says "wrong shape: fc.weight"
# other faults are faults
expect 1 run own.ini "${data[@]}" -o model.weights=$w -o model.channels=4 --output no
says "wrong shape: conv1.weight"
says "17 tensors do not fit"
# when asked
expect 0 run tiny.ini -o model.weights=$w -o 'model.weights.skip=fc.*' --output skip
says "15 tensors loaded; fc.weight (10,"
expect 0 run own.ini "${data[@]}" -o model.weights=$w -o 'model.weights.skip=conv2.*, fc.*' --output skip
says "14 tensors loaded; conv2.weight (16,3,3,8), fc.weight (5,"
# names that only the file has are passed over as well
expect 0 run own.ini "${data[@]}" -o model.weights=$w -o model.depth=2 \
  -o 'model.weights.skip=conv3.*, bn3.*, fc.*' --output skip
says "10 tensors loaded; fc.weight (5,"
expect 1 run tiny.ini -o model.weights=$w -o 'model.weights.skip=fc.*, classifier.*' --output no
says "weights.skip: the pattern 'classifier.*' matches no parameter"
expect 0 qat tiny.ini -o model.weights=$w -o 'model.weights.skip=fc.*' --output qat
says "fc.weight starts anew (model.weights.skip) and there is no float training"

# ---- what stays ------------------------------------------------------------------

options=(-o model.weights=$w)
expect 0 train tiny.ini "${options[@]}" --output free
moves $w free/weights.safetensors conv1.weight bn1.weight bn1.running_mean fc.weight
expect 0 train tiny.ini "${options[@]}" -o 'train.freeze=conv*, bn*' --output front
stays $w front/weights.safetensors conv1.weight bn1.weight bn1.bias bn1.running_mean \
  bn3.running_var conv3.weight
moves $w front/weights.safetensors fc.weight fc.bias
# statistics are named like everything else
expect 0 train tiny.ini "${options[@]}" -o 'train.freeze=conv2.*, *.weight' --output some
stays $w some/weights.safetensors conv1.weight bn1.weight conv2.weight fc.weight
moves $w some/weights.safetensors bn1.running_mean bn2.running_var bn1.bias fc.bias
# weight decay is no way around it
expect 0 train tiny.ini "${options[@]}" -o 'train.freeze=*weight' -o 'train optimizer.weight_decay=0.1' \
  --output decay
stays $w decay/weights.safetensors conv1.weight fc.weight bn2.weight
# QAT has its own
expect 0 run tiny.ini "${options[@]}" -o 'qat.freeze=*conv*, bn*' --output qfront -o qconfig.weight.fakequant=lsq
expect 0 verify qfront
prints "0 differ"
expect 1 train tiny.ini -o 'train.freeze=conv1.*, convolution*' --output no
says "freeze: the pattern 'convolution*' matches no parameter"
expect 1 run tiny.ini -o 'qat.freeze=nothing' --output no
says "freeze: the pattern 'nothing' matches no parameter"
expect 1 train tiny.ini -o 'train.freeze=*' --output no
says "freeze leaves no parameter to train"
[ ! -e no/weights.safetensors ] || failed "trained all the same"

# ---- learning rates by pattern ---------------------------------------------------

expect 0 train tiny.ini "${options[@]}" -o 'train optimizer fc.*:lr=0' --output still
stays $w still/weights.safetensors fc.weight fc.bias
moves $w still/weights.safetensors conv1.weight
# one pattern for all is no pattern
expect 0 train tiny.ini -o 'train optimizer.lr=0.03' --output plain
expect 0 train tiny.ini -o 'train optimizer *:lr=0.03' --output all
same plain/weights.safetensors all/weights.safetensors
# later sections win, key by key
expect 0 train tiny.ini -o 'train optimizer *:lr=9' -o 'train optimizer *:weight_decay=0.01' \
  -o 'train optimizer ?*:lr=0.03' --output later
expect 0 train tiny.ini -o 'train optimizer.lr=0.03' -o 'train optimizer.weight_decay=0.01' --output both
same later/weights.safetensors both/weights.safetensors
# decay_all stands there too
expect 0 train tiny.ini -o 'train optimizer.weight_decay=0.1' -o 'train optimizer.decay_all=no' --output d1
expect 0 train tiny.ini -o 'train optimizer.weight_decay=0.1' -o 'train optimizer *:decay_all=no' --output d2
same d1/weights.safetensors d2/weights.safetensors
# of QAT, where quantizers may learn
expect 0 run tiny.ini -o 'optimizer fc.*:lr=0.0001' -o 'optimizer *conv1*:momentum=0' \
  -o qconfig.weight.fakequant=lsq --output qrates
expect 0 verify qrates
prints "0 differ"
expect 1 train tiny.ini -o 'train optimizer head.*:lr=1' --output no
says "section [train optimizer head.*]: the pattern 'head.*' matches nothing"
expect 1 train tiny.ini -o 'optimizer fc.*:name=adam' --output no
says "unknown key 'name' in [optimizer fc.*]"
expect 1 train tiny.ini -o 'optimizer fc.*:lr=x' --output no
says "[optimizer fc.*] lr"
exit 0
