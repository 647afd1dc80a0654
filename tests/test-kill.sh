#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A run that is killed, or finds the disk full, at any operation on files and at
# any moment: what is there stays whole, and --resume ends with the same bytes
# in every file as the run nobody disturbed.  A few of the moments;
# QATKIT_TEST_LONG=1 tries every operation and 30 random moments.
# hundreds of flushes to a disk would only measure the disk
[ -n "${TMPDIR-}" ] || [ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "${0%/*}/functions.sh"

faults=$builddir/tests/faults/.libs/faults.so
direct
export GOMP_SPINCOUNT=1000
! grep -q '^#define QK_SANITIZED' "$builddir/config.h" || faults=

options=(-o data.train_count=96 -o data.val_count=32 -o data.batch=16
  -o data.eval_batch=16 -o model.channels=4 -o model.depth=2 -o train.epochs=2
  -o qat.epochs=3 -o run.threads=1)

# start VARIABLE=VALUE… -- ARGUMENT…: a run, with a part of its surroundings
# failing
start () {
  local environment=()
  while [ "$1" != -- ]; do environment+=("$1"); shift; done
  shift
  # shellcheck disable=SC2086
  env "${environment[@]}" $QATKIT run ../tiny.ini --output run \
    "${options[@]}" "$@" > "$tmp/out" 2> "$tmp/err"
}

# the files of the run in the working folder are those of the undisturbed one
finished () {
  local f
  ( cd "$tmp/whole/run" && find . -name '*.safetensors' | sort ) > "$tmp/names"
  ( cd run && find . -name '*.safetensors*' -o -name '.*.tmp' | sort ) > "$tmp/names.now"
  cmp -s "$tmp/names" "$tmp/names.now" \
    || failed "$1: the files are $(cat "$tmp/names.now")"
  while read -r f; do
    cmp "$tmp/whole/run/$f" "run/$f" || failed "$1: $f differs"
  done < "$tmp/names"
}

# resume WHAT
resume () {
  start -- --resume || failed "$1: --resume ended with status $?"
  finished "$1"
}

mkdir whole && cd whole || exit 99
began=$(date +%s%N)
start QATKIT_FAULT_FILES="$tmp/count" ${faults:+LD_PRELOAD=$faults} -- \
  || failed "the run does not work"
took=$((($(date +%s%N) - began) / 1000000)) # ms
[ "$(ls run/checkpoints | wc -l)" = 2 ] || failed "2 checkpoints expected"
cd ..
mkdir part && cd part || exit 99

moments=4 operations=
if [ -n "$faults" ]; then
  total=$(cat "$tmp/count")
  echo "$total operations on files in $took ms"
  [ "$total" -gt 100 ] || failed "only $total operations on files"
  operations=$(shuf -i 1-"$total" -n 4 | sort -n)
  if [ -n "${QATKIT_TEST_LONG-}" ]; then
    moments=30
    operations=$(seq 1 "$total")
  fi
elif [ -n "${QATKIT_TEST_LONG-}" ]; then
  moments=30
fi

for n in $operations; do
  rm -rf run
  start LD_PRELOAD="$faults" QATKIT_FAULT_KILL="$n" --
  status=$?
  [ $status = 137 ] || failed "killed at operation $n: status $status"
  resume "killed at operation $n"
done

# a full disk; what an earlier run left there is only replaced by whole files
for n in $operations; do
  rm -rf run
  start LD_PRELOAD="$faults" QATKIT_FAULT_FULL="$n" --
  status=$?
  if [ $status = 0 ]; then
    [ "$n" -gt $((total - 8)) ] || failed "full at operation $n: not noticed"
  else
    [ $status = 1 ] || failed "full at operation $n: status $status"
    says "No space left on device"
  fi
  [ -z "$(find . -name '.*.tmp')" ] || failed "full at $n: $(find . -name '.*')"
  for f in $(find . -name '*.safetensors'); do
    expect 0 inspect "$f" > /dev/null
  done
  resume "full at operation $n"
done

# job control: the shell's word about the killed process is not wanted
for n in $(seq 1 $moments); do
  rm -rf run
  # shellcheck disable=SC2086
  $QATKIT run ../tiny.ini --output run "${options[@]}" > "$tmp/out" \
    2> "$tmp/err" &
  pid=$!
  at=$((RANDOM % took + 1))
  sleep "$((at / 1000)).$(printf %03d $((at % 1000)))"
  kill -KILL $pid 2> /dev/null
  wait $pid 2> /dev/null
  resume "killed after $at ms"
done

# damage to the newest checkpoint: the one before it serves, and that is said
newest=$(basename "$(ls run/checkpoints/* | tail -n 1)")
older=$(basename "$(ls run/checkpoints/* | head -n 1)")
size=$(wc -c < "run/checkpoints/$newest")
damage () {
  local file=$tmp/part/run/checkpoints/$1 at=$((RANDOM % size))
  cp "$tmp/whole/run/checkpoints/$1" "$file"
  case $2 in
    bit) patch "$file" $at "\\x$(printf %02x $((1 + $(od -An -t u1 -j $at -N 1 \
           "$file") ^ 16)))" ;;
    short) truncate -s $at "$file" ;;
    empty) : > "$file" ;;
    missing) rm "$file" ;;
    noise) head -c "$size" /dev/urandom > "$file" ;;
  esac
  echo "$1: $2 at $at"
}
for what in bit bit short empty noise missing; do
  damage "$newest" $what
  resume "newest checkpoint: $what"
  [ $what = missing ] || says "$newest"
  [ $what = missing ] || says "trying the checkpoint before it"
done
damage "$newest" short
damage "$older" bit
start -- --resume
[ $? = 1 ] || failed "two damaged checkpoints are used"
says "none of the 2 checkpoints is usable"
# a new run replaces them
start -- || failed "no new run where damaged checkpoints are"
finished "after damage"
cd .. || exit 99

# formats: a newer minor version loads, a newer major one is refused
model=whole/run/model-int8.safetensors
header=$(header_of $model | sed 's/"qatkit.checksum":"[0-9a-f]*"/"without":"it"/')
[ "$header" != "${header/\"qatkit.model\":\"1./}" ] || failed "no version"
with_header $model "${header/\"qatkit.model\":\"1.?\"/\"qatkit.model\":\"1.9\"}" \
  > minor.safetensors
expect 0 inspect minor.safetensors
with_header $model "${header/\"qatkit.model\":\"1.?\"/\"qatkit.model\":\"2.0\"}" \
  > major.safetensors
expect 1 inspect major.safetensors
says "model format 2.0, this program reads 1.x"
with_header $model "${header/\"qatkit.model\":\"1.?\"/\"qatkit.model\":\"1.0x\"}" \
  > odd.safetensors
expect 1 inspect odd.safetensors
says "odd.safetensors"
exit 0
