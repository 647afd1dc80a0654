#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The templates of plugins, as docs/writing-plugins.md shows them: built
# outside the tree with what pkg-config would say and no more, they train,
# change the result, and convert; broken ones are refused with their name.
. "${0%/*}/functions.sh"
CC=${CC:-cc}
requires make "${CC%% *}"

new_plugin () { sh "$srcdir/build-aux/new-plugin" "$@" > out 2> err; }
# build FOLDER: its Makefile, with the flags of this build tree
build () {
  env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$1" CC="$CC" CFLAGS="-O2 -Wall -Wextra -Werror" \
    QATKIT="-I$srcdir/core/include -L$builddir/.libs -lqatkit" \
    > out 2> err || failed "$1 cannot be built"
  [ ! -s err ] || failed "building $1 says something"
}

# what the document shows is what one gets; its blocks of code by number
document=$srcdir/docs/writing-plugins.md
awk '/^```c$/ { n++; on = 1; next } /^```/ { on = 0 }
     on { print > ("block" n ".c") }' "$document"
new_plugin observer averages averages || failed "new-plugin observer"
new_plugin fakequant shifts shifts || failed "new-plugin fakequant"
same averages/averages.c block1.c
same shifts/shifts.c block2.c
build averages
build shifts

# refusals of the script
for args in "observer Averages x" "observer 9x x" "layer x x" "observer" \
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

# one that fails to be created, one that makes no number
mkdir fails nan
sed 's/shifts/fails/g; s/^  f->symmetric = .*/  qk_free (f); return qk_error (-EINVAL, "out of luck");/' \
  shifts/shifts.c > fails/fails.c
sed 's/shifts/nan/g; s/^    out\[c\].scale = .*/    out[c].scale = NAN;/' \
  shifts/shifts.c > nan/nan.c
for name in fails nan; do
  sed "s/shifts/$name/g" shifts/Makefile > $name/Makefile
  build $name
  for which in weight activation; do
    expect 1 qat tiny.ini --output bad \
      -o "qconfig.$which.fakequant=./$name/$name.so"
    says "fakequant '$name' of '"
  done
done
says "scale must be positive and finite"
[ ! -e bad/model-int8.safetensors ] || failed "the run went on"
expect 1 qat tiny.ini --output bad2 \
  -o "qconfig.weight.fakequant=./fails/fails.so"
says "out of luck"
[ ! -e bad2/model-int8.safetensors ] || failed "the run went on"
exit 0
