#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What "make install" installs: qatkit-new-plugin makes a plugin that builds with
# the installed files and no others; every file is in exactly one package of
# dist/qatkit.spec, whose files all are there.
. "${0%/*}/functions.sh"
CC=${CC:-cc}
requires make pkg-config "${CC%% *}"
root=$tmp/root

quiet_make () { env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s "$@"; }
quiet_make -C "$builddir" install DESTDIR="$root" > out 2> err || failed "make install"

# the folders, as configured
cat > show.mk << 'END'
include Makefile
show-folders:
	@echo "bindir='$(bindir)' libdir='$(libdir)' includedir='$(includedir)' datadir='$(datadir)'" \
	  "sysconfdir='$(sysconfdir)' mandir='$(mandir)' docdir='$(docdir)' plugindir='$(plugindir)'"
END
eval "$(quiet_make -C "$builddir" -f "$tmp/show.mk" show-folders)"
[ -x "$root$bindir/qatkit" ] && [ -d "$root$plugindir" ] || failed "nothing is installed in $bindir, $plugindir"

# ---- qatkit-new-plugin -------------------------------------------------------
# The script names the folder of its templates; here that is below DESTDIR.
new=$root$bindir/qatkit-new-plugin
grep -qx "templates=$datadir/qatkit/template" "$new" || failed "$new names other templates: $(grep ^templates "$new")"
sed -i "s|^templates=|&$root|" "$new"
"$new" > out 2> err && failed "without arguments"
prints "usage: qatkit-new-plugin KIND NAME [FOLDER]"
"$new" picture x > out 2> err && failed "an unknown kind"
says "KIND must be one of layer model"
for kind in $(ls "$srcdir/plugins/template" | grep -v Makefile); do
  same "$srcdir/plugins/template/$kind/NAME.c" "$root$datadir/qatkit/template/$kind/NAME.c"
done
"$new" observer mine > out 2> err || failed "qatkit-new-plugin observer mine"
"$new" observer mine > out 2> err && failed "a plugin is replaced"
flags=$(PKG_CONFIG_PATH=$root$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root pkg-config --cflags --libs qatkit) \
  || failed "pkg-config"
case $flags in *"$builddir"/core* | *"$srcdir"*) failed "the installed qatkit.pc has folders of the source tree: $flags" ;; esac
quiet_make -C mine CC="$CC" QATKIT="$flags" > out 2> err || failed "the plugin cannot be built with what is installed"
expect 0 plugins ./mine/mine.so
prints "observer mine: "

# ---- the packages of dist/qatkit.spec ----------------------------------------
if ! type rpmspec > /dev/null 2>&1; then
  echo "no rpmspec: dist/qatkit.spec is not looked at"
  exit 0
fi
define=(--define "_bindir $bindir" --define "_libdir $libdir" --define "_includedir $includedir"
  --define "_datadir $datadir" --define "_sysconfdir $sysconfdir" --define "_mandir $mandir"
  --define "_docdir ${docdir%/*}")
for p in backends/onednn backends/xnnpack comm/mpi; do
  [ -e "$root$plugindir/$p.so" ] || define+=(--define "_without_${p#*/} 1")
done
spec=$builddir/dist/qatkit.spec
rpmspec "${define[@]}" -P "$spec" > parsed 2> err || failed "rpmspec -P $spec"
[ ! -s err ] || failed "rpmspec has warnings about $spec"
grep -q "^Version: *$(qatkit --version | sed -n "1s/^qatkit \([0-9.]*\).*/\1/p")\$" parsed || failed "another version than qatkit's"
# every file but libtool's, which the spec removes
find "$root" ! -type d ! -name '*.la' | sed "s|^$root||" | sort > files

# claims PACKAGE: the files that the lines of its section, on stdin, name
claims () {
  local line path kind f
  : > claimed
  while read -r line; do
    kind=
    while :; do
      case $line in
        %license*) line= ;;
        %dir\ * | %exclude\ * | %config*\ *) kind=$kind${line%% *}; line=${line#* } ;;
        *) break ;;
      esac
    done
    [ -n "$line" ] || continue
    path=$(compgen -G "$root$line") || failed "$1: no file $line"
    for f in $path; do
      case $kind in
        %dir) [ -d "$f" ] || failed "$1: $f is no folder" ;;
        %exclude) grep -vx "${f#"$root"}" claimed > rest; mv rest claimed ;;
        *) find "$f" ! -type d ! -name '*.la' | sed "s|^$root||" >> claimed ;;
      esac
    done
  done
  cat claimed
}
: > all
sed -n 's/^%files *\(.*\)/\1/p' parsed | while read -r package; do
  sed -n "/^%files *$package\$/,/^%[a-z]* *[a-z-]*\$/p" parsed | sed '1d; /^%files/d; /^$/d' \
    | claims "${package:-qatkit}" > claims-of || { cat claims-of; exit 1; }
  echo "$package: $(wc -l < claims-of) files"
  cat claims-of >> all
done || failed "see above"
sort all > claimed
uniq -d claimed > twice
[ ! -s twice ] || failed "in two packages: $(cat twice)"
sort -u claimed | comm -3 - files > other
[ ! -s other ] || failed "in no package: $(cat other)"
[ "$(wc -l < claimed)" -ge 200 ] || failed "only $(wc -l < claimed) files"
exit 0
