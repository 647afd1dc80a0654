#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Memory runs out at one place of a run, of predicting, of inspecting and of
# verifying: an error in words, no crash, no leak, no half file; what ends well
# all the same has made the same files.  A sample of the places;
# QATKIT_TEST_LONG=1 tries all of them.
# hundreds of flushes to a disk would only measure the disk
[ -n "${TMPDIR-}" ] || [ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "${0%/*}/functions.sh"

faults=$builddir/tests/faults/.libs/faults.so
[ -f "$faults" ] || skip "no library to let allocations fail"
! grep -q '^#define QK_SANITIZED' "$builddir/config.h" \
  || skip "the sanitizer has a malloc of its own"
direct
# else the program starts itself once more
export GOMP_SPINCOUNT=1000

set -- -o data.train_count=32 -o data.val_count=16 -o data.batch=16 \
  -o data.eval_batch=16 -o model.channels=4 -o model.depth=2 -o run.threads=1
expect 0 run tiny.ini --output part "$@"
mv part whole
mkdir samples
expect 0 export tiny.ini samples "$@"
sample=$(find samples -name '*.jpg' | sort | head -n 1)

# one NAME TRIES ARGUMENT…: the command again and again, each time failing at
# another place; TRIES times, in the long form until no place is left.
one () {
  local name=$1 tries=$2 shares=61 before=-1 now=0 status
  shift 2
  [ -z "${QATKIT_TEST_LONG-}" ] || { shares=1; tries=-1; }
  rm -rf part
  LD_PRELOAD=$faults QATKIT_FAULT_LIVE=$tmp/live qatkit "$@" \
    > good.out 2> err || failed "$name does not work"
  places live | sort -u > live.good
  rm -f done.places
  while [ $tries != 0 ]; do
    before=$now
    rm -rf part live
    LD_PRELOAD=$faults QATKIT_FAULT_MALLOC=$tmp/done.places \
      QATKIT_FAULT_TELL=1 QATKIT_FAULT_LIVE=$tmp/live \
      QATKIT_FAULT_SHARE=$((RANDOM % shares))/$shares \
      qatkit "$@" > out 2> err
    status=$?
    now=$(($(wc -c < done.places) / 8))
    tries=$((tries - 1))
    [ $shares != 1 ] || [ $now != $before ] || tries=0
    case $status in
      0) if [ -d part ]; then
           for f in weights model-ptq model-int8 best; do
             same whole/$f.safetensors part/$f.safetensors
           done
         fi
         [ -d part ] || cmp -s out good.out || failed "$name prints otherwise" ;;
      1) grep -q '^qatkit: ' err || failed "$name failed without a word" ;;
      134) # jansson loses bytes of a string that has escapes and asserts; the
           # manual says so
        grep -q '^no memory for libjansson' err && grep -q lex_scan_string err \
          || failed "$name ended with status $status" ;;
      *) failed "$name ended with status $status" ;;
    esac
    [ ! -d part ] || [ -z "$(find part -name '.*' -type f)" ] \
      || failed "$name left $(find part -name '.*')"
    places live | sort -u | comm -13 live.good - > leaked
    [ ! -s leaked ] || { grep -F -f leaked live > out; failed "$name: leaks"; }
  done
  echo "$name: failed at $now places"
  [ "$now" -gt 5 ] || failed "nothing was tried"
}

# of the blocks never freed: their places, without what the C library keeps for
# itself
places () {
  sed -n -E '/qatkit|\.so/p' "$1" | cut -d ' ' -f 1
}

one run 40 run tiny.ini --output part "$@"
one predict 30 predict whole/model-int8.safetensors "$sample"
one inspect 30 inspect whole/model-int8.safetensors
one verify 30 verify whole
exit 0
