#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qatkit export --c: self-tests of networks as people have them, their weights
# random numbers or those of $QATKIT_DATA, compiled by gcc and clang here and in
# QEMU on Cortex-M and RISC-V; single layers of all sizes on each of those.
# Large networks run on one processor each; QATKIT_TEST_LONG=1 runs all on all.
. "${0%/*}/functions.sh"
requires gcc
sources=$srcdir/tests/csource
# shellcheck source=/dev/null
. "$sources/boards.sh"
compilers=gcc
type clang > /dev/null 2>&1 && compilers="gcc clang"
strict="-std=c99 -Wall -Wextra -Wconversion -pedantic -Werror"

# ---- single layers ---------------------------------------------------------------
k=$srcdir/plugins/formats/csource/kernels
{
  cat "$k/base.c.in" "$k/choice.c.in"
  echo "#ifndef QATKIT_NO_FLOAT"
  cat "$k/real-float.c.in"
  echo "#else"
  cat "$k/real-integer.c.in"
  echo "#endif"
  cat "$k"/weighted{,-vectors,-words,-pixels}.c.in "$k"/{rows,window,column}.c.in
  sed 's/@conv@/conv/; s/@column@/column/' "$k/conv.c.in"
  cat "$k"/depthwise{,3}.c.in
} > kernels.h

# layers COMPILER FLAG…: as many bytes as on any other processor
want=
layers () {
  # shellcheck disable=SC2086
  "$@" $strict -I. "$sources/layers.c" -o layers 2> err \
    || failed "layers.c does not compile with $*"
  ./layers > out || failed "$*: status $?"
  want=${want:-$(cat out)}
  [ "$(cat out)" = "$want" ] || failed "$* computes other bytes"
}
for cc in $compilers; do
  layers "$cc" -O2 -DQATKIT_PORTABLE
  layers "$cc" -O2
  layers "$cc" -O2 -DQATKIT_NO_FLOAT
done
grep -qx "[0-9]*" out || failed "no checksum"
layers gcc -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
case " $boards " in
  *" Cortex-M55 "*) versions="Cortex-M55-integer Cortex-M55-plain" ;;
  *) versions= ;;
esac
for board in $boards $versions; do
  on_board "$board" "$sources/layers.c" -I.
  [ "$(cat out)" = "$want" ] || failed "$board computes other bytes"
  echo "$board: the same bytes"
done

# ---- networks ----------------------------------------------------------------------
cat > main.c << 'END'
#include "net.h"
static uint32_t arena[(NET_ARENA_SIZE + 3) / 4];
int main (void) { return net_selftest (arena); }
END

everywhere="$compilers $boards"

# network NAME CONFIGURATION "COMPILER… BOARD…" OPTION…: quantized after no
# training
network () {
  local name=$1 config=$2 where=$3 place
  shift 3
  [ -z "${QATKIT_TEST_LONG-}" ] || where=$everywhere
  expect 0 run "$config" --quiet --output "$name" -o train.epochs=0 \
    -o ptq.batches=1 -o qat.epochs=0 "$@"
  rm -rf c
  expect 0 export "$name/model-ptq.safetensors" --c c --prefix net --selftest 1
  for place in $where; do
    case " $boards " in
      *" $place "*)
        on_board "$place" "$sources/selftest.c" c/net*.c -Ic
        echo "$name, $place: $(cat out)"
        continue ;;
    esac
    case " $compilers " in *" $place "*) ;; *) continue ;; esac
    # shellcheck disable=SC2086
    "$place" $strict -O2 -Ic main.c c/net*.c -o main 2> err \
      || failed "$name does not compile with $place"
    ./main || failed "$place: layer $? of $name computes other bytes"
    echo "$name, $place: no layer that differs"
  done
}

samples="-o data.train_count=4 -o data.val_count=4 -o data.batch=4"
story=$srcdir/etc/shapes-mobilenet_v2.ini
# shellcheck disable=SC2086
network story "$story" "gcc Cortex-M4" $samples
# shellcheck disable=SC2086
network mobilenet "$story" Cortex-M7 $samples -o model.width=1 -o data.size=160

# every operator that there is, those of no microcontroller's networks, too
QATKIT_PLUGIN_PATH="${QATKIT_PLUGIN_PATH:+$QATKIT_PLUGIN_PATH:}$tmp/own"
export QATKIT_PLUGIN_PATH
mkdir -p own/models
ln -s "$testplugins/tp_every_layer.so" own/models/
sed -i '/^channels/d; /^depth/d' tiny.ini
network every tiny.ini "$everywhere" -o model.arch=tp_every_layer
grep -q "conv_transposed (" c/net.c || failed "no transposed convolution"
grep -q " joined\(_table\)* (" c/net.c || failed "no concatenation"
grep -q " table (" c/net.c || failed "no table"
grep -q " add (" c/net.c || failed "no sum"

data=${QATKIT_DATA:-$srcdir/../shared/data}
if [ -f "$data/foreign/resnet20_cifar10.onnx" ]; then
  network resnet20 tiny.ini "clang Cortex-M33" -o model.arch=onnx -o data.size=32 \
    -o model.file="$data/foreign/resnet20_cifar10.onnx"
else
  echo "no ResNet-20: no foreign/resnet20_cifar10.onnx in $data (QATKIT_DATA)"
fi
if [ -f "$data/kws/kws_dscnn.onnx" ]; then
  network dscnn "$srcdir/etc/keyword-spotting.ini" "gcc Cortex-M3 Cortex-M55" \
    -o model.file="$data/kws/kws_dscnn.onnx" -o data.root="$data/kws"
else
  echo "no DS-CNN: no kws/kws_dscnn.onnx in $data (QATKIT_DATA)"
fi
exit 0
