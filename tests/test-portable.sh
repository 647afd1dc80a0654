#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The scripts of the build write the same with every awk and every shell of this
# machine, and with busybox's sed, grep, find … instead of GNU's.
. "${0%/*}/functions.sh"

# ---- awk: no blank between a function's name and its parenthesis -------------
# (gawk takes it for a variable; the others do not mind)
cd "$srcdir" || exit 99
n=0
for f in build-aux/{check-format,clean-build,embed,kind-man,list-components,new-plugin,plugin-man} \
  bootstrap .ci/run Makefile.am tests/*.sh tests/*/*.awk tests/bench/*.sh; do
  for name in $(sed -n 's/^ *function  *\([A-Za-z_][A-Za-z0-9_]*\).*/\1/p' "$f"); do
    grep -nE "(^|[^A-Za-z0-9_])$name +\(" "$f" && failed "$f: a blank behind the name of the function $name"
    n=$((n + 1))
  done
done
[ $n -ge 10 ] || failed "only $n functions in awk found"
cd "$tmp" || exit 99

# ---- folders that stand first in PATH, each with another tool ----------------
# awks/NAME/awk, shells/NAME/sh
mkdir -p awks shells
for awk in mawk gawk original-awk; do
  type $awk > /dev/null 2>&1 || continue
  mkdir awks/$awk && ln -s "$(type -P $awk)" awks/$awk/awk
done
for shell in dash bash yash mksh ksh93 zsh; do
  type $shell > /dev/null 2>&1 || continue
  mkdir shells/$shell && ln -s "$(type -P $shell)" shells/$shell/sh
done
if type busybox > /dev/null 2>&1; then
  box=$(type -P busybox)
  mkdir awks/busybox shells/busybox
  ln -s "$box" awks/busybox/awk
  ln -s "$box" shells/busybox/sh
  # all that the scripts use, from busybox
  mkdir -p tools/busybox
  for t in awk basename cat chmod cmp cp cut dirname find grep ls mkdir mv od printf rm sed sh sort tail test touch tr uniq wc; do
    ln -s "$box" tools/busybox/$t
  done
fi
mkdir -p tools

# ---- what a plugin says, with all that is to be escaped ----------------------
mkdir -p said/layers
cat > said/layers/odd << 'END'
layer odd-name: Text-with 'quotes', a \backslash and & an ampersand
version=1.0-rc1
licence=LGPL-2.1-or-later
options:
  first-key = ""
      .A line that begins with a dot, isn't it?
  second = 1e-3
      Back\slash - and dash
  third = (required)
      What must be given.
END
i=0
for so in "$builddir"/stage/*/*.so; do
  p=${so#"$builddir/stage/"}
  p=${p%.so}
  # a few of each kind will do
  case $p in layers/[d-z]* | metrics/[c-z]*) continue ;; esac
  mkdir -p "said/${p%/*}"
  qatkit plugins -q "$p" > "said/$p" 2> err || failed "plugins $p"
  i=$((i + 1))
done
mkdir stage
for p in said/*/*; do
  mkdir -p "stage/$(basename "${p%/*}")"
  touch "stage/${p#said/}.so"
done
[ $i -ge 20 ] || failed "only $i plugins"
cat > say << END
#!$(type -P bash)
cat "$tmp/said/\$3"
END
chmod +x say

# scripts FOLDER: all of them, with the sh, awk … that stand first in PATH
scripts () {
  mkdir -p "$1/plugins" "$1/kinds" "$1/new" || return 1
  (cd "$srcdir" && sh build-aux/list-components) > "$1/components" \
    && QATKIT=$tmp/say sh "$srcdir/build-aux/plugin-man" "$tmp/stage" "$1/plugins" > "$1/plugins.7" \
    && sh "$srcdir/build-aux/kind-man" "$srcdir" "$1/kinds" \
    && sh "$srcdir/build-aux/embed" "page=$srcdir/core/pages/analysis.html" none= > "$1/page.c" \
    && sh "$srcdir/build-aux/new-plugin" observer mine "$1/new/mine" > /dev/null \
    && sh "$srcdir/build-aux/new-plugin" layer ours "$1/new/ours" > /dev/null
}

scripts as-it-is 2> err || failed "the scripts end with an error"
[ "$(wc -l < as-it-is/components)" -ge 500 ] && [ "$(ls as-it-is/plugins | wc -l)" -gt $i ] \
  && [ "$(wc -l < as-it-is/plugins.7)" -ge 100 ] || failed "nothing is written"
cat > expected << 'END'
.TP
.BR first\-key " (empty)"
\&.A line that begins with a dot, isn\(aqt it?
.TP
.BR second " (1e\-3)"
Back\eslash \- and dash.
.TP
.BR third " (required)"
What must be given.
END
sed -n '/^\.SS odd/,/^\.SS [^o]/p' as-it-is/plugins.7 | grep -A 8 -m 1 '^\.TP' | diff expected - \
  || failed "text is not escaped"

for with in awks/* shells/* tools/*; do
  [ -d "$with" ] || continue
  name=${with//\//-}
  if ! (PATH=$tmp/$with:$PATH; scripts "with/$name") 2> err; then
    failed "the scripts end with an error with $with"
  fi
  diff -r as-it-is "with/$name" > out || failed "the scripts write something else with $with"
  echo "the same with $with"
done
exit 0
