#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Samples a second of CPU time from image files, one thread, ours and
# torchvision's in turns, best of all.
#
#   tests/bench/input.sh FOLDER [crop=224] [resize=256] [pad=-1] [rotate=0] [translate=0]
#     [rounds=3]
#
# FOLDER holds class folders of JPEG or PNG files.  pad=4 crop=32 resize=32: the
# random crops that are usual for CIFAR.  rotate=15: RandomRotation; with
# translate=0.1 RandomAffine.  Run from the build folder, after
# "make tests/bench/bench_input".  Needs python3-torchvision for its half.
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?which folder of samples?}
shift
crop=224 resize=256 rounds=3 pad=-1 rotate=0 translate=0
for a in "$@"; do
  case $a in
    crop=*|resize=*|rounds=*|pad=*|rotate=*|translate=*) declare "$a" ;;
    *) echo "input.sh: '$a': expected crop=, resize=, pad=, rotate=, translate= or rounds=" >&2; exit 2 ;;
  esac
done
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import torchvision' 2> /dev/null || { python=; echo "no torchvision: only our half" >&2; }
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for _ in $(seq "$rounds"); do
  ./run tests/bench/bench_input dir="$folder" crop="$crop" resize="$resize" pad="$pad" \
    rotate="$rotate" translate="$translate" rounds=1 >> "$out" || exit
  [ -z "$python" ] || "$python" "$here/torch_input.py" "$folder" "$crop" "$resize" 1 "$pad" "$rotate" "$translate" \
    >> "$out" || exit
done
awk -F'"' '
  { who = $4; what = $8; sub (/.*samples_per_second": /, ""); sub (/}.*/, "")
    k = who ": " what; if (!(k in best)) order[++n] = k; if ($0 + 0 > best[k]) best[k] = $0 + 0 }
  END {
    for (i = 1; i <= n; i++) {
      k = order[i]; what = k; sub (/^[^:]*: /, "", what); sub (/,.*/, "", what)
      peer = best["torchvision: " what]
      printf "%-32s %8.1f samples/s", k, best[k]
      if (peer > 0 && k !~ /^torch/) printf "  %5.2f times torchvision", best[k] / peer
      print ""
    }
  }' "$out"
