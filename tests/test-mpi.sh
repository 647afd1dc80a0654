#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Several processes through MPI train the network that one trains; one that
# dies ends the job, which resumes.
. "${0%/*}/functions.sh"
# Open MPI itself keeps some memory for ever
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

[ -e "$builddir/stage/comm/mpi.so" ] || skip "built without MPI"
requires mpirun
compare=$builddir/tests/check_comm
[ -x "$compare" ] || skip "no tests/check_comm"

# Open MPI refuses root and more processes than cores unless told
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_hwloc_base_binding_policy=none
export OMP_NUM_THREADS=1

several () { # N ARGUMENT…
  local n=$1
  shift
  # shellcheck disable=SC2086
  mpirun -n "$n" $QATKIT "$@"
}

set -- -o run.threads=1 -o data.train_count=64 -o data.val_count=51 -o data.batch=16 -o qat.epochs=1
expect 0 run tiny.ini --output one "$@"
for n in 2 4; do
  several $n run tiny.ini --output several$n "$@" > out 2> err || failed "$n processes"
  # one table, by the first process
  [ "$(grep -c 'QAT int8' out)" = 1 ] || failed "$n processes: not one table"
  [ "$(grep -c '"event":"epoch"' several$n/log.jsonl)" = "$(grep -c '"event":"epoch"' one/log.jsonl)" ] \
    || failed "$n processes: other epochs in the log"
  for f in weights best; do
    $builddir/run "$compare" one/$f.safetensors several$n/$f.safetensors 1e-5 \
      || failed "$n processes: other numbers in $f.safetensors"
  done
  grep -q '"samples":51' several$n/log.jsonl || failed "not all samples were evaluated"
done
expect 0 verify several2

# One process of two is killed: mpirun names it, the job ends, and continues.
# The name is one of its own, as pkill looks through the whole machine.
dies=dies$$
options=(-o run.threads=1 -o data.train_count=2048 -o train.epochs=1 -o qat.epochs=2 -o qat.batches=0)
several 2 run tiny.ini --output $dies "${options[@]}" > out 2> err &
job=$!
for _ in $(seq 1 600); do
  grep -qs '"stage":"qat"' $dies/log.jsonl && break
  kill -0 $job 2> /dev/null || break
  sleep 0.1
done
pkill -KILL -n -f "run tiny.ini --output $dies" || failed "ended before it could be killed"
wait $job && failed "a job without one of its processes ends well"
grep -qi 'rank\|process' err || failed "nobody says which process died"
several 2 run tiny.ini --output $dies "${options[@]}" --resume > out 2> err || failed "does not resume"

# An error of one process ends all, with its name.
rm -rf none
several 2 run tiny.ini --output /proc/none "$@" > out 2> err && failed "writes to /proc"
says "cannot make folder"

# What cannot be shared is refused.
several 2 run tiny.ini --output few -o data.batch=1 "$@" -o data.batch=1 > out 2> err \
  && failed "one sample for two processes"
says "a batch of 1 samples cannot be shared by 2 processes"
