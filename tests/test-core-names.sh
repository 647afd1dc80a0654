#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The core names no plugin: no string in core/ is the name of a folder of
# plugins/, backends/ or datasets/, but for what HACKING ("The core names no
# plugin") gives reasons for.
. "${0%/*}/functions.sh"

for d in "$srcdir"/plugins/*/*/ "$srcdir"/backends/*/ "$srcdir"/datasets/*/; do
  case $d in */plugins/common/* | */plugins/template/*) continue ;; esac
  basename "$d"
done | sort -u > names
[ "$(wc -l < names)" -ge 30 ] || failed "only $(wc -l < names) plugins found"

# file:name pairs that may be
sed -n '/^The core names no plugin$/,/^Build from git$/p' "$srcdir/HACKING" \
  | sed -n 's/^  \(core\/[^ ]*\)  *\([a-z0-9_, ]*\)$/\1 \2/p' | tr -d , > allowed
[ -s allowed ] || failed "no exceptions found in HACKING"

# comments may have examples
(cd "$srcdir" && find core -name '*.[ch]' ! -path '*/include/*' -exec awk '
  /^ *\/?\*/ { next }
  { sub (/\/\*.*/, "") }
  { while (match ($0, /"[A-Za-z0-9_.-]+"/)) {
      print FILENAME ":" FNR ":" substr ($0, RSTART, RLENGTH)
      $0 = substr ($0, RSTART + RLENGTH)
    } }' {} +) > strings
awk '
  FILENAME == "names" { plugin[$1] = 1; next }
  FILENAME == "allowed" { for (i = 2; i <= NF; i++) ok[$1 " " $i] = 1; next }
  {
    split ($0, part, ":"); word = part[3]; gsub (/"/, "", word)
    if (!(word in plugin)) next
    if (part[1] " " word in ok) { used[part[1] " " word] = 1; next }
    print part[1] ":" part[2] ": names the plugin \"" word "\""
    bad = 1
  }
  END {
    for (o in ok) if (!(o in used)) { print "not needed in HACKING: " o; bad = 1 }
    exit bad
  }' names allowed strings > found || { cat found; failed "see above"; }
exit 0
