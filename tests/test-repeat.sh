#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Equal runs write equal bytes; another seed does not.
. "${0%/*}/functions.sh"

# once CONFIG DIR ARGUMENT…: a run in its own folder
once () {
  local dir=$1
  shift
  mkdir "$dir" && cd "$dir" || exit 99
  expect 0 run ../tiny.ini "$@"
  rm run/timing.jsonl || failed "no timing.jsonl"
  cd "$tmp" || exit 99
}

twice () {
  rm -rf a b
  once a "$@"
  once b "$@"
  diff -r a/run b/run || failed "two equal runs differ: $*"
  [ "$(find a/run -name '*.safetensors' | wc -l)" -ge 5 ] || failed "files are missing"
  [ -s a/run/log.jsonl ] || failed "no log"
}
twice
once c -o run.seed=2
cmp -s a/run/weights.safetensors c/run/weights.safetensors \
  && failed "the seed changes nothing"
cmp -s a/run/model-int8.safetensors c/run/model-int8.safetensors \
  && failed "the seed changes nothing"

# the number of threads that read samples is nobody's business
once d -o data.workers=1
for f in weights model-ptq model-int8; do
  # the configuration is in the models' metadata
  tail -c 2000 a/run/$f.safetensors > x
  tail -c 2000 d/run/$f.safetensors > y
  same x y
done
# with dropout, augmentation and another optimizer
sed -e '/^channels/d; /^depth/d; /^momentum/d; /^arch/s/=.*/= mobilenet_v2/' \
  tiny.ini > x && mv x tiny.ini
twice -o model.width=0.1 -o data.train_count=64 -o optimizer.name=adam \
  -o data.val_count=20
exit 0
