# SPDX-License-Identifier: LGPL-2.1-or-later
# functions.sh: what the shell tests share; sourced by bash.
#
# Gives a temporary folder $tmp as working folder, removed at the end, and
#
#   requires PROGRAM…        skip the test where a program is missing
#   skip REASON              end the test as skipped
#   qatkit ARGUMENT…         run the program
#   expect STATUS ARGUMENT…  run it, keep stdout and stderr in out and err,
#                            fail the test unless it ends with STATUS
#   direct                   from here on without libtool's script in between
#   says TEXT / prints TEXT  fail unless err / out has the fixed TEXT
#   same FILE FILE           fail unless the files are equal
#   failed TEXT              fail the test
set -u
# A test that works in one language and one time zone.
LC_ALL=C
export LC_ALL
unset QATKIT_CPU

srcdir=${abs_top_srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
builddir=${abs_top_builddir:-$srcdir}
QATKIT=${QATKIT:-$builddir/run qatkit}
testplugins=${QATKIT_TEST_PLUGINS:-$builddir/tests/plugins/.libs}

tmp=$(mktemp -d) || exit 99
cleanup () {
  local status=$?
  # what a test mounted or left running is the test's own affair
  cd /
  chmod -R u+rwX "$tmp" 2> /dev/null
  rm -rf "$tmp"
  exit $status
}
trap cleanup EXIT
cd "$tmp" || exit 99

skip () {
  echo "skipped: $*"
  exit 77
}

requires () {
  local p
  for p in "$@"; do
    type "$p" > /dev/null 2>&1 || skip "no program '$p'"
  done
}

failed () {
  echo "FAILED (line ${BASH_LINENO[-2]}): $*"
  if [ -s "$tmp/out" ]; then echo "--- stdout"; head -n 30 "$tmp/out"; fi
  if [ -s "$tmp/err" ]; then echo "--- stderr"; head -n 30 "$tmp/err"; fi
  exit 1
}

# $QATKIT may be several words.
# shellcheck disable=SC2086
qatkit () { $QATKIT "$@"; }

expect () {
  local want=$1 got
  shift
  echo "qatkit $*"
  qatkit "$@" > "$tmp/out" 2> "$tmp/err"
  got=$?
  [ $got = "$want" ] \
    || failed "'qatkit $*' ended with status $got, expected $want"
}

says () {
  grep -qF -e "$*" "$tmp/err" || failed "stderr does not say: $*"
}

prints () {
  grep -qF -e "$*" "$tmp/out" || failed "stdout does not have: $*"
}

# direct: from here on without libtool's script in between, so that a signal, a
# limit or a preloaded library meets the program only
direct () {
  local program
  for program in "$builddir"/.libs/lt-qatkit "$builddir"/.libs/qatkit; do
    [ -x "$program" ] || continue
    LD_LIBRARY_PATH=$builddir/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    QATKIT_PLUGIN_PATH=${QATKIT_PLUGIN_PATH:-$builddir/stage}
    export LD_LIBRARY_PATH QATKIT_PLUGIN_PATH
    QATKIT=$program
    return
  done
}

same () {
  cmp "$1" "$2" || failed "$1 and $2 differ"
}

# The smallest useful job: seconds of work.  Keys can be added with -o.
cat > tiny.ini <<'END'
[run]
output = run
threads = 2
[model]
arch = cnn
channels = 8
depth = 3
[data]
dataset = shapes
size = 16
train_count = 128
val_count = 50
batch = 32
[train]
epochs = 1
[train optimizer]
lr = 0.05
momentum = 0.9
[ptq]
batches = 2
[qat]
epochs = 2
batches = 2
freeze_bn_after = 0
freeze_observers_after = 0
[optimizer]
lr = 0.002
momentum = 0.9
END

# ---- pages ------------------------------------------------------------------

# dom FILE: what the browser makes of it, in dom; fails where none runs
dom () {
  type chromium > /dev/null 2>&1 || return 1
  HOME=$PWD timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/chromium" \
    --dump-dom "file://$PWD/$1" > dom 2> dom.err || return 1
  grep -q '<html' dom
}

# ---- tensor files ------------------------------------------------------------

# le64 NUMBER: its eight bytes, lowest first.
le64 () {
  local n=$1 i
  for i in 1 2 3 4 5 6 7 8; do
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $((n & 255)))"
    n=$((n >> 8))
  done
}

# header_size FILE: bytes of the JSON header of a safetensors file.
header_size () { od -An -t u8 -N 8 "$1" | tr -d ' '; }

header_of () { tail -c +9 "$1" | head -c "$(header_size "$1")"; }

# with_header FILE HEADER: the file with another header, to stdout.
with_header () {
  le64 ${#2}
  printf %s "$2"
  tail -c +$((9 + $(header_size "$1"))) "$1"
}

# data_offset FILE TENSOR: where its numbers begin in the file.
data_offset () {
  local at
  at=$(header_of "$1" | tr -d ' \n' | grep -o "\"$2\":{[^}]*}" \
       | sed 's/.*"data_offsets":\[\([0-9]*\),.*/\1/')
  [ -n "$at" ] || failed "$1 has no tensor $2"
  echo $((8 + $(header_size "$1") + at))
}

# patch FILE OFFSET FORMAT: write the bytes that printf makes of FORMAT there.
patch () {
  # shellcheck disable=SC2059
  printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# python_with MODULE…: $python is one that has them; skipped without
python_with () {
  local modules
  modules=$(IFS=,; echo "$*")
  for python in python3 /usr/bin/python3; do
    "$python" -c "import $modules" 2> /dev/null && return
  done
  skip "no Python with $*"
}
