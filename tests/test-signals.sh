#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Signals and pipes: a run that is asked to stop while it computes ends in
# order, with a checkpoint, whatever the signal; a pipe that nobody reads any
# more is no error.
. "${0%/*}/functions.sh"
direct
# job control: a shell ignores SIGINT in what it puts in the background
set -m

options=(-o run.threads=1 -o data.train_count=512 -o data.val_count=10
  -o train.epochs=1 -o qat.epochs=100 -o qat.batches=0)

# stop SIGNAL: once QAT computes
stop () {
  # shellcheck disable=SC2086
  $QATKIT run tiny.ini "${options[@]}" --overwrite > out 2> err &
  pid=$!
  for _ in $(seq 1 1500); do
    grep -qs '"stage":"qat"' run/log.jsonl && break
    kill -0 $pid 2> /dev/null || failed "ended before SIG$1"
    sleep 0.02
  done
  sleep 0.0$((RANDOM % 9 + 1))
  kill -"$1" $pid
  wait $pid
  status=$?
  [ $status = 130 ] || failed "SIG$1: status $status"
  says "stopped; --resume continues from the checkpoint"
}
# who runs this test may ignore SIGHUP, and so does what it starts
ignored=$(sed -n 's/^SigIgn:.*\(.\)$/\1/p' /proc/self/status)
hup=HUP
case $ignored in *[13579bdf]) hup=INT ;; esac
for signal in INT TERM $hup INT TERM $hup INT TERM; do
  rm -rf run
  stop $signal
done
# nohup's wish is respected
rm -rf run
# shellcheck disable=SC2086
( trap '' HUP; exec $QATKIT run tiny.ini > out 2> err ) &
pid=$!
sleep 0.3
kill -HUP $pid 2> /dev/null
wait $pid || failed "SIGHUP ends a run that ignores it"

# a reader that has enough
for command in "plugins" "plugins --json" "inspect run/model-int8.safetensors" "--help" "run --help" \
  "eval -q run/model-int8.safetensors" "eval -q run/model-int8.safetensors --json" "inspect -q tiny.ini"; do
  # shellcheck disable=SC2086
  { $QATKIT $command 2> err; echo $? > status; } | true
  [ ! -s err ] || failed "$command | true says: $(cat err)"
  case $(cat status) in 0 | 141) ;; *) failed "$command | true: status $(cat status)" ;; esac
done
# but a full device is an error
if [ -w /dev/full ]; then
  # shellcheck disable=SC2086
  $QATKIT plugins > /dev/full 2> err
  [ $? = 1 ] || failed "a full device is not noticed"
  says "cannot write to standard output"
fi
exit 0
