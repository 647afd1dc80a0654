#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Instructions for each multiply-accumulate of the qnnpack backend's ARM kernels, or
# for each element where there are no weights, and, where it is found, of XNNPACK's,
# counted by QEMU: layers of each class (tests/arm/cases.h), on CPUs with NEON, with
# dot products and with i8mm.  Counts do not vary, whatever else the machine does;
# they are no times.
#
#   tests/bench/arm.sh [XNNPACK]
#
# XNNPACK: a folder into which the Debian packages libxnnpack0, libxnnpack-dev,
# libpthreadpool0 and libcpuinfo0 for arm64 are unpacked:
#   dpkg --add-architecture arm64 && apt-get update
#   apt-get download {libxnnpack0,libxnnpack-dev,libpthreadpool0,libcpuinfo0}:arm64
#   for f in *_arm64.deb; do dpkg -x $f XNNPACK; done
# Needs gcc, aarch64-linux-gnu-gcc and qemu-aarch64 with plugins (Debian:
# gcc-aarch64-linux-gnu, qemu-user).
set -eu
srcdir=$(cd "${0%/*}/../.." && pwd)
xnnpack=${1:+$(cd "$1" && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed () { echo "arm.sh: $*" >&2; exit 1; }
# shellcheck source=/dev/null
. "$srcdir/tests/arm/cross.sh"

gcc -shared -fPIC -O2 "$srcdir/tests/arm/count.c" -o count.so
compile_qnnpack
compile -- "$srcdir/tests/arm/ours.c"
# shellcheck disable=SC2086
"$cross" $flags -static ./*.o -o ours -lm 2> err || failed "linking: $(tail -n 1 err)"
if [ -n "$xnnpack" ]; then
  libraries=$xnnpack/usr/lib/aarch64-linux-gnu
  "$cross" -O2 -Wall -Wextra -I"$srcdir/tests/arm" -idirafter "$xnnpack/usr/include" \
    "$srcdir/tests/arm/xnnpack.c" -o xnnpack -L"$libraries" -lXNNPACK \
    -Wl,--allow-shlib-undefined || failed "XNNPACK in $xnnpack"
fi

# instructions CPU PROGRAM CASE: of a run, from the difference of five and one
instructions () {
  local n one=
  for n in 1 5; do
    qemu-aarch64 -cpu "$1" -L /usr/aarch64-linux-gnu -E OMP_NUM_THREADS=1 \
      ${libraries:+-E LD_LIBRARY_PATH="$libraries"} -plugin ./count.so \
      "./$2" "$3" $n > out 2> err || return 1
    if [ -z "$one" ]; then
      one=$(sed -n 's/^instructions //p' err)
    else
      echo $((($(sed -n 's/^instructions //p' err) - one) / 4))
    fi
  done
}

for cpu in cortex-a53 cortex-a76 max; do
  case=0
  while ours=$(instructions $cpu ours $case); do
    peer=
    [ -z "$xnnpack" ] || peer=$(instructions $cpu xnnpack $case) \
      || failed "XNNPACK cannot run case $case on $cpu"
    qemu-aarch64 -cpu $cpu ./ours $case 0 > out
    read -r level unit < <(awk '{ print $NF, $(NF - 1) }' out)
    [ $case != 0 ] || echo "$cpu ($level)"
    [ "$unit" = "${last:-}" ] || echo "  instructions for each $unit"
    last=$unit
    awk -v ours="$ours" -v peer="$peer" '{
      count = $(NF - 2); sub (/: [0-9]+ [-a-z]+ [a-z0-9]+$/, "")
      printf "  %-42s %.4f", $0, ours / count
      if (peer != "")
        printf "   XNNPACK %.4f   %.2f", peer / count, ours / peer
      print ""
    }' out
    case=$((case + 1))
  done
done
