# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# cross.sh: the qnnpack backend for 64-bit ARM; sourced with $srcdir, the source
# tree, and a function "failed".
#
#   $cross, $flags            the compiler, what it is told
#   compile FLAG… -- FILE…    to objects beside each other
#   compile_qnnpack           the backend, its plugin as qnnpack_plugin (), and what
#                             it needs of the tree
cross=${CROSS_CC:-aarch64-linux-gnu-gcc}
flags="-std=gnu11 -O2 -g -ftree-vectorize -fvect-cost-model=dynamic -ffp-contract=off
  -fno-math-errno -fno-trapping-math -Wall -Wextra -Werror -fopenmp
  -I. -I$srcdir/core/include -I$srcdir/core -I$srcdir/plugins/common -I$srcdir/tests"

compile () {
  local extra=()
  while [ "$1" != -- ]; do extra+=("$1"); shift; done
  shift
  for f in "$@"; do
    # shellcheck disable=SC2086
    "$cross" $flags "${extra[@]}" -c "$f" -o "$(echo "${f#"$srcdir/"}" | tr / _).o" \
      || failed "$f does not compile for ARM"
  done
}

compile_qnnpack () {
  local q=$srcdir/backends/qnnpack
  echo '#define _GNU_SOURCE 1' > config.h
  compile -Dqk_plugin_v1=qnnpack_plugin -- "$q"/*.c "$q"/portable/*.c "$q"/neon/*.c
  compile -march=armv8.2-a+dotprod -- "$q"/dotprod/*.c
  compile -march=armv8.2-a+i8mm -- "$q"/i8mm/*.c
  compile -- "$srcdir"/plugins/common/{pointwise,broadcast,int8op}/*.c \
    "$srcdir"/plugins/common/{matmul,norm,normop,numbers,softmax,lrn,phases,reduce}/*.c \
    "$srcdir"/plugins/common/move/{gather,resample,transpose}.c \
    "$srcdir"/core/base/{bits,cpu,error,tensor,rng}.c "$srcdir"/core/graph/op-*.c
}
