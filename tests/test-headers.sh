#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every public header compiles alone, and twice, as C99 and as C++11, without
# a warning.
set -u
srcdir=${abs_top_srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
CC=${CC:-cc}
CXX=${CXX:-c++}
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

warnings='-Wall -Wextra -Werror -pedantic-errors'
failed=0
count=0

# compile COMPILER SUFFIX STANDARD HEADER
compile () {
  printf '#include "qatkit/%s"\n#include "qatkit/%s"\n' "$4" "$4" \
    > "$dir/x.$2"
  # The compiler may be several words ("ccache gcc").
  # shellcheck disable=SC2086
  if ! $1 -std=$3 $warnings -I "$srcdir/core/include" -fsyntax-only \
       "$dir/x.$2"; then
    echo "FAIL: $4 as $3"
    failed=1
  fi
}

have_cxx=no
echo 'class x {};' > "$dir/y.cc"
# shellcheck disable=SC2086
if $CXX -std=c++11 -fsyntax-only "$dir/y.cc" 2> /dev/null; then
  have_cxx=yes
else
  echo "no C++ compiler ($CXX): headers are tried as C only"
fi

for header in "$srcdir"/core/include/qatkit/*.h; do
  header=${header##*/}
  count=$((count + 1))
  compile "$CC" c c99 "$header"
  test $have_cxx = no || compile "$CXX" cc c++11 "$header"
done

# A plugin in either language.
cat > "$dir/plugin" <<'END'
#include "qatkit/qatkit.h"
static int
build (const struct qk_config *cfg, const struct qk_model_request *req,
       struct qk_graph *g)
{
  (void) cfg;
  return qk_graph_input (g, req->input);
}
static const struct qk_model_class model
  = { QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "x", "A test", NULL),
      build, 0, 0 };
QK_PLUGIN ("x", "1", "LGPL-2.1-or-later", &model.cls);
END
cp "$dir/plugin" "$dir/plugin.c"
cp "$dir/plugin" "$dir/plugin.cc"
# shellcheck disable=SC2086
$CC -std=c99 $warnings -I "$srcdir/core/include" -fsyntax-only \
  "$dir/plugin.c" || { echo "FAIL: a plugin as c99"; failed=1; }
# shellcheck disable=SC2086
test $have_cxx = no \
  || $CXX -std=c++11 $warnings -I "$srcdir/core/include" -fsyntax-only \
       "$dir/plugin.cc" || { echo "FAIL: a plugin as c++11"; failed=1; }

# An empty list would pass without having tried anything.
if [ $count -lt 10 ]; then
  echo "FAIL: only $count headers in $srcdir/core/include/qatkit"
  failed=1
fi
echo "$count headers tried, C++: $have_cxx"
exit $failed
