#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who includes whom, read from the #include lines: between the folders of
# core/ the arrows make no circle and point as HACKING says, and plugins see
# public headers, plugins/common and their own folder only.  Prints the graph.
set -u
LC_ALL=C
export LC_ALL
srcdir=${abs_top_srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
cd "$srcdir" || exit 99
srcdir=$(pwd) # without the ".." of a build folder in it
failed=0

# each line: FILE HEADER, for headers in quotes or of ours
lines () {
  find "$@" -name '*.[ch]' ! -path '*/template/*' -exec \
    grep -HE '^[[:space:]]*#[[:space:]]*include[[:space:]]*("|<qatkit/)' {} + \
    | sed 's/:[^"<]*["<]/ /; s/[">].*//' | grep -v ' config\.h$'
}

# ---- folders of core/ --------------------------------------------------------
# FROM TO, one line an arrow
arrows=$(lines core | while read -r file header; do
  from=${file#core/}; from=${from%%/*}
  [ "$from" = include ] && continue
  case $header in
    qatkit/*) [ -f "core/include/$header" ] || echo "! $file includes $header, which is no public header"; continue ;;
    */*) to=${header%%/*} ;;
    *) to=$from ;;
  esac
  if [ -f "core/$header" ] || { [ "$to" = "$from" ] && [ -f "${file%/*}/$header" ]; }; then
    [ "$to" = "$from" ] || echo "$from $to"
  else
    echo "! $file includes $header, which is nowhere in core/"
  fi
done | sort | uniq -c | sed 's/^ *//')
if echo "$arrows" | grep '!'; then failed=1; fi
arrows=$(echo "$arrows" | grep -v '!')

echo "folders of core/, the lowest first, with what they include:"
# take away folders that include nothing of those left, over and over
echo "$arrows" | awk '
  { n[$2] = n[$2] " " $3 "(" $1 ")"; arrow[$2 " " $3]; all[$2]; all[$3] }
  END {
    for (f in all) left++
    while (left > 0) {
      took = 0; list = ""
      for (f in all) {
        if (f in done) continue
        low = 1
        for (t in all) if (!(t in done) && ((f " " t) in arrow)) low = 0
        if (low) row[f]
      }
      for (f in row) {
        line = sprintf ("  %2d  %-9s ->%s", level, f, n[f] == "" ? " nothing" : n[f])
        print line | "sort"
        done[f] = ++level_of[f]; place[f] = level; left--; took++; delete row[f]
      }
      close ("sort")
      level++
      if (!took) {
        printf "FAILED: a circle among:"
        for (f in all) if (!(f in done)) printf " %s", f
        print ""
        for (a in arrow) { split (a, p, " "); if (!(p[1] in done) && !(p[2] in done)) print "  " p[1] " -> " p[2] }
        exit 1
      }
    }
    # the chain of HACKING, each reaching down only
    m = split ("base plugin graph passes exec train run analyze tune cli", chain, " ")
    for (i = 1; i <= m; i++)
      for (j = i + 1; j <= m; j++)
        if ((chain[i] " " chain[j]) in arrow) { print "FAILED: " chain[i] " includes " chain[j]; bad = 1 }
    for (i = 1; i <= m; i++)
      if (!(chain[i] in all)) { print "FAILED: no folder core/" chain[i]; bad = 1 }
    if (("settings graph") in arrow || ("settings passes") in arrow || ("settings exec") in arrow) { print "FAILED: settings includes what is made of them"; bad = 1 }
    exit bad
  }' || failed=1

# ---- plugins -----------------------------------------------------------------
n=0
found=$(lines plugins backends datasets | while read -r file header; do
  case $file in
    plugins/common/*) own=plugins/common ;;
    plugins/*) own=$(echo "$file" | cut -d/ -f1-3) ;;
    *) own=$(echo "$file" | cut -d/ -f1-2) ;;
  esac
  case $header in
    *..*)
      # only within the own folder
      path=$(cd "${file%/*}" && cd "$(dirname "$header")" 2> /dev/null && pwd)
      case $path/ in "$srcdir/$own/"*) continue ;; esac ;;
    qatkit/*) [ -f "core/include/$header" ] && continue ;;
    *)
      [ -f "${file%/*}/$header" ] && continue
      [ -f "$own/$header" ] && continue
      [ -f "plugins/common/$header" ] && continue
      # headers that the build makes
      case $header in *.pb-c.h | kernel-lines.h) continue ;; esac ;;
  esac
  echo "FAILED: $file includes $header: neither public nor of plugins/common nor its own"
done)
if [ -n "$found" ]; then echo "$found"; failed=1; fi
n=$(lines plugins backends datasets | cut -d' ' -f1 | sort -u | wc -l)
[ "$n" -ge 50 ] || { echo "FAILED: only $n files of plugins read"; failed=1; }
exit $failed
