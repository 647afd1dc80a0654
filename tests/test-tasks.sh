#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Five tasks besides classification, each from its configuration in etc/ to
# an int8 network that gives training's bytes: numbers (regression), a label
# for each pixel, vectors (embeddings), anomalies, and two outputs of two inputs
# without labels.
. "${0%/*}/functions.sh"

own=reference,qnnpack
case $(uname -m) in x86_64 | i?86) own=$own,fbgemm ;; esac

# task NAME OPTION…: a run of its configuration, and verify
task () {
  local backend
  expect 0 run "$srcdir/etc/$1.ini" --output "$1" --quiet -o run.threads=2 "${@:2}"
  cp out "$1.table"
  expect 0 verify "$1" --quiet --backend "$own"
  for backend in ${own//,/ }; do
    prints "$backend: 0 differing bytes"
  done
  ls "$1"/model-int8.safetensors "$1"/model-ptq.safetensors > /dev/null \
    || failed "$1: no models"
}

# score NAME NETWORK SCORE: as the log has it last
score () {
  local s
  s=$(grep '"event":"eval"' "$1/log.jsonl" | grep -F "\"network\":\"$2" \
      | tail -n 1 | grep -o "\"$3\":[^,}]*" | cut -d: -f2)
  [ -n "$s" ] || failed "$1: no score $3 of '$2' in log.jsonl"
  echo "$s"
}

# holds EXPRESSION: of numbers
holds () {
  awk "BEGIN { exit !($1) }" || failed "not true: $1"
}

# others FOLDER SCORE: the other commands name the score
others () {
  expect 0 eval "$1/model-int8.safetensors" --quiet
  prints "$3"
  expect 0 eval "$1/model-int8.safetensors" --json --quiet
  prints "\"$2\""
  expect 0 inspect "$1/model-int8.safetensors"
  ! grep -q float32 out || failed "$1: nodes in float"
  cp "$1/model-int8.safetensors" was
  expect 0 convert "$1"
  same was "$1/model-int8.safetensors"
}

# ---- numbers -----------------------------------------------------------------
n=poses-lenet
task $n
grep -q 'mae.*rmse.*r2' $n.table || failed "the table does not name the scores"
float=$(score $n float mae)
best=$(score $n 'QAT fake' mae)
holds "$float < 0.15 && $best < 1.1 * $float"
holds "$(score $n 'QAT fake' r2) > 0.9"
others $n mae mae

# ---- a label for each pixel ----------------------------------------------------
n=scenes-context
task $n
grep -q 'mIoU' $n.table || failed "the table does not name the score"
float=$(score $n float miou)
best=$(score $n 'QAT fake' miou)
holds "$float > 0.8 && $best > $float - 0.02"
others $n miou mIoU

# ---- embeddings ------------------------------------------------------------------
n=embedding-lenet
task $n -o data.train_count=1500 -o data.val_count=300 -o data.difficulty=0 -o model.channels=6 \
  -o train.epochs=3 -o 'train optimizer.lr=0.004' -o qat.epochs=1
grep -q 'recall@1 %' $n.table || failed "the table does not name the score"
# chance gives 0.1
holds "$(score $n float recall_at_1) > 0.2 && $(score $n 'QAT fake' recall_at_1) > 0.2"
others $n recall_at_1 recall@1
# while the network changes there is no such score
! grep '"event":"epoch"' $n/log.jsonl | grep -q '"recall_at_1":[0-9]' \
  || failed "training has a score of all samples at once"
# the loss's distance may be another one
expect 0 eval $n/model-int8.safetensors -o metric.distance=euclidean --per-class --quiet
prints samples

# ---- anomalies ------------------------------------------------------------------
# 16 numbers that two make, and others that no two make
vectors () {
  perl -e '
    srand (5); my ($file, $labels, $n, $odd) = @ARGV;
    sub put { my ($f, $type, $dims, $data) = @_;
      my $h = "{\x27descr\x27: \x27$type\x27, \x27fortran_order\x27: False, "
        . "\x27shape\x27: ($dims), }";
      $h .= " " x (117 - length ($h)) . "\n";
      open (my $o, ">:raw", $f) or die;
      print $o "\x93NUMPY\x01\x00", pack ("v", length ($h)), $h, $data; }
    my (@x, @y);
    for my $i (0 .. $n - 1) {
      my ($a, $b) = (2 * rand () - 1, 2 * rand () - 1);
      push @y, $i < $odd ? 1 : 0;
      push @x, map { $i < $odd ? 2 * rand () - 1
        : $a * cos ($_) + $b * sin (2 * $_) + $a * $b * cos (3 * $_) } 0 .. 15;
    }
    put ($file, "<f4", "$n, 16", pack ("f<*", @x));
    put ($labels, "<i8", "$n,", pack ("q<*", @y));' "$@"
}
vectors train.npy train-kind.npy 600 0
vectors val.npy val-kind.npy 200 100
n=anomaly-mlp
task $n -o data.root=. -o model.hidden=32,4,32
grep -q 'AUC.*error' $n.table || failed "the table does not name the scores"
holds "$(score $n float auc) > 0.95 && $(score $n 'QAT fake' auc) > 0.95"
others $n auc AUC

# ---- two inputs, two outputs, no labels ------------------------------------------
n=queries-detector
task $n
grep -q 'boxes SQNR dB.*scores SQNR dB' $n.table \
  || failed "the table does not name the scores"
for s in boxes.sqnr scores.sqnr; do
  ptq=$(score $n PTQ $s)
  qat=$(score $n 'QAT fake' $s)
  holds "$qat > $ptq + 1"
done
# a constant is part of the model, on a grid of its own
expect 0 inspect $n/model-int8.safetensors
prints position
others $n boxes.sqnr SQNR
# a score that is infinite for the float network allows no difference from it
expect 0 analyze $n --quiet
prints "Held against the float network"

# killed and continued, the same bytes
direct
set -- -o run.threads=1 -o qat.epochs=3
expect 0 run "$srcdir/etc/$n.ini" --output again --quiet "$@"
mv again whole
$QATKIT run "$srcdir/etc/$n.ini" --output again --quiet "$@" > /dev/null 2>&1 &
for _ in $(seq 1 600); do
  grep -qs '"event":"epoch"' again/log.jsonl && break
  kill -0 $! 2> /dev/null || break
  sleep 0.05
done
kill -KILL $! 2> /dev/null
wait $! 2> /dev/null
expect 0 run "$srcdir/etc/$n.ini" --output again --quiet --resume "$@"
same whole/model-int8.safetensors again/model-int8.safetensors
exit 0
