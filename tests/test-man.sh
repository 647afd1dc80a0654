#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual pages: none is missing, none is behind the program, none makes
# the formatter complain.
. "${0%/*}/functions.sh"
requires groff

man=$srcdir/docs/man

# text PAGE: as the reader sees it, in one line, words apart by one space
text () {
  MANWIDTH=70 groff -man -Tascii -P-c -P-b -P-u -rHY=0 -rLL=1000n "$1" \
    | tr -s ' \n' '  '
}

n=0
generated=$builddir/qatkit-plugins.7
[ -s "$generated" ] || failed "no $generated"
for page in "$man"/*.[1-9] "$builddir"/kind-pages/*.3 "$generated"; do
  groff -man -Tutf8 -ww -z "$page" 2> err || failed "groff $page"
  [ ! -s err ] || failed "groff has warnings about $page"
  if type man > /dev/null 2>&1; then
    man --warnings -l "$page" > out 2> err || failed "man -l $page"
    [ ! -s err ] || failed "man has warnings about $page"
  fi
  # what is referred to exists
  text "$page" | grep -oE 'qatkit[a-z.-]*\([0-9]\)' | sort -u > references
  while IFS='()' read -r name section; do
    [ -s "$man/$name.$section" ] || [ "$name.$section" = qatkit-plugins.7 ] \
      || [ -s "$builddir/kind-pages/$name.$section" ] \
      || failed "${page##*/} refers to $name($section)"
  done < references
  n=$((n + 1))
done
[ $n -ge 15 ] || failed "only $n pages"

# every command has a page that has its options and says the same in short
expect 0 --help
commands=$(sed -n 's/^  \([a-z]*\) .*/\1/p' out)
[ -n "$commands" ] || failed "no commands"
for c in $commands; do
  page=$man/qatkit-$c.1
  [ -s "$page" ] || failed "no page of command $c"
  text "$man/qatkit.1" | grep -qF "qatkit-$c(1)" || failed "qatkit(1) lacks $c"
  text "$page" > page
  expect 0 "$c" --help
  summary=$(sed -n 2p out)
  grep -qF "NAME qatkit-$c - $summary SYNOPSIS" page \
    || failed "the page of $c does not say '$summary'"
  arguments=$(sed -n '1s/^usage: //p' out)
  grep -qF "SYNOPSIS $arguments DESCRIPTION" page \
    || failed "the synopsis of $c is not '$arguments'"
  options=$(sed -n 's/^ *\(-., \)\{0,1\}\(--[a-z-]*\).*/\2/p' out)
  [ -n "$options" ] || failed "no options of $c"
  for o in $options; do
    sed 's/.* OPTIONS //; s/ EXIT STATUS .*//' page | grep -qE -e "(^| )$o( |\$)" \
      || failed "the page of $c does not tell of $o"
  done
  # and no option that is none
  for o in $(grep -oE -e '--[a-z][a-z-]*' page | sort -u); do
    grep -qE -e "$o( |\$)" out || failed "the page of $c tells of $o"
  done
done

# every key of the core's sections, in its section and with its default
tables=$srcdir/core/settings/tables.c
sed -n '/^\.SH SECTIONS/,/^\.SH EXAMPLES/p' "$man/qatkit.ini.5" > sections
cat > list << 'END'
run:qk_table_run
checkpoint:qk_table_checkpoint
model:qk_table_model
data:qk_table_data
train:qk_table_train
loss:qk_table_loss
loss NAME:qk_table_loss
metric:qk_table_metric
metric NAME:qk_table_metric
train optimizer:qk_table_optimizer
optimizer:qk_table_optimizer
train optimizer PATTERN:qk_table_optimizer_group
optimizer PATTERN:qk_table_optimizer_group
optimizer quantizer:qk_table_optimizer_learned
train schedule:qk_table_schedule
schedule:qk_table_schedule
ptq:qk_table_ptq
ptq:qk_table_ptq_observers
qat:qk_table_qat
tune:qk_table_tune
qconfig:qk_table_qconfig
qconfig PATTERN:qk_table_qconfig
END
for table in $(grep -o 'qk_table_[a-z_]*' "${tables%.c}.h"); do
  grep -q ":$table\$" list || failed "no section has $table"
done
while IFS=: read -r section table; do
  awk -v s="[$section]" '/^\.SS / { on = index ($0, s) > 0 } on' sections > part
  [ -s part ] || failed "qatkit.ini(5) lacks section [$section]"
  sed -n "/ $table\[\]/,/END/s/^[ ={]*{ \"\([^\"]*\)\", QK_OPT_[A-Z]*, \"\([^\"]*\)\".*/\1:\2/p" \
    "$tables" > keys
  [ -s keys ] || failed "no keys in $table"
  while IFS=: read -r key default; do
    sed 's/\\-/-/g' part | grep -q "^\.BR $key \" (" \
      || failed "qatkit.ini(5) lacks $key in [$section]"
    [ -z "$default" ] || sed 's/\\-/-/g' part | grep -qF ".BR $key \" ($default)\"" \
      || failed "qatkit.ini(5): default of $key in [$section] is not $default"
  done < keys
done < list

# the plugins' page has every plugin of the tree and each of its options, and
# so has a page of its own
pages=$builddir/plugin-pages
groff -man -Tutf8 -ww -z "$pages"/*.7 2> err || failed "groff $pages/*.7"
[ ! -s err ] || failed "groff has warnings about pages of plugins"
for so in "$builddir"/stage/*/*.so; do
  p=${so#"$builddir/stage/"}
  p=${p%.so}
  expect 0 plugins "$p"
  awk -v kind="$(echo "${p%/*}" | tr a-z A-Z)" -v name="${p#*/}" '
    /^\.S[HS] / { on = 0 }
    /^\.SH / { in_kind = $2 == kind }
    /^\.SS / { on = in_kind && $2 == name }
    on' "$generated" > part
  [ -s part ] || failed "qatkit-plugins(7) lacks $p"
  read -r kind _ < out
  page=$pages/qatkit-$kind-${p#*/}.7
  [ -s "$page" ] || failed "no page of $p"
  for o in $(sed -n 's/^  \([^ ]*\) = .*/\1/p' out); do
    grep -q "^\.BR $o \" (" part || failed "qatkit-plugins(7) lacks $o of $p"
    grep -q "^\.BR $o \" (" "$page" || failed "the page of $p lacks $o"
  done
done

# they are the same wherever they are made
QATKIT="env QATKIT_CPU=portable $QATKIT" "$srcdir/build-aux/plugin-man" \
  "$builddir/stage" . > all.7 || failed "plugin-man"
same all.7 "$generated"
for page in "$pages"/*.7; do
  same "${page##*/}" "$page"
done

# every kind has its paragraph for authors of plugins
for kind in "$builddir"/stage/*; do
  kind=${kind##*/}
  grep -q "^\.SS $kind\( \|\$\)" "$man/qatkit-plugin.3" \
    || failed "qatkit-plugin(3) lacks $kind"
done
exit 0
