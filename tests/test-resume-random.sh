#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Configurations drawn at random, resumed from any of their checkpoints, end with
# the bytes of the run that was not stopped.  QATKIT_SEED repeats a draw;
# QATKIT_CASES, or QATKIT_TEST_LONG=1, makes more.
[ -n "${TMPDIR-}" ] || [ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "${0%/*}/functions.sh"
direct
export GOMP_SPINCOUNT=1000

seed=${QATKIT_SEED:-$((RANDOM * 32768 + RANDOM))}
cases=${QATKIT_CASES:-3}
[ -z "${QATKIT_TEST_LONG-}" ] || cases=${QATKIT_CASES:-60}
echo "QATKIT_SEED=$seed"
RANDOM=$((seed % 32768))

one_of () { shift $((RANDOM % $#)); echo "$1"; }

# draw: a configuration into $options
draw () {
  options=(
    "qconfig.activation.fakequant=$(one_of affine pact lsq)"
    "qconfig.weight.fakequant=$(one_of affine lsq dorefa normalized)"
    "qconfig.activation.observer=$(one_of minmax moving_average_minmax histogram percentile mse kl)"
    "qconfig.weight.observer=$(one_of minmax moving_average_minmax)"
    "qconfig.weight.per_channel=$(one_of yes no)"
    "qconfig.activation.bits=$(one_of 0 0 12 16)"
    "qat.freeze_observers_after=$(one_of -1 -1 0 1 9)"
    "qat.freeze_bn_after=$(one_of -1 0 1 9)"
    "qat.epochs=$(one_of 1 2 3)" "qat.batches=$(one_of 0 1 3)"
    "qat.quantize_outputs=$(one_of yes no)"
    "train.epochs=$(one_of 0 1 2)"
    "schedule.name=$(one_of cosine step constant onecycle plateau)" "schedule.warmup=$(one_of 0 0 1)"
    "data.batch=$(one_of 16 12)" "run.seed=$((RANDOM % 99))"
    "run.threads=$(one_of 1 2)"
  )
  [ "$(one_of 0 1)" = 0 ] || options+=("optimizer.name=$(one_of adam adamw rmsprop lamb)")
  [ "$(one_of 0 0 1)" = 0 ] || options+=("qat.bn_reestimate=$(one_of 1 2)")
  [ "$(one_of 0 0 1)" = 0 ] || options+=("qat.oscillation.watch=yes" "qat.oscillation.momentum=0.5"
    "qat.oscillation.freeze=$(one_of 0 0.4)")
  draw_training "" qat
  draw_training "train " train
}

# draw_training PREFIX STAGE: how that stage trains, mostly plainly
draw_training () {
  [ "$(one_of 0 0 1)" = 0 ] || options+=("${1}optimizer.accumulate=$(one_of 2 3)")
  [ "$(one_of 0 0 1)" = 0 ] || options+=("${1}optimizer.clip_norm=0.1")
  [ "$(one_of 0 0 0 1)" = 0 ] || options+=("${1}optimizer.clip_value=0.01")
  [ "$(one_of 0 0 1)" = 0 ] || options+=("$2.ema=0.7" "$2.ema_export=$(one_of yes no)")
  [ "$(one_of 0 0 1)" = 0 ] || options+=("$2.stop.patience=1" "$2.stop.score=$(one_of top1 loss)")
  [ "$(one_of 0 0 1)" = 0 ] || options+=("$2.freeze=$(one_of 'conv1.*,bn1.*' 'bn*' '*.bias')")
  [ "$(one_of 0 0 1)" = 0 ] || options+=("${1}schedule.name=plateau" "${1}schedule.patience=0")
  [ "$(one_of 0 0 1)" = 0 ] || options+=("${1}optimizer fc.*:lr=0.001")
}

# go ARGUMENT…: with the options
go () {
  local o all=()
  for o in "${options[@]}"; do all+=(-o "$o"); done
  # within accumulation, too
  all+=(-o checkpoint.batches=1)
  sed '/^momentum/d' tiny.ini > plain.ini
  # shellcheck disable=SC2086
  $QATKIT run plain.ini "${all[@]}" -o run.keep=99 -o data.train_count=56 -o data.val_count=20 \
    -o model.channels=4 -o model.depth=2 "$@" > out 2> err
}

# check: the run as drawn, then resumed from each of some checkpoints
check () {
  local n at f
  echo "${options[*]}"
  rm -rf run whole
  go || failed "the run does not work: ${options[*]}"
  mv run whole
  grep -c 'nothing has been observed' err > warned
  ls whole/checkpoints > names
  n=$(wc -l < names)
  # the first two, of which QAT begins with one, and another
  { echo 1; [ "$n" -lt 2 ] || echo 2; echo $((RANDOM % n + 1)); } | sort -nu > moments
  while read -r at; do
    # as if killed after that one
    rm -rf run && cp -r whole run
    for f in $(tail -n +$((at + 1)) names); do rm run/checkpoints/"$f"; done
    go --resume || failed "no resuming from $at of $n: ${options[*]}"
    [ "$(grep -c 'nothing has been observed' err)" -le "$(cat warned)" ] \
      || failed "warnings when resuming that the run had not: ${options[*]}"
    for f in $(cd whole && find . -name '*.safetensors'); do
      cmp whole/"$f" run/"$f" || failed "QATKIT_SEED=$seed, from $at of $n: $f differs: ${options[*]}"
    done
  done < moments
}

# once wrong: the first grid of a class that waits for its first batch
draw
options+=(qconfig.activation.fakequant=pact qat.freeze_observers_after=-1 qat.epochs=2 qat.batches=2
  train.epochs=1)
check
for _ in $(seq "$cases"); do
  draw
  check
done
exit 0
