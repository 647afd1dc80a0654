#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The folder of a run: one program at a time, no unfinished run is overwritten
# unasked, and nothing is written through symbolic links.
. "${0%/*}/functions.sh"
direct


# start ARGUMENT…: in the background, until there is a checkpoint
start () {
  # shellcheck disable=SC2086
  $QATKIT "$@" > "$tmp/out.first" 2> "$tmp/err.first" &
  pid=$!
  for _ in $(seq 1 1500); do
    [ -n "$(ls run/checkpoints 2> /dev/null)" ] && return
    kill -0 $pid 2> /dev/null || failed "$(cat "$tmp/err.first")"
    sleep 0.02
  done
  failed "no checkpoint after 30 s"
}

start run tiny.ini -o data.train_count=512 -o train.epochs=500
for command in "run tiny.ini" "run tiny.ini --resume" "run tiny.ini --overwrite" \
  "train tiny.ini" "ptq tiny.ini" "compare tiny.ini" "tune tiny.ini" "convert run"; do
  # shellcheck disable=SC2086
  expect 1 $command
  says "folder 'run' is in use by process $pid on "
done
kill -KILL $pid
wait $pid 2> /dev/null

# what was killed is not overwritten; a file that it was writing may go
rm -f run/checkpoints/.*.tmp
cp -r run before
for command in run train qat compare tune; do
  expect 1 $command tiny.ini
  says "'run' holds a run that was not finished: --resume continues it, --overwrite begins anew"
done
rm before/lock
cp -r run after && rm after/lock
diff -r before after || failed "what an unfinished run left was touched"
# PTQ writes nothing that was there
expect 0 ptq tiny.ini
expect 0 run tiny.ini --overwrite
[ ! -s run/lock ] || failed "a finished run is noted as unfinished"
# one that is finished is no loss
expect 0 run tiny.ini
# nor one that ended before anything was there to keep
rm -rf run
expect 1 run tiny.ini -o qat.best=nonsense
expect 0 run tiny.ini
# a folder from elsewhere, with an odd lock
printf 'x\0\033[2J' > run/lock
expect 1 run tiny.ini
expect 0 run tiny.ini --resume

# symbolic links: refused by name, and what they point to stays
echo precious > victim
for f in log.jsonl timing.jsonl weights.safetensors model-ptq.safetensors \
  model-int8.safetensors best.safetensors lock config.ini samples-val.txt spare; do
  rm -rf run && mkdir run && ln -s ../victim run/$f
  expect 1 run tiny.ini
  says "run/$f: is a symbolic link"
  [ "$(cat victim)" = precious ] || failed "run/$f was written through"
done
rm -rf run && mkdir run elsewhere && ln -s ../elsewhere run/checkpoints
expect 1 run tiny.ini
says "run/checkpoints: is a symbolic link"
[ -z "$(ls elsewhere)" ] || failed "checkpoints were written through a link"
rm -rf run && mkdir run && ln -s ../victim run/tune.jsonl
expect 1 tune tiny.ini --trials 1
says "run/tune.jsonl: is a symbolic link"
rm -rf run && mkdir run && ln -s ../victim run/tuned.ini
expect 1 tune tiny.ini --trials 1
says "run/tuned.ini: is a symbolic link"
if [ "$(cat victim)" != precious ]; then failed "tune wrote through a link"; fi
# the folder itself may be one, and so may what the user types
rm -rf run && ln -s elsewhere run && rm -rf elsewhere/*
expect 0 run tiny.ini
touch there.json && ln -s there.json link.json
expect 0 analyze run --json link.json --samples 8
[ -s there.json ] && [ -L link.json ] || failed "a link that the user typed is not followed"

# the folder of another user
if [ "$(id -u)" = 0 ]; then
  rm -rf run elsewhere && mkdir run && chown 65534 run
  expect 0 run tiny.ini -o train.epochs=0 -o qat.epochs=0
  says "folder 'run' belongs to user"
fi
exit 0
