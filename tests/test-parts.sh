#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checkpoints within an epoch: by batches and by minutes; a run that is killed
# there goes on there, and ends with the same bytes in every file.
[ -n "${TMPDIR-}" ] || [ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "${0%/*}/functions.sh"
direct

# steps of some milliseconds, so that a run can be caught within an epoch
options=(-o data.train_count=400 -o data.batch=8 -o train.epochs=1 -o qat.epochs=2 -o qat.batches=0
  -o run.threads=1 -o model.channels=80)
run () { expect 0 run ../tiny.ini "${options[@]}" "$@"; }

mkdir whole && cd whole || exit 99
run
! ls run/checkpoints/part-* 2> /dev/null || failed "parts without being asked for"
cd ..

# killed STAGE ARGUMENT…: while a part of that stage is the newest; once more
# where it was too late for that, on a busy machine
killed () {
  local stage=$1 skip=0 part
  shift
  [ "$stage" = train ] || skip=50 # batches of float training
  for _ in $(seq 1 20); do
    rm -rf run
    # shellcheck disable=SC2086
    $QATKIT run ../tiny.ini "${options[@]}" "$@" > "$tmp/out" 2> "$tmp/err" &
    pid=$!
    for _ in $(seq 1 3000); do
      newest_part
      [ "${part:-0}" -gt $skip ] && break
      kill -0 $pid 2> /dev/null || break
      sleep 0.01
    done
    kill -KILL $pid 2> /dev/null
    wait $pid 2> /dev/null
    newest_part
    [ "${part:-0}" -le $skip ] || return
  done
  failed "never killed with a part in $stage"
}

# the number of batches of the newest part
newest_part () {
  part=$(ls run/checkpoints 2> /dev/null \
    | sed -n 's/^part-0*\([1-9][0-9]*\)\..*/\1/p' | tail -n 1)
}

finished () {
  diff -rq --exclude=timing.jsonl --exclude=log.jsonl --exclude=lock --exclude=config.ini \
    "$tmp/whole/run" run || failed "$1: other files"
}

n=0
for stage in train qat; do
  for how in checkpoint.batches=3 checkpoint.minutes=0.0005; do
    n=$((n + 1))
    mkdir part$n && cd part$n || exit 99
    killed $stage -o $how
    run --resume -o $how
    says "continuing from run/checkpoints/part-"
    ! grep -q 'part-.*batch 1$' "$tmp/err" || failed "$how: goes on at the beginning of an epoch"
    finished "$stage, $how"
    cd ..
  done
done

# a damaged part: the one before it serves, then the last epoch's
mkdir damaged && cd damaged || exit 99
killed qat -o checkpoint.batches=3
for f in run/checkpoints/part-*; do truncate -s 100 "$f"; done
run --resume -o checkpoint.batches=3
says "trying the checkpoint before it"
says "continuing from run/checkpoints/checkpoint-000050"
finished damaged
cd ..

# stopped by hand within an epoch: a part too, which goes at its end
mkdir stopped && cd stopped || exit 99
# shellcheck disable=SC2086
$QATKIT run ../tiny.ini "${options[@]}" > /dev/null 2>&1 &
pid=$!
for _ in $(seq 1 1000); do
  grep -qs '"stage":"train"\|run_start' run/log.jsonl && break
  sleep 0.01
done
kill -TERM $pid
wait $pid
run --resume
finished stopped
exit 0
