#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The qnnpack backend's ARM kernels, cross-compiled together with the
# reference backend and tests/check_kernels.c into one static program, and
# run by qemu as an armv8.0, a dot-product and an i8mm CPU: the same bytes.
# And that is the backend which "auto" means there.
. "${0%/*}/functions.sh"
# shellcheck source=/dev/null
. "$srcdir/tests/arm/cross.sh"
requires "$cross" qemu-aarch64

echo 'int main (void) { return 0; }' > try.c
# shellcheck disable=SC2086
"$cross" $flags -static try.c -o try -lm 2> err \
  || skip "$cross cannot link a static program with OpenMP: $(tail -n 1 err)"
qemu-aarch64 -cpu max ./try || skip "qemu-aarch64 cannot run a program"

compile_qnnpack
compile -Dqk_plugin_v1=reference_plugin -- "$srcdir"/backends/reference/*.c
compile -- "$srcdir"/tests/check_kernels.c "$srcdir"/tests/kernels/{case,guard,run,linked}.c
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
