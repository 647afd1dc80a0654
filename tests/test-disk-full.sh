#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A disk that is full, or a limit on files: a clear sentence, and the files
# that were there stay whole.
. "${0%/*}/functions.sh"

expect 0 run tiny.ini
cp -r run before

# full LIMIT: the same run again where no file may grow beyond LIMIT blocks
# of 1024 bytes
full () {
  ( ulimit -f "$1" || exit 77; qatkit run tiny.ini --overwrite > out.txt 2> err.txt )
  status=$?
  mv out.txt out.now; cp err.txt err
  [ $status != 77 ] || skip "no limit on files can be set"
  [ $status = 1 ] || failed "a run without room for $1 KiB ended with $status"
  says "cannot write"
  says "File too large"
  says "run/"
  for f in weights model-ptq model-int8 best; do
    same before/$f.safetensors run/$f.safetensors
  done
  [ -z "$(find run -name '.*' -type f)" ] || failed "left: $(find run -name '.*')"
  for f in run/checkpoints/*; do expect 0 inspect "$f"; done
}
largest=$(find run -name '*.safetensors' -printf '%s\n' | sort -n | tail -n 1)
full $((largest / 2048))
full 1

# the log as well: an error, not silence
if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=64k none small 2> /dev/null; then
  expect 1 run tiny.ini --output small/run
  cp err err.full
  umount small
  grep -q "No space left" err.full || failed "a full disk is not told"
else
  echo "no small file system can be mounted, part left out"
fi

expect 0 run tiny.ini --overwrite
same before/model-int8.safetensors run/model-int8.safetensors
same before/best.safetensors run/best.safetensors
exit 0
