#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The qnnpack backend's ARM kernels, cross-compiled together with the
# reference backend and tests/check_kernels.c into one static program, and
# run by qemu as an armv8.0, a dot-product and an i8mm CPU: the same bytes.
# And that is the backend which "auto" means there.
. "${0%/*}/functions.sh"
cross=${CROSS_CC:-aarch64-linux-gnu-gcc}
requires "$cross" qemu-aarch64

echo '#define _GNU_SOURCE 1' > config.h
flags="-std=gnu11 -O2 -g -ffp-contract=off -fno-math-errno -Wall -Wextra -Werror -fopenmp
  -I. -I$srcdir/core/include -I$srcdir/core -I$srcdir/plugins/common -I$srcdir/tests"

echo 'int main (void) { return 0; }' > try.c
# shellcheck disable=SC2086
"$cross" $flags -static try.c -o try -lm 2> err \
  || skip "$cross cannot link a static program with OpenMP: $(tail -n 1 err)"
qemu-aarch64 -cpu max ./try || skip "qemu-aarch64 cannot run a program"

# compile FLAG… -- FILE…: to objects beside each other
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

q=$srcdir/backends/qnnpack
compile -Dqk_plugin_v1=qnnpack_plugin -- "$q"/*.c "$q"/portable/*.c "$q"/neon/*.c
compile -march=armv8.2-a+dotprod -- "$q"/dotprod/*.c
compile -march=armv8.2-a+i8mm -- "$q"/i8mm/*.c
compile -Dqk_plugin_v1=reference_plugin -- "$srcdir"/backends/reference/*.c
compile -- "$srcdir"/plugins/common/{pointwise,broadcast,int8op}/*.c \
  "$srcdir"/plugins/common/{matmul,norm,normop,numbers,softmax,lrn,phases,reduce}/*.c \
  "$srcdir"/plugins/common/move/{gather,resample,transpose}.c \
  "$srcdir"/core/base/{bits,cpu,error,tensor,rng}.c "$srcdir"/core/graph/op-*.c \
  "$srcdir"/tests/check_kernels.c "$srcdir"/tests/kernels/{case,guard,run,linked}.c
# shellcheck disable=SC2086
"$cross" $flags -static ./*.o -o check -lm || failed "linking for ARM"

# what the backend "auto" is there: that of the higher rank
cat > auto.c << 'END'
#include <stdio.h>
#include <qatkit/plugin.h>
const struct qk_plugin *reference_plugin (void);
const struct qk_plugin *qnnpack_plugin (void);
int
main (void)
{
  const struct qk_class *r = reference_plugin ()->classes[0];
  const struct qk_class *q = qnnpack_plugin ()->classes[0];

  return puts (q->default_rank > r->default_rank ? q->name : r->name) < 0;
}
END
# shellcheck disable=SC2046,SC2086
"$cross" $flags -static auto.c $(ls ./*.o | grep -v check_kernels) -o auto -lm \
  || failed "linking the ranks for ARM"
qemu-aarch64 ./auto > out || failed "running ./auto"
prints qnnpack

# run CPU LEVEL…: the CPU has just these levels and their bytes are right
run () {
  local cpu=$1 level
  shift
  echo "qemu-aarch64 -cpu $cpu"
  QATKIT_CASES=${QATKIT_CASES-25} qemu-aarch64 -cpu "$cpu" ./check > out 2> err \
    || failed "as $cpu"
  tail -n 12 out
  for level in portable neon dotprod i8mm; do
    case " portable $* " in
      *" $level "*)
        grep -q "^qnnpack at $level, 2 threads: [1-9][0-9]* compared" out \
          || failed "$level was not compared as $cpu" ;;
      *)
        grep -q "^skip: qnnpack at $level, this CPU lacks it" out \
          || failed "$level ran as $cpu" ;;
    esac
  done
}

run cortex-a53 neon
run cortex-a76 neon dotprod
run max neon dotprod i8mm
exit 0
