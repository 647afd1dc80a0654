#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Kernels of a short encoding assemble whatever CPU the flags of distributions
# and users name: with AVX-512 there are registers that it cannot reach.
. "${0%/*}/functions.sh"
CC=${CC:-cc}
echo 'int main (void) { return 0; }' > x.c
# shellcheck disable=SC2086
$CC -march=x86-64-v4 -mavxvnni -c x.c 2> /dev/null \
  || skip "$CC knows no -march=x86-64-v4 with -mavxvnni"
for march in x86-64-v3 x86-64-v4; do
  for kernel in gemm-u8s8-6x16 dwconv-u8s8; do
    # shellcheck disable=SC2086
    $CC -std=gnu11 -O2 -march=$march -mavx2 -mavxvnni -ffp-contract=off -fPIC \
      -I "$builddir" -I "$srcdir/core/include" -I "$srcdir/plugins/common" \
      -c "$srcdir/plugins/common/int8gemm/avxvnni/$kernel-avxvnni.c" -o x.o \
      2> err || failed "$kernel with -march=$march: $(head -n 1 err)"
  done
done
exit 0
