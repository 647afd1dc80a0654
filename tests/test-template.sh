#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The templates of plugins, as docs/writing-plugins.md shows them: built
# outside the tree with what pkg-config says and no more, they train, change the
# result, and convert; broken ones are refused with their name.
. "${0%/*}/functions.sh"
CC=${CC:-cc}
requires make pkg-config "${CC%% *}"

# the flags of qatkit.pc, as if this build tree were installed
flags=$(PKG_CONFIG_PATH=$builddir/core pkg-config --cflags --libs \
  --define-variable="includedir=$srcdir/core/include" \
  --define-variable="libdir=$builddir/.libs" qatkit) || failed "pkg-config"

new_plugin () { sh "$srcdir/build-aux/new-plugin" "$@" > out 2> err; }
# build FOLDER: its Makefile, with the flags of this build tree
build () {
  env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$1" CC="$CC" CFLAGS="-O2 -Wall -Wextra -Werror" \
    QATKIT="$flags" \
    > out 2> err || failed "$1 cannot be built"
  [ ! -s err ] || failed "building $1 says something"
}

# the plugin of qatkit-plugin(3)
sed -n '/^#include <qatkit.observer/,/^\.fi/{ /^\.fi/d; s/\\-/-/g; p; }' \
  "$srcdir/docs/man/qatkit-plugin.3" > first.c
# the plugins of the document, named in their first lines, and its commands
document=$srcdir/docs/writing-plugins.md
awk '/^```c$/ { on = 1; file = ""; next } /^```/ { on = 0 }
     on && !file { file = $2; sub (":", "", file) }
     on { print > file }' "$document"
for name in calm pow2 first; do
  [ $name = first ] || grep -qxF "    cc -shared -fPIC -o $name.so $name.c \$(pkg-config --cflags --libs qatkit)" \
    "$document" || failed "no command for $name"
  # shellcheck disable=SC2086
  $CC -shared -fPIC -o $name.so $name.c -Wall -Wextra -Werror $flags \
    || failed "$name.c of the document cannot be built"
  [ "$(grep -c . $name.c)" -le 30 ] || failed "$name.c is no short example"
done
new_plugin observer averages averages || failed "new-plugin observer"
new_plugin fakequant shifts shifts || failed "new-plugin fakequant"
build averages
build shifts

# refusals of the script
for args in "observer Averages x" "observer 9x x" "picture x x" "observer" \
    "observer minmax x" "observer averages averages"; do
  # shellcheck disable=SC2086
  ! new_plugin $args || failed "new-plugin $args was done"
  says "new-plugin: "
done
[ ! -e x ] || failed "a refused plugin got a folder"

# within a tree
mkdir -p tree/plugins
cp -r "$srcdir/build-aux" tree
cp -r "$srcdir/plugins/template" tree/plugins
sh tree/build-aux/new-plugin fakequant shifts > out || failed "in a tree"
same tree/plugins/fakequant/shifts/shifts.c shifts/shifts.c

qatkit train -q tiny.ini --output float > out 2> err || failed "train"
cp float/weights.safetensors w.safetensors
sed -i 's/^.model.*/&\nweights = w.safetensors/' tiny.ini
# unlike FOLDER FOLDER: fail if their networks hold the same numbers
numbers () {
  local file=$1/model-int8.safetensors
  tail -c +$((9 + $(header_size "$file"))) "$file"
}
unlike () {
  ! cmp -s <(numbers "$1") <(numbers "$2") || failed "$1 and $2 are the same"
}
# proof NAME ARGUMENT…: QAT with the arguments, verify, unlike the default
proof () {
  local name=$1
  shift
  expect 0 qat -q tiny.ini --output "$name" "$@"
  # a plugin of one's own has to be named again: a checkpoint chooses no code
  expect 0 verify -q "$name" --backend reference,fbgemm \
    ${trust:+-o "$trust"} "$@"
  [ "$(grep -c ': 0 differing bytes of [1-9]' out)" = 2 ] \
    || failed "$name differs"
  [ "$name" = default ] || unlike "$name" default
}
proof default
proof calm -o qconfig.activation.observer=./calm.so
proof pow2 -o qconfig.weight.fakequant=./pow2.so \
  -o qconfig.activation.fakequant=./pow2.so
proof short -o qconfig.activation.observer=./calm.so \
  -o qconfig.weight.observer=./calm.so -o qconfig.weight.fakequant=./pow2.so
proof first -o qconfig.activation.observer=./first.so \
  -o qconfig.weight.observer=./first.so
unlike calm pow2
unlike calm first
observer=./averages/averages.so
fakequant=./shifts/shifts.so
proof averages -o "qconfig.activation.observer=$observer"
proof factor -o "qconfig.activation.observer=$observer" \
  -o qconfig.activation.observer.factor=0.5 \
  -o "qconfig.weight.observer=$observer"
unlike averages factor
proof shifts -o "qconfig.weight.fakequant=$fakequant" \
  -o "qconfig.activation.fakequant=$fakequant"
proof both -o "qconfig.activation.observer=$observer" \
  -o "qconfig.weight.fakequant=$fakequant" \
  -o "qconfig conv2.weight.fakequant=affine"
expect 1 qat tiny.ini --output bad \
  -o "qconfig.activation.observer=$observer" \
  -o qconfig.activation.observer.factor=0
says "factor"

# by a file: the same
printf '[qconfig]\nactivation.observer = %s\n' "$observer" >> tiny.ini
trust="qconfig.activation.observer=$observer"
proof file
trust=
cmp <(numbers file) <(numbers averages) || failed "file is not averages"
sed -i '/^.qconfig/,$d' tiny.ini

# the quantizers of this tree train and convert as well
q=qconfig.activation
proof percentile -o $q.observer=percentile \
  -o qconfig.weight.observer=percentile -o $q.observer.percentile=99
proof mse -o $q.observer=mse -o qconfig.weight.observer=mse \
  -o qconfig.weight.bits=4
proof kl -o $q.observer=kl
proof fixed -o $q.observer=fixed -o $q.observer.min=-3 -o $q.observer.max=3
proof fixedfq -o $q.fakequant=fixed -o $q.fakequant.scale=0.03 \
  -o $q.fakequant.zero_point=60
proof pact -o $q.fakequant=pact -o $q.fakequant.decay=0.001
proof pact4 -o $q.fakequant=pact -o $q.bits=4 -o qconfig.weight.bits=4 \
  -o qconfig.weight.fakequant=dorefa
proof dorefa -o qconfig.weight.fakequant=dorefa
proof tensor -o qconfig.weight.fakequant=dorefa \
  -o qconfig.weight.fakequant.normalize=unit \
  -o qconfig.weight.per_channel=no -o qconfig.weight.observer=kl
expect 1 qat tiny.ini --output bad -o qconfig.weight.fakequant=pact
says "'pact'"
says "weight"

# those that fail to be created or make no grid are refused by name
expression='exp2f (ceilf (log2f (out\[c\].scale)))'
broken () { # NAME SED-SCRIPT FILE.c
  sed -e "$2" -e "s/\(QK_[A-Z]* (\)${3%.c},/\1$1,/" "$3" > "$1.c"
  # shellcheck disable=SC2086
  $CC -shared -fPIC -o "$1.so" "$1.c" -include math.h $flags \
    || failed "$1 cannot be built"
}
create='s/^QK_/static int bad_create (const struct qk_config *cfg, \
const struct qk_quant_info *info, void **self) \
{ (void) cfg; (void) info; (void) self; \
return qk_error (-EINVAL, "out of luck"); }\n&/
s/\.self_size/.create = bad_create, &/'
broken fails "$create" pow2.c
broken nan "s/$expression/NAN/" pow2.c
broken infinite "s/$expression/INFINITY/" pow2.c
broken negative "s/$expression/-0.5f/" pow2.c
# refused KIND NAME WORDS: as the weights' and the values' KIND
refused () {
  local which
  for which in weight activation; do
    expect 1 qat tiny.ini --output bad -o "qconfig.$which.$1=./$2.so"
    says "$1 '$2' of '"
    says "$3"
  done
}
refused fakequant fails "out of luck"
for name in nan infinite negative; do
  refused fakequant $name "scale must be positive and finite"
done
broken fails_too "$create" calm.c
broken nowhere 's/= o->end\[i\];/= NAN;/' calm.c
broken endless 's/= o->end\[i\];/= i % 2 ? INFINITY : 0;/' calm.c
broken backwards 's/= o->end\[i\];/= i % 2 ? -1 : 1;/' calm.c
refused observer fails_too "out of luck"
for name in nowhere endless backwards; do
  refused observer $name "is no finite range"
done
[ ! -e bad/model-int8.safetensors ] || failed "the run went on"
exit 0
