#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Time a QAT training step of qatkit and of PyTorch, and a float step of both,
# in turns within one run, and print the best of all and the ratios; also our
# steps on one thread, for what more threads bring.
#
#   tests/bench/qat-step.sh [model=mobilenet_v2] [size=160] [batch=30]
#     [classes=10] [threads=2] [steps=3] [rounds=4] [options="KEY=VALUE …"]
#   tests/bench/qat-step.sh all|more [steps=2] [rounds=2]
#
# "all" is the table of four networks: MobileNetV2 at 224 (batch 32) and at 32
# (batch 64), ResNet-18 at 224 (batch 32), ResNet-50 at 224 (batch 16); "more"
# that of eight others, which PyTorch writes as ONNX files.
#
# model: a model plugin, "resnet20" of CIFAR-10, or a classifier of torchvision.
#
# Run it in the build folder after "make".  Where python3-torch or
# python3-torchvision is missing, only our side is timed.
#
# Our network is the one torchvision builds, also for small samples
# (model.input=large).
#
# PyTorch gets its best case: memory kept between steps instead of given back
# to the system, modules fused, and channels last where that is faster.
set -eu -o pipefail

model=mobilenet_v2 size=160 batch=30 classes=10 threads=2 steps=3 rounds=4
options= table=
for arg; do
  case $arg in
    model=*|size=*|batch=*|classes=*|threads=*|steps=*|rounds=*|options=*)
      declare "${arg%%=*}=${arg#*=}" ;;
    all|more) table=$arg ;;
    *) echo "qat-step.sh: unknown argument '$arg'" >&2; exit 2 ;;
  esac
done
cases () {
  case $table in
    all) echo 'mobilenet_v2 224 32 1000
mobilenet_v2 32 64 10
resnet18 224 32 1000
resnet50 224 16 1000' ;;
    more) echo 'mobilenet_v3_large 224 32 1000
efficientnet_b0 224 16 1000
shufflenet_v2_x1_0 224 32 1000
regnet_y_400mf 224 32 1000
densenet121 224 16 1000
resnext50_32x4d 224 16 1000
convnext_tiny 224 16 1000
resnet20 32 128 10' ;;
  esac
}
if [ -n "$table" ]; then
  cases | while read -r m s b c; do
    "$0" model="$m" size="$s" batch="$b" classes="$c" threads="$threads" \
      steps="$steps" rounds="$rounds" < /dev/null
    echo
  done
  exit
fi
here=$(cd "$(dirname "$0")" && pwd)
build=${abs_top_builddir-$PWD}
python=${PYTHON-/usr/bin/python3}
if ! [ -x "$build/qatkit" ]; then
  echo "qat-step.sh: no $build/qatkit: make it first" >&2
  exit 2
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# what bench takes: the plugin's name, or the configuration of an ONNX file
network=$model
model_options=(-o model.input=large)
if ! "$build/run" qatkit plugins "$model" > /dev/null 2>&1; then
  "$python" "$here/torch_qat_step.py" --write "$tmp/net.onnx" --model "$model" \
    --size "$size" --classes "$classes" 2> "$tmp/log" || {
    tail -1 "$tmp/log" >&2
    echo "qat-step.sh: no network '$model': neither a model plugin nor one" \
      "that PyTorch could write" >&2
    exit 2
  }
  network=$tmp/net.ini model_options=()
  printf '[model]\narch = onnx\nfile = %s\n[data]\ndataset = random\n' \
    "$tmp/net.onnx" > "$network"
  printf 'size = %s\nclasses = %s\nbatch = %s\n' "$size" "$classes" \
    "$batch" >> "$network"
fi

# ours MODE THREADS: one line of bench --train, in the form of
# torch_qat_step.py
ours () {
  local threads=$2 o set=("${model_options[@]}")
  for o in $options; do
    set+=(-o "model.$o")
  done
  OMP_NUM_THREADS=$threads "$build/run" qatkit bench --train "$network" -q \
    --mode "$1" --size "$size" --classes "$classes" --batch "$batch" \
    --threads "$threads" --runs "$steps" --json - \
    -o optimizer.name=sgd -o optimizer.lr=0.01 -o optimizer.momentum=0.9 \
    -o optimizer.weight_decay=0.0001 -o qat.quantize_outputs=yes "${set[@]}" \
    | tr ',{}' '\n\n\n' | awk -F: '
      { gsub (/"/, "", $1); v[$1] = $2 }
      END {
        n = split ("forward backward optimizer step", part, " ")
        for (i = 1; i <= n; i++)
          printf "  %s_ms %.1f %.1f", part[i], v[part[i] "_ms"],
            v[part[i] "_median_ms"]
        printf "  samples_s %.1f  gmac_s %.1f  peak_mib %d", v["samples_s"],
          v["gmac_s"], v["peak_bytes"] / 1048576
        printf "  peak_gmac_s %.1f  gbyte_s %.2f  memory_gbyte_s %.2f\n",
          v["peak_gmac_s"], v["gbyte_s"], v["memory_gbyte_s"]
      }'
}

# theirs MODE [--channels-last]
theirs () {
  env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OMP_NUM_THREADS="$threads" \
    MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 \
    MALLOC_TOP_PAD_=268435456 \
    "$python" "$here/torch_qat_step.py" --mode "$@" --model "$model" \
    --size "$size" --batch "$batch" --classes "$classes" \
    --threads "$threads" --steps "$steps"
}

torch=yes
"$python" -c 'import torch, torchvision' 2>/dev/null || torch=no
for ((i = 0; i < rounds; i++)); do
  for mode in float qat; do
    ours $mode "$threads" >> "$tmp/ours-$mode"
    [ "$threads" = 1 ] || ours $mode 1 >> "$tmp/ours_1-$mode"
  done
  [ $torch = yes ] || continue
  for mode in float qat; do
    theirs $mode >> "$tmp/torch-$mode"
    theirs $mode --channels-last >> "$tmp/torch_cl-$mode"
  done
done

echo "$model, $size x $size, batch $batch, $classes classes," \
  "$threads threads: best milliseconds of $rounds x $steps steps"
[ $torch = yes ] || echo "(no python3-torch and python3-torchvision here)"
cd "$tmp"
awk '
  # the best of a key that is followed by best and median, or by one number
  function best(key, low,   i) {
    for (i = 1; i < NF; i++)
      if ($i == key && (v[FILENAME, key] == "" \
                        || (low ? $(i + 1) < v[FILENAME, key] + 0 \
                                : $(i + 1) > v[FILENAME, key] + 0)))
        v[FILENAME, key] = $(i + 1)
  }
  {
    seen[FILENAME] = 1
    best("forward_ms", 1); best("backward_ms", 1); best("optimizer_ms", 1)
    best("step_ms", 1); best("samples_s", 0); best("peak_mib", 0)
    best("gmac_s", 0); best("peak_gmac_s", 0)
    best("gbyte_s", 0); best("memory_gbyte_s", 0)
  }
  function share(part, whole) {
    return part > 0 && whole > 0 ? sprintf("%.0f %%", 100 * part / whole) : "-"
  }
  # PyTorch tells no products and no traffic: the same network has the same
  # products, what it moves is unknown
  function line(label, f, like,   gmac) {
    if (!seen[f])
      return
    gmac = v[like, "gmac_s"] * v[like, "step_ms"] / v[f, "step_ms"]
    printf "%-24s %8.1f %8.1f %7.1f %8.1f %8.1f %6d %7.1f %7s %7s\n", label,
      v[f, "forward_ms"], v[f, "backward_ms"], v[f, "optimizer_ms"],
      v[f, "step_ms"], v[f, "samples_s"], v[f, "peak_mib"], gmac,
      share(gmac, v[like, "peak_gmac_s"]),
      share(v[f, "gbyte_s"], v[f, "memory_gbyte_s"])
  }
  function torch_best(mode,   a, b) {
    a = v["torch-" mode, "step_ms"]; b = v["torch_cl-" mode, "step_ms"]
    return a + 0 < b + 0 ? a : b
  }
  function torch_least(mode,   a, b) {
    a = v["torch-" mode, "peak_mib"]; b = v["torch_cl-" mode, "peak_mib"]
    return a + 0 < b + 0 ? a : b
  }
  END {
    printf "%-24s %8s %8s %7s %8s %8s %6s %7s %7s %7s\n", "", "forward",
      "backward", "optim.", "step", "images/s", "MiB", "GMAC/s", "of peak",
      "memory"
    line("qatkit float", "ours-float", "ours-float")
    line("qatkit QAT", "ours-qat", "ours-qat")
    line("qatkit float, 1 thread", "ours_1-float", "ours_1-float")
    line("qatkit QAT, 1 thread", "ours_1-qat", "ours_1-qat")
    line("PyTorch float", "torch-float", "ours-float")
    line("PyTorch float, ch. last", "torch_cl-float", "ours-float")
    line("PyTorch QAT", "torch-qat", "ours-qat")
    line("PyTorch QAT, ch. last", "torch_cl-qat", "ours-qat")
    q = v["ours-qat", "step_ms"]
    printf "a QAT step takes %.2f of our float step", q \
      / v["ours-float", "step_ms"]
    if (seen["ours_1-qat"])
      printf ", and is %.2f times as fast as on one thread",
        v["ours_1-qat", "step_ms"] / q
    print ""
    if (seen["torch-qat"])
      printf "it is %.2f times as fast as PyTorch'"'"'s, in %.2f of the memory;" \
        " %.2f times as fast as its float step\n", torch_best("qat") / q,
        v["ours-qat", "peak_mib"] / torch_least("qat"),
        torch_best("float") / q
  }' *
