#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion in bash by pressing TAB: an interactive shell runs what it
# completed.
. "${0%/*}/functions.sh"
requires script
script -qec true /dev/null > out 2>&1 || skip "no terminal: $(tail -n 1 out)"

cp tiny.ini mine.ini
{
  printf 'qatkit () { %s "$@"; }\n' "$QATKIT"
  printf '. %q\n' "$srcdir/etc/completion/qatkit"
  printf 'qatkit insp\tmi\t-o qat.ep\t0 -o schedule.name=cos\t> typed; exit\n'
} | script -qec 'bash --norc --noprofile -i' /dev/null > out
expect 0 inspect mine.ini -o qat.epochs=0 -o schedule.name=cosine
same out typed
exit 0
