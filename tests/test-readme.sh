#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every command of README, from its indented blocks and its table, with small
# files in place of the names in capitals; a command that this test does not
# know how to run is an error.
. "${0%/*}/functions.sh"
readme=$srcdir/README.md

# ---- what the names in capitals stand for -------------------------------------
# FILE.ini is tiny.ini; FOLDER, MODEL and FILE... are those of a run of it
expect 0 run -q tiny.ini --output folder
model=folder/model-int8.safetensors
expect 0 export -q tiny.ini images
expect 0 export -q tiny.ini --onnx net.onnx \
  -o model.weights=folder/weights.safetensors
side=$(sed -n 's/^size *= *//p' tiny.ini)
perl -e '
  my ($side, $h) = ($ARGV[0], "");
  $h = "{\x27descr\x27: \x27<f4\x27, \x27fortran_order\x27: False, "
    . "\x27shape\x27: (1, 3, $side, $side), }";
  $h .= " " x (117 - length $h) . "\n";
  print "\x93NUMPY\1\0", pack ("v", 118), $h, pack ("f<*", (0) x (3 * $side ** 2));
' "${side:-16}" > x.npy
mapfile -t files < <(find images/val -name '*.jpg' | sort | head -n 2)
[ ${#files[@]} = 2 ] || failed "export wrote no images"

# ---- the commands --------------------------------------------------------------
# Lines of indented blocks, those continued with \ joined; code in the second
# column of tables; code within a paragraph that begins with ./ or make new.
awk '/^```/ { fenced = !fenced } fenced { next }
     /^    / { line = line substr ($0, 5)
               if (sub (/\\$/, "", line)) next
               print line; line = ""; next }
     /^\|/ { split ($0, cell, "|"); n = split (cell[3], part, "`")
             for (i = 2; i <= n; i += 2) print part[i]
             next }
     { n = split ($0, part, "`")
       for (i = 2; i <= n; i += 2)
         if (part[i] ~ /^(\.\/|make new)/) print part[i] }' "$readme" \
  | awk '!seen[$0]++' > lines
# What is no command: the lines of tables of results, and of configurations.
grep -vE '^(network  |float  |PTQ int8  |QAT:? |files in |fbgemm: |\[|[a-z0-9_.]+ += )' \
  lines | sed 's/  *# .*//' > commands
[ "$(wc -l < commands)" -ge 20 ] || failed "README has few commands"

# short NAME: the configuration of etc/ with less work, as NAME
short () {
  sed -e 's/^train_count *=.*/train_count = 96/' \
    -e 's/^val_count *=.*/val_count = 64/' -e 's/^epochs *=.*/epochs = 1/' \
    -e 's/^batches *=.*/batches = 2/' -e 's/^eval_batch *=.*/eval_batch = 32/' \
    "$srcdir/etc/$1" > "$1"
  grep -q '^batches' "$1" || failed "$1 has no batches"
}

# substitute COMMAND: with files that are here, as words in command=()
substitute () {
  local text=$1 n=$2
  text=${text//NET.onnx/net.onnx}
  text=${text//FILE.ini/tiny.ini}
  text=${text//FILE.../${files[*]}}
  text=${text//MODEL/$model}
  text=${text//OUT.onnx/$n.onnx}
  text=${text//FOLDER/folder}
  eval "command=($text)"
}

# of_bootstrap WORD: bootstrap knows it
of_bootstrap () {
  sh -n "$srcdir/bootstrap" || failed "bootstrap"
  grep -qE "^  $1\\)" "$srcdir/bootstrap" || failed "bootstrap has no '$1'"
}

n=0 passed=0
while IFS= read -r line <&3; do
  n=$((n + 1))
  extra=()
  command=()
  case $line in cc* | ./configure*) ;; *) substitute "$line" $n ;; esac
  case $line in
  './bootstrap '*)
    of_bootstrap "${command[1]}"
    ;;
  './run qatkit run run-out/'* | './run qatkit verify run-out/'*)
    expect 0 "${command[2]}" -q folder
    prints ": 0 differing bytes of"
    ;;
  './run qatkit run FILE.ini -o model.arch=./mine.so')
    # after the plugin has been built, below
    echo "$line" > own
    ;;
  './run qatkit run imagenette-mobilenet_v2.ini '*)
    short imagenette-mobilenet_v2.ini
    grep -qF "data.root=FOLDER -o model.weights=WEIGHTS" <<< "$line" \
      || failed "line $n: $line"
    expect 0 train -q imagenette-mobilenet_v2.ini -o data.root=images \
      --output weights -o model.width=0.25 -o data.crop=32 -o data.resize=32 \
      -o train.epochs=1 -o train.batches=1 -o data.eval_batches=1
    command=("${command[@]//=folder/=images}")
    command=("${command[@]//=WEIGHTS/=weights/weights.safetensors}")
    expect 0 "${command[@]:2}" -q --output "out$n" -o model.width=0.25 \
      -o data.crop=32 -o data.resize=32 -o data.eval_batches=1
    ;;
  './run qatkit run own-classes-mobilenet_v2.ini '*)
    # weights for ten classes, from the line before, and five of them
    short own-classes-mobilenet_v2.ini
    cp -r images five
    for f in five/train five/val; do
      for d in $(ls "$f" | tail -n 5); do rm -r "$f/$d"; done
    done
    command=("${command[@]//=folder/=five}")
    command=("${command[@]//=WEIGHTS/=weights/weights.safetensors}")
    expect 0 "${command[@]:2}" --output "out$n" -o model.width=0.25 \
      -o data.crop=32 -o data.resize=32 -o train.batches=1 -o data.eval_batches=1
    says "start anew"
    ;;
  './run qatkit run NET.onnx --data FOLDER')
    expect 0 run -q net.onnx --data images --output "out$n" -o qat.epochs=1 \
      -o qat.batches=1 -o data.eval_batches=1
    ;;
  './run qatkit run '[a-z]*.ini)
    short "${command[3]}"
    expect 0 "${command[@]:2}" -q --output "out$n" -o data.eval_batches=1 \
      -o ptq.batches=2
    expect 0 verify -q "out$n" --batches 1
    prints ": 0 differing bytes of"
    ;;
  './run qatkit '*)
    case ${command[2]} in
    run | train) extra=(--output "out$n") ;;
    ptq | qat)
      extra=(--output "out$n" -o model.weights=folder/weights.safetensors)
      ;;
    compare)
      extra=(--output "out$n" -o model.weights=folder/weights.safetensors
        -o train.epochs=0 -o qat.epochs=1 -o data.eval_batches=1
        -o ptq.methods=adaround -o ptq.adaround.iterations=5)
      ;;
    eval)
      [ "${command[3]}" = "$model" ] \
        || extra=(-o model.weights=folder/weights.safetensors)
      ;;
    analyze) extra=(--samples 8 --batches 1 -q) ;;
    tune)
      extra=(--output "out$n" --batches 1 --trials 1
        -o model.weights=folder/weights.safetensors -o train.epochs=0)
      command=("${command[@]/ - 0.5/ - 100}")
      ;;
    verify)
      case $(uname -m) in
      x86_64 | i?86) ;;
      *) command=("${command[@]/reference,fbgemm/reference}") ;;
      esac
      ;;
    bench)
      case $(uname -m) in
      x86_64 | i?86) ;;
      *) command=("${command[@]/fbgemm/reference}") ;;
      esac
      extra=(--runs 1)
      ;;
    predict | inspect | export | convert | plugins) ;;
    *) failed "README has a command that this test does not know: $line" ;;
    esac
    expect 0 "${command[@]:2}" "${extra[@]}"
    ;;
  'mpirun '*' ./run qatkit run FILE.ini')
    [ -e "$builddir/stage/comm/mpi.so" ] && type mpirun > /dev/null 2>&1 || continue
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
    export OMPI_MCA_hwloc_base_binding_policy=none OMP_NUM_THREADS=1
    # shellcheck disable=SC2086
    ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" \
      mpirun -n "${command[2]}" $QATKIT run tiny.ini -q --output "out$n" \
      -o run.threads=1 > out 2> err || failed "$line"
    unset OMP_NUM_THREADS
    ;;
  'cc '*)
    type pkg-config > /dev/null 2>&1 || continue
    awk '/^```c$/ { on = 1; next } /^```/ { on = 0 } on' "$readme" > mine.c
    [ "$(grep -c . mine.c)" -le 30 ] || failed "the plugin is longer than 30 lines"
    flags=$(PKG_CONFIG_PATH=$builddir/core pkg-config --cflags --libs \
      --define-variable="includedir=$srcdir/core/include" \
      --define-variable="libdir=$builddir/.libs" qatkit) || failed "pkg-config"
    line=${line/'$(pkg-config --cflags --libs qatkit)'/-Wall -Wextra -Werror $flags}
    # shellcheck disable=SC2086
    ${CC:-cc} ${line#cc } > out 2> err || failed "mine.c cannot be built"
    ;;
  'make new-plugin '*)
    kind=${command[2]#KIND=}
    sh "$srcdir/build-aux/new-plugin" "$kind" "${command[3]#NAME=}" new$n \
      > out 2> err || failed "$line"
    ;;
  './configure '*)
    # configure itself made this tree
    grep -q -- --prefix "$srcdir/configure" || failed "no configure"
    for word in ${line#*&&}; do
      case $word in
      make | '&&') ;;
      *) grep -qE "^$word( [a-z-]*)*:" "$builddir/Makefile" || failed "no make $word" ;;
      esac
    done
    ;;
  *)
    failed "README has a command that this test does not know: $line"
    ;;
  esac
  passed=$((passed + 1))
done 3< commands

# the network of one's own, as README builds it
[ -s own ] || failed "README does not run its plugin"
sed '/^channels/d; /^depth/d' tiny.ini > own.ini # options of another model
expect 0 run -q own.ini -o model.arch=./mine.so --output own-run
expect 0 verify -q own-run -o model.arch=./mine.so --backend reference
prints "reference: 0 differing bytes of"

# its configuration, with data and weights that are here, is one
awk '/^## / { on = /^## Your data/ } on && /^    \.\/run/ { exit }
     on && /^    / { print substr ($0, 5) }' "$readme" > example.ini
grep -q '^\[loss distillation\]' example.ini || failed "README has no example"
expect 0 inspect example.ini -o data.root=images -o data.crop=32 \
  -o data.resize=32 -o model.weights=

# what it refers to is there
for f in $(grep -oE '(docs|etc)/[a-z0-9_-]+\.(md|ini)' "$readme" | sort -u); do
  [ -s "$srcdir/$f" ] || failed "README refers to $f"
done
echo "$passed commands of $n"
exit 0
