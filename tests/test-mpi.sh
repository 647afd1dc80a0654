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

# … also where the first sample of a part is mixed with one of another process
mix=(-o data.mixup=0.4 -o data.cutmix=1 -o train.epochs=1 -o qat.epochs=1)
expect 0 run tiny.ini --output mixed1 "$@" "${mix[@]}"
several 3 run tiny.ini --output mixed3 "$@" "${mix[@]}" > out 2> err || failed "3 processes that mix"
for f in weights best; do
  $builddir/run "$compare" mixed1/$f.safetensors mixed3/$f.safetensors 1e-5 \
    || failed "3 processes that mix: other numbers in $f.safetensors"
done

# … also where more is kept between batches than the network
more=(-o 'train optimizer.accumulate=3' -o 'train optimizer.clip_norm=0.5' -o train.ema=0.5
  -o train.ema_export=yes -o train.stop.patience=2 -o 'train schedule.name=plateau'
  -o 'train schedule.patience=0' -o train.epochs=2 -o 'train.freeze=conv1.*, bn1.*'
  -o optimizer.accumulate=2 -o qat.batches=0 -o checkpoint.batches=1 -o run.keep=99
  -o qat.bn_reestimate=2 -o qat.oscillation.damping=1e-4 -o qat.oscillation.freeze=0.9
  -o loss.weight=1 -o 'loss distillation.tensors=conv*' -o 'loss distillation.measure=attention')
expect 0 run tiny.ini --output one "$@" "${more[@]}" --overwrite
several 2 run tiny.ini --output more "$@" "${more[@]}" > out 2> err || failed "2 processes with more"
for f in weights best; do
  $builddir/run "$compare" one/$f.safetensors more/$f.safetensors 1e-5 \
    || failed "2 processes with more: other numbers in $f.safetensors"
done
# resumed within a step of several batches
rm -rf part && cp -r more part
for f in $(ls part/checkpoints | tail -n +3); do rm part/checkpoints/"$f"; done
several 2 run tiny.ini --output part "$@" "${more[@]}" --resume > out 2> err || failed "does not resume within a step"
for f in weights best model-int8; do same more/$f.safetensors part/$f.safetensors; done

# a_process_of FOLDER: one of those that train into FOLDER
a_process_of () {
  local f name
  grep -lzx -e "$1" /proc/[0-9]*/cmdline 2> /dev/null | while read -r f; do
    f=${f%/cmdline}
    read -r name 2> /dev/null < "$f/comm" || continue
    case $name in *qatkit*) echo "${f#/proc/}" ;; esac
  done | tail -n 1
}

# One process of two is killed: mpirun names it, the job ends, and continues.
# The name is one of its own, as the whole machine is looked through.
dies=dies$$
options=(-o run.threads=1 -o data.train_count=2048 -o train.epochs=1 -o qat.epochs=2 -o qat.batches=0)
several 2 run tiny.ini --output $dies "${options[@]}" > out 2> err &
job=$!
for _ in $(seq 1 600); do
  grep -qs '"stage":"qat"' $dies/log.jsonl && break
  kill -0 $job 2> /dev/null || break
  sleep 0.1
done
kill -KILL "$(a_process_of $dies)" || failed "ended before it could be killed"
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

# Processes that differ are told apart before the first step.
# differ SAYS ARGUMENTS-OF-0 : ARGUMENTS-OF-1
differ () {
  local text=$1 a=() b=() o
  shift
  while [ "$1" != : ]; do a+=("$1"); shift; done
  shift
  b=("$@")
  rm -rf differ
  # shellcheck disable=SC2086
  mpirun -n 1 $QATKIT run "${a[@]}" "${common[@]}" : -n 1 $QATKIT run "${b[@]}" "${common[@]}" \
    > out 2> err && failed "processes that differ train: $text"
  says "$text"
  [ ! -e differ/weights.safetensors ] || failed "processes that differ trained"
}
common=(tiny.ini --output differ "$@")
differ "process 1 of 2: settings differ from those of process 0: '[run] seed = 2' instead of '[run] seed = 1'" \
  -o run.seed=1 : -o run.seed=2
differ "'[ptq] batches = 3' instead of '[ptq] batches = 2'" -o run.keep=2 -o ptq.batches=2 : -o run.keep=2 -o ptq.batches=3
differ "'qatkit run --resume' instead of 'qatkit run'" -o run.keep=2 : --resume -o run.keep=2
common=(-o model.weights=w.safetensors "$tmp/tiny.ini" --output "$tmp/differ" "$@" -o train.epochs=0)
# the same names, other things: each process in a folder of its own
mkdir here there
expect 0 train tiny.ini --output w2 "$@" -o run.seed=5
cp one/weights.safetensors here/w.safetensors
cp w2/weights.safetensors there/w.safetensors
apart () { apart_in run "$@"; }
apart_in () { # COMMAND SAYS ARGUMENT…
  local command=$1 text=$2
  shift 2
  # shellcheck disable=SC2086
  mpirun -n 1 --wdir "$tmp/here" $QATKIT $command "$@" : -n 1 --wdir "$tmp/there" $QATKIT $command "$@" \
    > out 2> err && failed "processes that differ work together: $text"
  says "$text"
}
apart "process 1 of 2: weight tensor 'conv1.weight' differs" "$tmp/tiny.ini" --output "$tmp/differ" "$@" \
  -o train.epochs=0 -o model.weights=w.safetensors
expect 0 export tiny.ini samples -o data.train_count=64 -o data.val_count=40
cp -r samples here && cp -r samples there
sed '/^size\|_count\|^dataset/d' tiny.ini > folder.ini
folder=("$tmp/folder.ini" --output "$tmp/differ" -o data.dataset=imagefolder -o data.crop=16
  -o data.resize=16 -o data.root=samples -o run.threads=1)
gone=$(cd here && ls samples/train/*/*.jpg | sed -n 9p)
rm "there/$gone"
apart "process 1 of 2: train samples differ from those of process 0: '${gone#samples/train/}' is missing" "${folder[@]}"
cp "here/$gone" "there/$gone"
class=$(basename "$(ls -d there/samples/val/*/ | tail -n 1)")
for split in train val; do mv there/samples/$split/"$class" there/samples/$split/zzz; done
apart "zzz' instead of '" "${folder[@]}"

# A process that is stopped is named, and the job ends.
several 2 run tiny.ini --output stuck -o run.threads=1 -o data.train_count=2048 -o train.epochs=50 \
  -o 'comm mpi:timeout=2' > out 2> err &
job=$!
for _ in $(seq 1 600); do
  [ -n "$(ls stuck/checkpoints 2> /dev/null)" ] && break
  sleep 0.1
done
victim=$(sed -n 's/process \([0-9]*\) on.*/\1/p' stuck/lock)
kill -STOP "$victim"
for _ in $(seq 1 300); do
  kill -0 $job 2> /dev/null || break
  sleep 0.1
done
kill -0 $job 2> /dev/null && { kill -KILL "$victim"; failed "a stopped process hangs the job"; }
wait $job && failed "a job with a stopped process ends well"
says "process 0 on $(hostname)"
says "has not answered for 2 s"

# What processes share, and what one does alone.
expect 0 eval one/model-int8.safetensors --json
grep -o '"top1":[0-9.]*' out > alone
several 2 eval one/model-int8.safetensors --json > out 2> err || failed "eval by two"
[ "$(grep -c top1 out)" = 1 ] || failed "eval: each process prints"
grep -o '"top1":[0-9.]*' out | cmp - alone || failed "eval by two gives another accuracy"
# shellcheck disable=SC2086
mpirun -n 1 $QATKIT eval one/model-int8.safetensors : -n 1 $QATKIT eval one/model-ptq.safetensors \
  > out 2> err && failed "two models are evaluated as one"
says "process 1 of 2: the int8 model differs from that of process 0"
apart_in eval "process 1 of 2: weight tensor 'conv1.weight' differs" "$tmp/tiny.ini" -o model.weights=w.safetensors
# … also of a score that sees all samples at once
expect 0 eval one/model-int8.safetensors --json --per-class -o metric.name=recall
grep -o '"recall_at_1":[0-9.]*' out > alone
[ "$(wc -l < alone)" -ge 3 ] || failed "eval: no recall by class"
for n in 2 3; do
  several $n eval one/model-int8.safetensors --json --per-class -o metric.name=recall > out 2> err \
    || failed "recall by $n"
  grep -o '"recall_at_1":[0-9.]*' out | cmp - alone || failed "eval by $n gives another recall"
done
several 2 run tiny.ini --output few "$@" -o data.eval_batches=1 -o data.eval_batch=1 > out 2> err \
  || failed "one sample to evaluate for two processes"
for command in "predict one/model-int8.safetensors $tmp/here/$gone --json" "inspect one/model-int8.safetensors --json" \
  "verify one" "plugins"; do
  # shellcheck disable=SC2086
  qatkit $command > alone 2> err || failed "$command"
  # shellcheck disable=SC2086
  several 2 $command > out 2> err || failed "$command by two"
  cmp alone out || failed "$command: each process does everything"
done

# Part of a batch that one process cannot decode costs that batch, not the run.
cp -r samples broken
for f in broken/train/*/*.jpg; do
  [ $((RANDOM % 3)) = 0 ] && echo no > "$f"
done
several 2 train folder.ini --output broken-run -o data.dataset=imagefolder -o data.crop=16 -o data.resize=16 \
  -o data.root=broken -o data.batch=2 -o data.max_bad=1 -o run.threads=1 > out 2> err \
  || failed "a part that cannot be decoded"

# Killed within an epoch, two processes go on there, to the same bytes.
within=(-o data.train_count=2400 -o data.batch=8 -o run.threads=1 -o qat.batches=0 -o train.epochs=1
  -o qat.epochs=1 -o checkpoint.batches=7)
mkdir within undisturbed
( cd undisturbed && several 2 run ../tiny.ini "${within[@]}" > "$tmp/out" 2> "$tmp/err" ) \
  || failed "two processes with checkpoints within epochs"
cd within || exit 99
several 2 run ../tiny.ini "${within[@]}" > "$tmp/out" 2> "$tmp/err" &
job=$!
for _ in $(seq 1 3000); do
  ls run/checkpoints/part-* > /dev/null 2>&1 && break
  kill -0 $job 2> /dev/null || failed "no part"
  sleep 0.01
done
kill -KILL "$(sed -n 's/process \([0-9]*\) on.*/\1/p' run/lock)"
wait $job
several 2 run ../tiny.ini "${within[@]}" --resume > "$tmp/out" 2> "$tmp/err" || failed "no resuming within an epoch"
says "continuing from run/checkpoints/part-"
diff -rq --exclude='*.jsonl' ../undisturbed/run run || failed "resumed within an epoch: other bytes"
exit 0
