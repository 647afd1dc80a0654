#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qatkit export --c: self-tests of networks as people have them, their weights
# random numbers or those of $QATKIT_DATA, compiled by gcc and clang here and in
# QEMU on Cortex-M and RISC-V; single layers of all sizes on each of those.
# Each network runs on one or a few of them, each of them runs one;
# QATKIT_TEST_LONG=1 runs all on all.
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
  cat "$k"/weighted{,-vectors,-pairs,-halves,-words,-pixels}.c.in "$k"/{rows,window,column}.c.in
  sed 's/@conv@/conv/; s/@column@/column/' "$k/conv.c.in"
  cat "$k"/depthwise{,3-channels,3}.c.in
} > kernels.h

# layers COMPILER FLAG…: as many bytes as on any other processor
want=
runner=
layers () {
  # shellcheck disable=SC2086
  "$@" $strict -I. "$sources/layers.c" -o layers 2> err \
    || failed "layers.c does not compile with $*"
  $runner ./layers > out || failed "$*: status $?"
  want=${want:-$(cat out)}
  [ "$(cat out)" = "$want" ] || failed "$* computes other bytes"
}
layers gcc -O2 -DQATKIT_PORTABLE
grep -qx "[0-9]*" out || failed "no checksum"
[ -z "${QATKIT_TEST_LONG-}" ] \
  || layers gcc -O1 -DQATKIT_NO_FLOAT -fsanitize=address,undefined
for cc in $compilers; do
  layers "$cc" -O2
done
if grep -qw avx2 /proc/cpuinfo; then
  layers gcc -O2 -mavx2
fi
if type aarch64-linux-gnu-gcc qemu-aarch64 > /dev/null 2>&1; then
  runner=qemu-aarch64
  layers aarch64-linux-gnu-gcc -O2 -static
  runner=
fi
# those with inner loops of their own; the others have those of Cortex-M4 and C
some="Cortex-M3 Cortex-M4 Cortex-M55 Cortex-M55-integer RISC-V"
[ -z "${QATKIT_TEST_LONG-}" ] || some="$boards Cortex-M55-integer Cortex-M55-plain"
for board in $some; do
  case " $boards " in *" ${board%-[ip]*} "*) ;; *) continue ;; esac
  on_board "$board" "$sources/layers.c" -I.
  [ "$(cat out)" = "$want" ] || failed "$board computes other bytes"
  echo "$board: the same bytes"
done
# without optimization compilers keep registers that those loops need
case " $boards " in
  *" Cortex-M4 "*)
    on_board Cortex-M4 "$sources/layers.c" -I. -O0
    [ "$(cat out)" = "$want" ] || failed "Cortex-M4 computes other bytes with -O0" ;;
esac

# ---- networks ----------------------------------------------------------------------
cat > main.c << 'END'
#include "net.h"
static uint32_t arena[(NET_ARENA_SIZE + 3) / 4];
int main (void) { return net_selftest (arena); }
END

everywhere="$compilers $boards"

# Compilers take seconds to read the constants of a large network, assemblers do
# not: what makes lines for them of net_weights.c.
cat > constants.awk << 'END'
BEGIN { print ".section .rodata" }
/\[[0-9]*\] = \{$/ {
  match ($0, /[A-Za-z0-9_]+\[/)
  name = substr ($0, RSTART, RLENGTH - 1)
  size = $0 ~ /int8_t/ ? ".byte" : ".4byte"
  print ".balign 4\n.globl " name "\n" name ":"
  inside = 1
  next
}
/^};/ { inside = 0 }
inside { sub (/,$/, ""); print size $0 }
END
quick=

# network NAME CONFIGURATION "COMPILER… BOARD…" OPTION…: quantized after no
# training
network () {
  local name=$1 config=$2 where=$3 place
  shift 3
  [ -z "${QATKIT_TEST_LONG-}" ] || where=$everywhere
  expect 0 run "$config" --quiet --output "$name" -o train.epochs=0 \
    -o ptq.batches=1 -o qat.epochs=0 "$@"
  rm -rf c
  expect 0 export "$name/model-ptq.safetensors" --c c --prefix net --selftest 1 --split
  if [ -n "$quick" ] && [ -z "${QATKIT_TEST_LONG-}" ]; then
    awk -f constants.awk c/net_weights.c > c/net_weights.s
    rm c/net_weights.c
  fi
  for place in $where; do
    case " $boards " in
      *" $place "*)
        on_board "$place" "$sources/selftest.c" c/net*.[cs] -Ic
        echo "$name, $place: $(cat out)"
        continue ;;
    esac
    case " $compilers " in *" $place "*) ;; *) continue ;; esac
    # shellcheck disable=SC2086
    "$place" $strict -O2 -Ic main.c c/net*.[cs] -o main 2> err \
      || failed "$name does not compile with $place"
    ./main || failed "$place: layer $? of $name computes other bytes"
    echo "$name, $place: no layer that differs"
  done
}

samples="-o data.train_count=4 -o data.val_count=4 -o data.batch=4"
story=$srcdir/etc/shapes-mobilenet_v2.ini
# shellcheck disable=SC2086
network story "$story" "Cortex-M4" $samples
quick=1
# shellcheck disable=SC2086
network mobilenet "$story" Cortex-M7 $samples -o model.width=1 -o data.size=160
quick=

# ---- the arena ---------------------------------------------------------------------
# of MobileNetV2 0.25 no larger than 1.15 times the largest input and output of
# a layer together
# shellcheck disable=SC2086
network story96 "$story" "" $samples -o data.size=96
awk '
  /^#define NET_ARENA_SIZE / { arena = $3 }
  match ($0, /\([0-9,]+\)/) && /^ \* +[0-9]+ / {
    n = split (substr ($0, RSTART + 1, RLENGTH - 2), d, ",")
    size = 1
    for (i = 1; i <= n; i++)
      size *= d[i]
    if (layers++ > 0 && size + before > pair)
      pair = size + before
    before = size
  }
  END {
    print layers " layers, arena " arena ", largest pair " pair
    exit !(layers > 50 && pair > 100000 && arena > 0 && arena <= 1.15 * pair)
  }' c/net.h > out || failed "the arena is too large"
cat out

# ---- other networks ----------------------------------------------------------------
# every operator that there is, those of no microcontroller's networks, too
QATKIT_PLUGIN_PATH="${QATKIT_PLUGIN_PATH:+$QATKIT_PLUGIN_PATH:}$tmp/own"
export QATKIT_PLUGIN_PATH
mkdir -p own/models
ln -s "$testplugins/tp_every_layer.so" "$testplugins/tp_answers.so" own/models/
sed -i '/^channels/d; /^depth/d' tiny.ini
network every tiny.ini "gcc clang Cortex-M55 RISC-V-float" -o model.arch=tp_every_layer
grep -q "conv_transposed (" c/net.c || failed "no transposed convolution"
grep -q " joined\(_table\)* (" c/net.c || failed "no concatenation"
grep -q " table (" c/net.c || failed "no table"
grep -q " add (" c/net.c || failed "no sum"

network answers tiny.ini "gcc clang Cortex-M3 RISC-V-float" -o model.arch=tp_answers
grep -q " norm (" c/net.c || failed "no normalisation"
grep -q " lrn (" c/net.c || failed "no local response normalisation"
grep -q " log_softmax (" c/net.c || failed "no logarithm of softmax"
grep -q " log_softmax_real (" c/net.c || failed "no real logarithm of softmax"

data=${QATKIT_DATA:-$srcdir/../shared/data}
if [ -f "$data/foreign/resnet20_cifar10.onnx" ]; then
  network resnet20 tiny.ini "clang Cortex-M33" -o model.arch=onnx -o data.size=32 \
    -o model.file="$data/foreign/resnet20_cifar10.onnx"
else
  echo "no ResNet-20: no foreign/resnet20_cifar10.onnx in $data (QATKIT_DATA)"
fi
if [ -f "$data/kws/kws_dscnn.onnx" ]; then
  network dscnn "$srcdir/etc/keyword-spotting.ini" "Cortex-M3 RISC-V-64" \
    -o model.file="$data/kws/kws_dscnn.onnx" -o data.root="$data/kws"
else
  echo "no DS-CNN: no kws/kws_dscnn.onnx in $data (QATKIT_DATA)"
fi
exit 0
