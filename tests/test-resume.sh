#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A run that is stopped, politely or not, continues with --resume and ends
# with the same bytes.
. "${0%/*}/functions.sh"

# longer than tiny.ini, so that there is something to interrupt
set -- -o data.train_count=1024 -o train.epochs=2 -o qat.epochs=3 -o qat.batches=0 \
  -o optimizer.momentum=0.9 -o loss.label_smoothing=0.1 -o data.val_count=50
expect 0 run tiny.ini --output whole "$@"

# the configuration names the folder, so each run has it as "whole"
finished () {
  for f in model-int8 best weights model-ptq; do
    same "$tmp/whole/$f.safetensors" whole/$f.safetensors
  done
}

# start DIR: the run in the background there; its process in $pid
start () {
  mkdir -p "$1"
  ( cd "$1" || exit 99
    trap - INT
    exec $QATKIT run ../tiny.ini --output whole "${options[@]}" > out 2> err ) &
  pid=$!
}
options=("$@")
# A shell ignores SIGINT in what it puts in the background; job control does
# not.
set -m

# until FILE PATTERN: the pattern is in the file, or the run has ended
until_line () {
  local i
  for i in $(seq 1 1500); do
    grep -qs "$2" "$1" && return 0
    kill -0 $pid 2> /dev/null || return 0
    sleep 0.02
  done
  failed "no '$2' in $1 after 30 s"
}

# interrupt DIR LOGLINE SIGNAL
interrupt () {
  start "$1"
  until_line "$1/whole/log.jsonl" "$2"
  sleep 0.0$((RANDOM % 9 + 1))
  kill -"$3" $pid 2> /dev/null
  wait $pid 2> /dev/null
  status=$?
  [ $status != 0 ] || echo "note: $1 had ended before it could be interrupted"
}

n=0
stopped=0
while read -r signal when; do
  n=$((n + 1))
  interrupt int$n "$when" "$signal"
  if [ "$signal" != KILL ] && [ $status != 0 ]; then
    [ $status = 130 ] || failed "SIG$signal: status $status"
    grep -q -- "--resume" int$n/err \
      || { cat int$n/err; failed "no word of --resume"; }
    stopped=$((stopped + 1))
  fi
  cd int$n || exit 99
  expect 0 run ../tiny.ini --output whole --resume "${options[@]}"
  finished
  cd ..
done << 'END'
INT "event":"run_start"
KILL "event":"eval","network":"float"
INT "network":"int8 1/3"
TERM "network":"int8 2/3"
END
[ $stopped -gt 0 ] || failed "nothing was interrupted in time"

# killed at some moment, several times, then resumed to the end
start random
i=0
while [ $i -lt 3 ]; do
  sleep "0.$((RANDOM % 9 + 1))"
  kill -KILL $pid 2> /dev/null
  wait $pid 2> /dev/null
  ( cd random || exit 99
    exec $QATKIT run ../tiny.ini --output whole --resume "${options[@]}" > out 2> err ) &
  pid=$!
  i=$((i + 1))
done
wait $pid || { cat random/err; failed "the last one did not end well"; }
cd random || exit 99
finished
# once more, when there is nothing left to do
expect 0 run ../tiny.ini --output whole --resume "${options[@]}"
finished
prints "QAT int8"

# with another configuration: refused, and nothing lost
expect 1 run ../tiny.ini --output whole --resume "${options[@]}" -o run.seed=7
says "another configuration: [run] seed was not set, now = 7"
expect 1 run ../tiny.ini --output whole --resume "${options[@]}" -o optimizer.lr=0.1
says "[optimizer] lr was = 0.002, now = 0.1"
finished
# the folder may have moved
mv whole moved
expect 0 run ../tiny.ini --output moved --resume "${options[@]}" -o run.keep=9 --threads 1
mv moved whole
finished

# a damaged newest checkpoint: the one before serves
newest=$(ls whole/checkpoints/*.safetensors | tail -n 1)
[ "$(ls whole/checkpoints/*.safetensors | wc -l)" = 2 ] || failed "2 checkpoints expected"
patch "$newest" $(($(wc -c < "$newest") - 5)) 'XXXX'
expect 0 run ../tiny.ini --output whole --resume "${options[@]}"
says "$newest"
finished

# a fresh folder: --resume starts
cd "$tmp" && mkdir fresh && cd fresh || exit 99
expect 0 run ../tiny.ini --output whole --resume "${options[@]}"
finished
exit 0
