#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is wrong in a configuration is told with its place and the name that
# was probably meant, before anything is written.
. "${0%/*}/functions.sh"

# bad TEXT… -- ARGUMENT…: "run tiny.ini ARGUMENT…" fails and says the texts
bad () {
  local texts=()
  while [ "$1" != -- ]; do
    texts+=("$1")
    shift
  done
  shift
  expect 1 run tiny.ini "$@"
  for t in "${texts[@]}"; do says "$t"; done
  [ ! -e run ] || failed "a run with a bad configuration made its folder"
  [ "$(wc -l < err)" -le 12 ] || failed "too many lines for one mistake"
}

# ini LINE…: tiny.ini with lines added, as bad.ini
bad_ini () {
  local text=$1
  shift
  { cat tiny.ini; printf '%s\n' "$@"; } > bad.ini
  expect 1 run bad.ini
  says "$text"
  [ ! -e run ] || failed "a run with a bad configuration made its folder"
}
lines=$(wc -l < tiny.ini)

# sections and keys
bad_ini "bad.ini:$((lines + 1)): unknown section [optimiser] (did you mean 'optimizer'?)" \
  '[optimiser]' 'lr = 1'
bad_ini "bad.ini:$((lines + 2)): unknown key 'epoch' in [qat] (did you mean 'epochs'?)" \
  '[qat]' 'epoch = 1'
bad "-o: unknown key 'momentun' in [optimizer] (did you mean 'momentum'?)" \
  -- -o optimizer.momentun=1
bad "unknown section [dta] (did you mean 'data'?)" -- -o dta.batch=3
bad "unknown key 'lr' in [qat] (it belongs to [" -- -o qat.lr=3
bad "train_cuont" "did you mean 'train_count'" "seeed" "did you mean 'seed'" \
  -- -o data.train_cuont=3 -o run.seeed=3

# values
bad "[data] batch" "'many'" -- -o data.batch=many
bad "batch" "0" "1" -- -o data.batch=0
bad "lr" "'0.1x'" -- -o optimizer.lr=0.1x
bad "strict" "'maybe'" "yes" "no" -- -o qat.strict=maybe
bad "weight.per_channel" "'atuo'" "did you mean 'auto'" \
  -- -o qconfig.weight.per_channel=atuo
bad "weight.bits" "9" "2" "8" -- -o qconfig.weight.bits=9
bad "activation.bits" "1" "2 to 16" -- -o qconfig.activation.bits=1
bad "difficulty" "2" -- -o data.difficulty=2
bad "mean" -- -o data.mean=1,2
bad "seed" -- -o run.seed=-1
bad "output" -- -o run.output=

# plugins
bad "no model plugin 'cmn' (did you mean 'cnn'?)" -- -o model.arch=cmn
bad "no dataset plugin 'shape' (did you mean 'shapes'?)" -- -o data.dataset=shape
bad "no optimizer plugin 'sdg' (did you mean 'sgd'?)" -- -o optimizer.name=sdg
bad "no schedule plugin 'cosin' (did you mean 'cosine'?)" \
  -- -o "train schedule.name=cosin"
bad "no backend plugin 'fbgem' (did you mean 'fbgemm'?)" -- -o qat.backend=fbgem
bad "no backend plugin 'fbgem'" -- --backend fbgem
bad "no observer plugin 'minmaxx' (did you mean 'minmax'?)" \
  -- -o ptq.activation.observer=minmaxx
bad "no fakequant plugin 'afine' (did you mean 'affine'?)" \
  -- -o qconfig.activation.fakequant=afine
bad "no reporter plugin 'jsonk' (did you mean 'jsonl'?)" -- -o run.reporter=jsonk
bad "no loss plugin 'softmax_cros_entropy'" "softmax_cross_entropy" \
  -- -o loss.name=softmax_cros_entropy
bad "no metric plugin 'acuracy' (did you mean 'accuracy'?)" \
  -- -o metric.name=acuracy

# losses and metrics: what they compare, and what they have to say to that
bad "there is no output 'logit'" "did you mean 'logits'" -- -o loss.output=logit
bad "there is no target 'labl'" "did you mean 'label'" -- -o metric.target=labl
bad "[loss mse]" "expected f32 of the same shape" -- -o "loss mse.weight=1"
bad "two metrics give a score 'top1'" \
  -- -o "metric.name=accuracy" -o "metric accuracy.target=label"
bad "it compares with a teacher" "no targets" \
  -- -o "loss.weight=1" -o "loss distillation.target=label"
bad "unknown key 'label_smooting'" "did you mean 'label_smoothing'" \
  -- -o loss.label_smooting=0.1
bad "during" "'never'" "train" "qat" -- -o loss.during=never
bad "no metric gives 'top2'" "did you mean 'top" "known are loss, top1, top5" \
  -- -o qat.best=top2

# patterns
bad "section [qconfig covn*]: the pattern 'covn*' matches nothing" \
  -- -o "qconfig covn*.weight.bits=4"
bad "section [qconfig fc, covn*]: the pattern 'covn*' matches nothing" \
  -- -o "qconfig fc,  covn*:weight.bits=4"
bad "section [qconfig covn* fcc]: the pattern 'covn*' matches nothing" \
  -- -o "qconfig covn* fcc:weight.bits=4"
bad "unknown key 'weight.bit' in [qconfig fc] (did you mean 'weight.bits'?)" \
  -- -o "qconfig fc.weight.bit=4"
bad "strict" "stays in float" "'fc'" \
  -- -o qat.strict=yes -o "qconfig fc.quantize=no"

# the file itself
bad_ini "bad.ini:$((lines + 1))" 'no equals sign'
bad_ini "bad.ini:$((lines + 1))" '[qat'
printf 'epochs = 1\n' > bad.ini
expect 1 run bad.ini
says "bad.ini:1"
bad "-o batch" "section.key=value" -- -o batch=3
bad "-o data.batch" "section.key=value" -- -o data.batch

# the other commands look as closely
for c in train ptq qat compare eval; do
  expect 1 $c tiny.ini -o data.train_cuont=3
  says "did you mean 'train_count'"
done
expect 1 export tiny.ini samples -o data.train_cuont=3
says "did you mean 'train_count'"
[ ! -e samples ] || failed "export began its work"
expect 1 run tiny.ini --threads -3
says "threads"
expect 1 run tiny.ini --threads x
says "threads"

# a network the data do not fit
bad "[model] channels" "1..1024" "'0'" -- -o model.channels=0
expect 1 run tiny.ini -o model.classes=7
says "label has 10 categories"
says "output logits has 7"
[ ! -e run ] || failed "a run that cannot work made its folder"

# a folder that cannot be made
: > file
expect 1 run tiny.ini --output file/run
says "file"
says "Not a directory"
expect 1 run tiny.ini --output file
says "file"
# options of what is installed and not in use: say what to name where
bad "-o: key 'adaround.iterations' in [ptq] is an option of ptq plugin adaround, which 'methods' does not name: name it there" \
  -- -o ptq.adaround.iterations=30
bad "key 'val_share' in [data] is an option of dataset plugin " "which 'dataset' does not name" \
  -- -o data.val_share=0.1
bad "key 'activation.observer.averaging_constant' in [qconfig] is an option of observer plugin " \
  -- -o qconfig.activation.observer=minmax -o qconfig.activation.observer.averaging_constant=0.1
bad "key 'weight.fakequant.scale' in [qconfig fc] is an option of fakequant plugin fixed" \
  -- -o 'qconfig fc.weight.fakequant.scale=0.1'
bad "unknown key 'adarond.iterations' in [ptq]" -- -o ptq.adarond.iterations=30
expect 1 run tiny.ini -o data.workers=1000
says "workers"
says "1000"
expect 1 run tiny.ini -o run.threads=5000
says "threads"
says "5000"
# more threads than there is room for: OpenMP would end the program
if ! grep -q '^#define QK_SANITIZED' "$builddir/config.h"; then
  ( ulimit -s 8192 && ulimit -v 2000000 || exit 77
    expect 1 eval tiny.ini -o run.threads=1000
    says "-o: [run] threads: 1000 threads cannot be started here, only " )
  case $? in 0 | 77) ;; *) exit 1 ;; esac
fi
exit 0
