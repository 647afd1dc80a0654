#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the library exports is what the headers declare and the list of the
# package names; plugins export their entry, and need nothing but that.  With
# a tag of a release and abidiff: nothing that plugins rely on has changed.
. "${0%/*}/functions.sh"
requires nm

lib=$builddir/.libs/libqatkit.so
[ -f "$lib" ] || skip "no shared library was built"
plugins=${QATKIT_PLUGIN_PATH:-$builddir/stage}

# ---- names -------------------------------------------------------------------

cat "$srcdir"/core/include/qatkit/*.h | sed -n '/QK_PUBLIC/,/;/p' | tr '\n' ' ' \
  | grep -oE 'qk_[a-z0-9_]+ \(' | sed 's/ (//' \
  | grep -v '^qk_plugin_v' | sort -u > declared # that is the plugins' entry
[ "$(wc -l < declared)" -gt 30 ] || failed "the headers declare hardly anything"
nm -D --defined-only "$lib" | sed 's/.* //' > exported
sed -n 's/@@*QATKIT_1$//p' exported | grep -v '^QATKIT_1$' | sort -u > public
diff -u declared public || failed "exported is not what the headers declare (-)"
sed -n 's/^ \(qk_[a-z0-9_]*\)@QATKIT_1 .*/\1/p' "$srcdir/debian/libqatkit0.symbols" \
  | sort -u > listed
diff -u declared listed \
  || failed "debian/libqatkit0.symbols is not what the headers declare (-)"
# the sanitizers put names of their own into what they compile
grep -vE '@@*QATKIT_(1|PRIVATE)$|^QATKIT_(1|PRIVATE)(@.*)?$|^_*(asan|odr|ubsan|tsan|sancov|sanitizer)' \
  exported > others
[ ! -s others ] || failed "exported without a version: $(cat others)"

# FILE: ADDRESS TYPE NAME
n=$(ls "$plugins"/*/*.so | wc -l)
nm -D -A --defined-only "$plugins"/*/*.so > names || failed "nm"
[ "$(grep -c ' qk_plugin_v1$' names)" = "$n" ] \
  || failed "a plugin has no entry: $(grep ' qk_plugin_v1$' names)"
grep -vE ' (qk_plugin_v1|_*(asan|odr|ubsan|tsan|sancov|sanitizer).*|_init|_fini)$' \
  names > others
[ ! -s others ] || failed "plugins export more than their entry: $(cat others)"
nm -D -A --undefined-only "$plugins"/*/*.so | grep 'QATKIT_PRIVATE' > others
[ ! -s others ] || failed "what is private to the library is used: $(cat others)"
[ "$n" -ge 30 ] || failed "only $n plugins in $plugins"
echo "$(wc -l < public) public names, $n plugins"

# ---- since the last release --------------------------------------------------

tag=
if type git > /dev/null 2>&1; then
  tag=$(git -C "$srcdir" describe --tags --abbrev=0 --match 'v*' 2> /dev/null)
fi
if [ -z "$tag" ]; then
  echo "no tag of a release yet, nothing to compare the ABI with"
  exit 0
fi
if ! type abidiff > /dev/null 2>&1; then
  echo "no abidiff, the ABI is not compared with $tag"
  exit 0
fi
mkdir old && git -C "$srcdir" archive "$tag" core | tar -x -C old
{ sed -n '/^@PUBLIC@/q;p' old/core/qatkit.map.in
  cat old/core/include/qatkit/*.h | sed -n '/QK_PUBLIC/,/;/p' | tr '\n' ' ' \
    | grep -oE 'qk_[a-z0-9_]+ \(' | sed 's/ (/;/' | sort -u
  sed '1,/^@PUBLIC@/d' old/core/qatkit.map.in; } > old/map
# shellcheck disable=SC2046,SC2086
${CC:-cc} -std=gnu11 -g -O0 -w -shared -fPIC -I "$builddir" -I old/core/include \
  -I old/core -DQK_PLUGINDIR='""' -DQK_CONFIGDIR='""' \
  -Wl,-soname,libqatkit.so.0 -Wl,--version-script=old/map -o old/libqatkit.so \
  $(find old/core -name '*.c' ! -path '*/cli/*') -linih -ljansson -lz -lm \
  || failed "the library of $tag cannot be built"
printf '[suppress_%s]\nsymbol_version_regexp = ^QATKIT_PRIVATE\n' function variable > private
# classes may grow at their end; that is looked at below
cat >> private <<'END'
[suppress_type]
type_kind = struct
name_regexp = ^qk_[a-z0-9_]+_class$
END
abidiff --suppressions private --headers-dir1 old/core/include \
  --headers-dir2 "$srcdir/core/include" old/libqatkit.so "$lib" > changes
status=$?
cat changes
# 4: changed, also by what was added; 8: what was built before breaks
[ $((status & 3)) = 0 ] || failed "abidiff failed with status $status"
[ $((status & 8)) = 0 ] || failed "plugins built for $tag would break"
[ $status = 0 ] \
  || grep -q '^Functions changes summary: 0 Removed, 0 Changed' changes \
  || failed "functions are not what plugins built for $tag call"

# The library's functions do not lead to all that plugins share with it: one
# function for each struct that is declared does.
probe () { # core/include of a version, name of the result
  (cd "$1" && ls qatkit/*.h) | sed 's/.*/#include <&>/' > "$2.c"
  cat "$1"/qatkit/*.h | sed -n 's/^struct \(qk_[a-z0-9_]*\) {$/\1/p' | sort -u \
    | sed 's/.*/void see_& (struct & *p); void see_& (struct & *p) { (void) p; }/' >> "$2.c"
  ${CC:-cc} -std=gnu11 -g -w -shared -fPIC -I "$1" -o "$2" "$2.c" \
    || failed "the structs of $1 cannot be compiled"
  [ "$(nm -D "$2" | grep -c ' T see_qk_')" -ge 20 ] || failed "hardly a struct in $1"
}
probe old/core/include old/structs
probe "$srcdir/core/include" structs
# classes may grow at their end, other structs not at all
printf '[suppress_type]\ntype_kind = struct\nname_regexp = ^qk_[a-z0-9_]+_class$\n' > classes
for s in '' '--suppressions classes'; do
  # shellcheck disable=SC2086
  abidiff $s old/structs structs > changes
  status=$?
  cat changes
  [ $((status & 3)) = 0 ] || failed "abidiff failed with status $status"
  ! grep -qE 'data member (change|deletion)' changes \
    || failed "structs have other members than plugins built for $tag know"
done
[ $status = 0 ] \
  || grep -q '^Functions changes summary: 0 Removed, 0 Changed' changes \
  || failed "structs are not what plugins built for $tag know"
exit 0
