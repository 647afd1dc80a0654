#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Training as people do it: accumulation, clipping, averages of weights, early
# stopping, schedules that follow a score, a limit of time; each of them also in
# pieces, and none of them where it is not asked for.
. "${0%/*}/functions.sh"
direct
# tests/check_comm FILE FILE TOLERANCE compares tensors
compare=$builddir/tests/check_comm

sed '/^momentum/d' tiny.ini > t.ini
base=(-o run.keep=99 -o data.train_count=112 -o data.flip=no -o train.epochs=3 -o qat.epochs=3 -o qat.batches=0)

# epochs FOLDER STAGE: how many there were
epochs () { grep -c "\"event\":\"epoch\",.*\"stage\":\"$2\"" "$1/log.jsonl"; }
# tensors A B: the weights of two runs are the same, but for rounding
tensors () {
  [ -x "$compare" ] || return 0
  "$builddir/run" "$compare" "$1/weights.safetensors" "$2/weights.safetensors" "$3" \
    || failed "weights of $1 and $2"
}

expect 0 run t.ini "${base[@]}" --output plain

# ---- steps of several batches --------------------------------------------------
# without batch-norm they are those of a larger batch; 112 samples are 3.5 of 32,
# so that the last step has fewer
mlp=(-o model.arch=mlp -o data.size=16 -o data.train_count=112 -o data.flip=no -o train.epochs=2)
sed '/^channels\|^depth/d' t.ini > mlp.ini
expect 0 train mlp.ini "${mlp[@]}" --output whole
expect 0 train mlp.ini "${mlp[@]}" -o data.batch=16 -o 'train optimizer.accumulate=2' --output halves
expect 0 train mlp.ini "${mlp[@]}" -o data.batch=8 -o 'train optimizer.accumulate=4' --output quarters
expect 0 train mlp.ini "${mlp[@]}" -o data.batch=16 --output other
tensors whole halves 1e-5
tensors whole quarters 1e-5
! cmp -s whole/weights.safetensors other/weights.safetensors || failed "as if batches were alike"
[ ! -x "$compare" ] || ! "$builddir/run" "$compare" whole/weights.safetensors \
  other/weights.safetensors 1e-4 > out 2>&1 || failed "tests/check_comm finds no difference"

# ---- mixed samples, balanced classes -----------------------------------------------
# the same for any number of workers and in pieces; evaluation sees none of it
mix=(-o data.mixup=0.2 -o data.cutmix=1)
expect 0 run t.ini "${base[@]}" "${mix[@]}" -o data.workers=1 --output mixed
expect 0 run t.ini "${base[@]}" "${mix[@]}" -o data.workers=4 --output again
same mixed/weights.safetensors again/weights.safetensors
! cmp -s plain/weights.safetensors mixed/weights.safetensors || failed "mixing changes nothing"
# with a share of 0 nothing else is other than without
expect 0 run t.ini "${base[@]}" "${mix[@]}" -o data.mix_share=0 --output none
same plain/weights.safetensors none/weights.safetensors
for f in $(ls again/checkpoints | tail -n +3); do rm again/checkpoints/"$f"; done
expect 0 run t.ini "${base[@]}" "${mix[@]}" --output again --resume
same mixed/weights.safetensors again/weights.safetensors
expect 1 train mlp.ini "${mlp[@]}" -o data.sampling=balanced
says "dataset shapes does not tell the categories"
expect 0 export t.ini folder -o data.train_count=90 -o data.val_count=20
for d in folder/train/*/; do
  ls "$d"* | tail -n +$((2 + RANDOM % 6)) | while read -r f; do rm "$f"; done
done
sed '/^size\|_count/d' t.ini > folder.ini
balanced=(-o data.dataset=imagefolder -o data.root=folder -o data.crop=16 -o data.resize=16
  -o data.sampling=balanced -o qat.epochs=1 -o run.threads=1)
expect 0 run folder.ini "${balanced[@]}" -o data.workers=1 --output balanced
expect 0 run folder.ini "${balanced[@]}" -o data.workers=3 --output balanced2
same balanced/weights.safetensors balanced2/weights.safetensors

# ---- clipping --------------------------------------------------------------------
# bounds that nothing reaches change nothing
expect 0 train t.ini "${base[@]}" -o 'train optimizer.clip_norm=1e9' -o 'train optimizer.clip_value=1e9' \
  --output wide
same plain/weights.safetensors wide/weights.safetensors
# with norms of 0.001 and a rate of 0.05 no weight goes far
expect 0 train mlp.ini "${mlp[@]}" -o 'train optimizer.lr=0' --output start
! "$builddir/run" "$compare" start/weights.safetensors whole/weights.safetensors 0.1 > out 2>&1 \
  || failed "nothing moves without clipping either"
for o in clip_norm clip_value; do
  expect 0 train mlp.ini "${mlp[@]}" -o "train optimizer.$o=0.001" --output $o
  for f in start whole; do
    ! cmp -s $f/weights.safetensors $o/weights.safetensors || failed "$o: as $f"
  done
done
tensors start clip_norm 0.1

# ---- averages --------------------------------------------------------------------
# evaluated, and nothing else is other than without
expect 0 run t.ini "${base[@]}" -o train.ema=0.5 -o qat.ema=0.9 --output ema
same plain/weights.safetensors ema/weights.safetensors
grep -q '"network":"float average 3/3"' ema/log.jsonl || failed "no float average evaluated"
grep -q '"network":"int8 average 2/3"' ema/log.jsonl || failed "no int8 average evaluated"
grep -q '"network":"int8 2/3"' ema/log.jsonl || failed "no int8 network evaluated"
diff <(grep '"network":"int8 ./3"' plain/log.jsonl | grep '"event":"eval"' | sed 's/"time":[^,]*,//') \
  <(grep '"network":"int8 ./3"' ema/log.jsonl | grep '"event":"eval"' | sed 's/"time":[^,]*,//') \
  || failed "other scores of QAT"
# exported
expect 0 run t.ini "${base[@]}" -o train.ema=0.5 -o train.ema_export=yes -o qat.ema=0.9 \
  -o qat.ema_export=yes --output export
! cmp -s plain/weights.safetensors export/weights.safetensors || failed "not the average"
expect 0 verify export
prints "0 differ"
expect 0 run t.ini "${base[@]}" -o qat.ema=0.9 -o qat.ema_export=yes -o qconfig.weight.fakequant=lsq \
  -o qconfig.activation.fakequant=pact --output learned
expect 0 verify learned
prints "0 differ"
# weights alone, which are evaluated fake-quantized
expect 0 run t.ini "${base[@]}" -o qat.ema=0.9 -o qconfig.preset=weight_only --output analysis
# an average that keeps nothing is the network
expect 0 train t.ini "${base[@]}" -o train.ema=1e-9 -o train.ema_export=yes --output last
tensors plain last 1e-6

# ---- early stopping ----------------------------------------------------------------
# nothing is better by so much: the first epoch is the best
never=(-o train.stop.patience=1 -o train.stop.min_delta=9 -o qat.stop.patience=2 -o qat.stop.min_delta=9)
expect 0 run t.ini "${base[@]}" -o train.epochs=5 -o qat.epochs=5 "${never[@]}" --output early
says "stopped early: no better top1 in 1 epoch"
says "stopped early: no better top1 in 2 epochs"
[ "$(epochs early train)" = 2 ] || failed "$(epochs early train) epochs of float training, expected 2"
[ "$(epochs early qat)" = 3 ] || failed "$(epochs early qat) epochs of QAT, expected 3"
# … and what it gives
expect 0 run t.ini "${base[@]}" -o train.epochs=1 --output first
same first/weights.safetensors early/weights.safetensors
# by the loss, of which less is better: as long as it falls, and the best is kept
expect 0 train t.ini "${base[@]}" -o train.epochs=6 -o train.stop.patience=1 -o train.stop.score=loss \
  -o 'train optimizer.lr=0.01' --output falls
losses () { sed -n "s/.*\"event\":\"eval\",\"network\":\"$2\".*\"loss\":\([^,}]*\).*/\1/p" "$1/log.jsonl"; }
losses falls 'float [0-9]\/6' > seen
awk 'NR == 1 || $1 < best { best = $1; last = NR } NR > last + 1 { bad = 1 }
  END { exit bad || NR == 0 || (NR < 6 && NR != last + 1) }' seen || failed "stopped at the wrong epoch"
[ "$(sort -g seen | head -n 1)" = "$(losses falls float)" ] || failed "not the best epoch"
expect 1 run t.ini -o train.stop.score=top7 --output no
says "no metric gives 'top7'"
expect 1 run t.ini -o schedule.score=top7 --output no
says "no metric gives 'top7'"

# ---- schedules ---------------------------------------------------------------------
# lr FOLDER: the learning rates at the begin of the epochs of float training
lr () {
  sed -n 's/.*"event":"epoch".*"stage":"train".*"lr":\([^,]*\),.*/\1/p' "$1/log.jsonl" | tr '\n' ' '
}
expect 0 train t.ini "${base[@]}" -o 'train schedule.name=plateau' -o 'train schedule.patience=0' \
  -o 'train schedule.threshold=9' -o 'train schedule.threshold_mode=abs' -o 'train schedule.factor=0.5' \
  -o 'train optimizer.lr=0.5' --output plateau
[ "$(lr plateau)" = "0.5 0.5 0.25 " ] || failed "plateau: learning rates $(lr plateau)"
expect 0 train t.ini "${base[@]}" -o 'train schedule.name=step' -o 'train schedule.step_size=1' \
  -o 'train schedule.gamma=0.5' -o 'train schedule.warmup=1' -o 'train optimizer.lr=0.5' --output warm
[ "$(lr warm)" = "0.125 0.5 0.25 " ] || failed "warm-up: learning rates $(lr warm)"
# steps, not batches
expect 0 train t.ini "${base[@]}" -o 'train schedule.name=constant' -o 'train schedule.warmup=3' \
  -o 'train optimizer.accumulate=2' -o 'train optimizer.lr=1.5' --output steps
[ "$(lr steps)" = "0.25 0.75 1.25 " ] || failed "warm-up with accumulation: $(lr steps)"
for s in onecycle cosine; do
  expect 0 run t.ini "${base[@]}" -o "train schedule.name=$s" -o "schedule.name=$s" --output $s
done

# ---- a limit of time -----------------------------------------------------------------
# all at once, in as many pieces as it takes
all=(-o 'train optimizer.accumulate=3' -o 'train optimizer.clip_norm=0.5' -o train.ema=0.9
  -o train.ema_export=yes -o 'train schedule.name=plateau' -o 'train schedule.patience=0'
  -o train.stop.patience=2 -o optimizer.name=lamb -o optimizer.accumulate=2 -o qat.ema=0.8
  -o qat.ema_export=yes -o schedule.name=plateau -o schedule.score=loss -o schedule.warmup=1
  -o 'optimizer fc.*:lr=0.0001' -o 'qat.freeze=conv1.*' -o data.batch=8)
expect 0 run t.ini "${base[@]}" "${all[@]}" --output straight
limit=0.002
pieces=0
until qatkit run t.ini "${base[@]}" "${all[@]}" -o run.max_minutes=$limit --resume --output pieces > out 2> err; do
  pieces=$((pieces + 1))
  grep -q "stopped after run.max_minutes; --resume\|before there was anything to keep" err \
    || failed "not stopped by the limit"
  [ $pieces -lt 60 ] || limit=$(awk "BEGIN { print $limit * 1.2 }")
  [ $pieces -lt 200 ] || failed "comes to no end"
done
echo "$pieces pieces"
[ $pieces -gt 0 ] || failed "not stopped once"
for f in weights best model-int8 model-ptq; do same straight/$f.safetensors pieces/$f.safetensors; done
expect 0 verify pieces
prints "0 differ"
expect 130 run t.ini "${base[@]}" -o run.max_minutes=0.0001 --output short
exit 0
