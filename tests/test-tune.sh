#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tune: goals, the journal, and a configuration that repeats the best trial.
. "${0%/*}/functions.sh"

# goals that are none
for goal in 'top1' 'top1 > 3' 'top1 >= float -' 'top1 >= float - 0.5 x' ''; do
  expect 2 tune tiny.ini --goal "$goal"
  says "goal '$goal' is not understood"
done
expect 1 tune tiny.ini --goal 'top1 >= 101'
says "top1 is in percent, 0 to 100, not 101"
expect 1 tune tiny.ini --goal 'top3 >= 5'
says "no metric gives 'top3'"
expect 1 tune tiny.ini --goal 'top1 <= 5'
says "top1 is better where it is larger, expected '>='"
expect 2 tune
expect 2 tune tiny.ini --trials 0

top1 () { sed -n 's/.*"top1":\([0-9.]*\).*/\1/p' "$1" | tail -1; }

# a goal that is easily reached: fewer and fewer bits
expect 0 tune tiny.ini --goal 'top1 >= 1' --trials 15 -o data.val_count=40
prints "1 "
prints "qconfig:weight.per_channel=no, ptq:activation.observer=kl"
prints "qconfig:weight.bits=4"
prints "goal: top1 >= 1.00 % (* reached)"
[ "$(wc -l < run/tune.jsonl)" = 16 ] || failed "not a line for each trial"
grep -q '^weight.bits = 5$\|^weight.bits = 4$' run/tuned.ini || failed "the best has not the fewest bits"

# … and again, with the same accuracy
best=$(sed -n '1s/; int8 top1 \([0-9.]*\).*/\1/p' run/tuned.ini)
expect 0 run run/tuned.ini
! grep -q QAT out || failed "QAT was not needed and is repeated"
grep 'PTQ int8' out | grep -qF " $best " || failed "tuned.ini does not give $best again"

# stopped in the middle of a line and resumed: nothing is done twice
cp out first
head -n 6 run/tune.jsonl > cut && printf '{"qat":fal' >> cut && cp cut run/tune.jsonl
expect 0 tune tiny.ini --goal 'top1 >= 1' --trials 15 -o data.val_count=40 --resume --json
[ "$(grep -o '"remembered":true' out | wc -l)" = 5 ] || failed "not 5 trials are remembered"
[ "$(wc -l < run/tune.jsonl)" = 16 ] || failed "the journal was not continued"
expect 1 tune tiny.ini --goal 'top1 >= 1' -o data.val_count=41 --resume

# what power loss leaves: zeros within, before and instead of lines
lost () { # FORMAT-OF-WHAT-STANDS-BEFORE-THE-LAST-3-TRIALS REMEMBERED
  # shellcheck disable=SC2059
  { head -n 4 cut; printf "$1"; sed -n '5,6p' cut; } > run/tune.jsonl
  expect 0 tune tiny.ini --goal 'top1 >= 1' --trials 6 -o data.val_count=40 --resume --json
  [ "$(grep -o '"remembered":true' out | wc -l)" = "$2" ] || failed "not $2 trials are remembered after: $1"
}
lost '\0\0\0\0' 5
lost '\0\0\0\0\n' 5
says "tune.jsonl:5: not a trial; passed over"
lost '{"qat":\0fal\n\n' 5
printf '\0\0\0\0\0\0\0\0\n' > run/tune.jsonl
expect 0 tune tiny.ini --goal 'top1 >= 1' --trials 2 -o data.val_count=40 --resume
[ "$(wc -l < run/tune.jsonl)" = 3 ] || failed "a journal of zeros is not begun anew"
{ printf '\0\0\n'; sed -n '2,6p' cut; } > run/tune.jsonl
expect 1 tune tiny.ini --goal 'top1 >= 1' --trials 2 -o data.val_count=40 --resume
says "its first line is damaged"

# a goal out of reach: training, then layers in float; exit status 1
expect 1 tune tiny.ini --goal 'top1 >= 100' --output far -o data.val_count=40 \
  -o qconfig.weight.bits=2 -o train.batches=2
prints "not reached by any trial"
prints "qat, qconfig:weight.per_channel"
n=$(sed -n 's/^qatkit: trial \([0-9]*\): qat.*/\1/p' err)
[ -s "far/trial-$n/best.safetensors" ] || failed "trial $n is in $(ls -d far/trial-*)"
grep -q 'qconfig [a-z0-9]*:quantize=no' out || failed "no layer was tried in float"
grep -q '"float_layers":1' far/tune.jsonl || failed "the journal does not tell"
[ -s far/tuned.ini ] || failed "no tuned.ini"

# training reaches it: run trains again, to the same accuracy
expect 0 run far/tuned.ini
best=$(sed -n '1s/; int8 top1 \([0-9.]*\).*/\1/p' far/tuned.ini)
grep 'int8' out | grep -qF " $best " || failed "far/tuned.ini does not give $best again"
