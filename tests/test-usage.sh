#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Help, version, wrong usage; exit statuses.
. "${0%/*}/functions.sh"

# nothing asked: usage, as an error
expect 2
says "usage: qatkit COMMAND"
[ ! -s out ] || failed "usage as an error belongs on stderr"

expect 0 --help
prints "usage: qatkit COMMAND"
cp out help
expect 0 help
same out help
expect 0 --version
prints "qatkit "
[ "$(wc -l < out)" = 1 ] || failed "--version is one line"

# every command of the list explains itself
commands=$(sed -n 's/^  \([a-z]*\) .*/\1/p' help)
[ "$(echo "$commands" | wc -l)" -ge 11 ] || failed "commands: $commands"
for c in $commands; do
  expect 0 "$c" --help
  prints "usage: qatkit $c "
  prints "--quiet"
  [ ! -s err ] || failed "help of $c writes to stderr"
  ! grep -q '.\{80\}' out || failed "help of $c has lines longer than 79"
  ! grep -q '[^ -~]' out || failed "help of $c is not plain ASCII"
done
! grep -q '.\{80\}' help || failed "help has lines longer than 79"

expect 2 rnu
says "unknown command 'rnu'"
says "did you mean 'run'"
expect 2 run --no-such-option
says "unknown option '--no-such-option'"
expect 2 run --outptu x
says "unknown option '--outptu' (did you mean 'output'?)"
expect 2 run -x
says "unknown option '-x'"
expect 2 run -o
says "option '-o' lacks its argument"
expect 2 predict model.safetensors
says "at least one file"
expect 2 train
says "no configuration"
expect 2 run a.ini b.ini
says "'b.ini' is left over"
expect 2 eval
says "expected"
expect 2 eval a b
says "expected"
expect 2 verify
expect 2 inspect
expect 2 export tiny.ini
expect 2 plugins a b
expect 2 eval tiny.ini --batches 0
says "--batches is '0'"
expect 2 eval tiny.ini --batches 3x
says "--batches is '3x'"
expect 2 run --threads
says "lacks its argument"
expect 2 inspect --resume x
says "option '--resume' is not one of this command"
expect 2 eval tiny.ini --output x
says "option '--output' is not one of this command"

expect 1 run no-such.ini
says "no-such.ini"
says "No such file"
expect 1 run ./no-such.ini
says "'./no-such.ini'"
expect 1 run .
says "Is a directory"
expect 1 eval no-such.safetensors
says "no-such.safetensors"
expect 1 inspect no-such.safetensors
says "no-such.safetensors"
expect 1 predict no-such.safetensors x.jpg
says "no-such.safetensors"
expect 1 verify no-such
says "no-such"
mkdir empty
expect 1 verify empty
says "empty/best.safetensors"
cp tiny.ini tiny.txt
expect 1 inspect tiny.txt
says "tiny.txt"
: > nothing.safetensors
for c in inspect eval verify; do
  expect 1 $c nothing.safetensors
  says "nothing.safetensors"
done

# output that cannot be written is an error, not a success
if [ -e /dev/full ]; then
  qatkit --help > /dev/full 2> err && failed "--help > /dev/full succeeds"
  qatkit plugins > /dev/full 2> err && failed "plugins > /dev/full succeeds"
fi
exit 0
