#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# int8-infer.sh: our int8 backends and ONNX Runtime on the same networks, in
# turns, as markdown tables (and JSON).
#
#   tests/bench/int8-infer.sh [-q QATKIT] [-b BACKENDS] [-n NETWORKS] [-r ROUNDS]
#                             [-s SECONDS] [-k FOLDER] [-j FILE] [-p PREFIX]
#                             [-f]
#
# QATKIT    the program ("./run qatkit"); BACKENDS: comma separated
# NETWORKS  comma separated: a model plugin; NAME=FILE.onnx, NAME=FILE.onnx:SIZE
#           or NAME=FILE.onnx:SIZE:CHANNELS, a float network for images of
#           SIZE (224, or HEIGHTxWIDTH) and CHANNELS (3); a classifier of
#           torchvision, written by PyTorch where python3-torchvision is
#           found; "all": those that docs/performance.md's table has
# ROUNDS    turns of all contenders (5), SECONDS each (1); the best run counts;
#           0: only make the networks
# FOLDER    keep the networks there and use those already there; one that has
#           NAME/model.safetensors, NAME/int8.onnx and NAME/float.onnx is not
#           made anew
# FILE      results as JSON
# PREFIX    put before each measured command, as "chrt -f 10"
# -f        fewer contenders: without x64quantprecision=1
#
# Model plugins and classifiers have random weights and batch-norm statistics
# that fit them; all are quantized after training on random samples, of
# 224 x 224 where nothing else is said.
# Needs node with the package onnxruntime-node (NODE_PATH names the folder it
# is in), else the whole is skipped (status 77).
set -eu
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)
qatkit='./run qatkit' backends=fbgemm networks=mobilenet_v2,resnet18,resnet50
rounds=5 seconds=1 folder= json= prefix= precise=ort-int8-precise
while getopts q:b:n:r:s:k:j:p:f o; do
  case $o in
    q) qatkit=$OPTARG ;; b) backends=$OPTARG ;; n) networks=$OPTARG ;;
    r) rounds=$OPTARG ;; s) seconds=$OPTARG ;; k) folder=$OPTARG ;;
    j) json=$OPTARG ;; p) prefix=$OPTARG ;; f) precise= ;;
    *) exit 2 ;;
  esac
done
skip () { echo "int8-infer: skipped: $*" >&2; exit 77; }
type node > /dev/null 2>&1 || skip "no program 'node'"
node -e 'require("onnxruntime-node")' 2> /dev/null \
  || skip "no package onnxruntime-node (NODE_PATH=${NODE_PATH-})"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
[ -n "$folder" ] || folder=$tmp

zoo=mobilenet_v3_large,efficientnet_b0,mnasnet1_0,shufflenet_v2_x1_0
zoo=$zoo,squeezenet1_1,googlenet,densenet121,regnet_y_400mf,resnext50_32x4d
zoo=$zoo,convnext_tiny,vit_b_32,swin_t
case ,$networks, in
  *,all,*) networks=,$networks,
    networks=${networks/,all,/,mobilenet_v2,resnet18,resnet50,$zoo,}
    networks=${networks#,} networks=${networks%,} ;;
esac

# The int8 network and both files of the model plugin $1, in the folder $2.
make_plugin () {
  cat > "$2/net.ini" <<END
[run]
output = $2
[model]
arch = $1
[data]
dataset = random
count = 32
batch = 4
eval_batch = 4
eval_batches = 1
[train]
epochs = 1
batches = 8
[train optimizer]
lr = 1e-6
[ptq]
batches = 2
END
  $qatkit train "$2/net.ini" --quiet > /dev/null
  $qatkit ptq "$2/net.ini" -o "model.weights=$2/weights.safetensors" --quiet \
    > /dev/null
  $qatkit export "$2/net.ini" -o "model.weights=$2/weights.safetensors" \
    --onnx "$2/float.onnx"
}

# The same of the ONNX file $1, in the folder $2, for images of $3, $4 channels.
make_onnx () {
  cat > "$2/net.ini" <<END
[run]
output = $2
[model]
arch = onnx
file = $1
[data]
dataset = random
size = $3
channels = $4
count = 8
batch = 4
eval_batch = 4
eval_batches = 1
[loss]
name = distillation
[metric]
name = sqnr
[ptq]
batches = 2
END
  $qatkit ptq "$2/net.ini" --quiet > /dev/null
  # the file itself, if it takes any batch
  if node "$here/ort-infer.js" time "$1" 1 2 0.1 > /dev/null 2>&1; then
    [ "$1" -ef "$2/float.onnx" ] || cp "$1" "$2/float.onnx"
  else
    $qatkit export "$2/net.ini" --onnx "$2/float.onnx"
  fi
}

# make NETWORK: its three files; NAME is set to its folder's name
make () {
  local d file shape
  name=${1%%=*} d=$folder/${1%%=*}
  [ -s "$d/model.safetensors" ] && [ -s "$d/int8.onnx" ] \
    && [ -s "$d/float.onnx" ] && return
  mkdir -p "$d"
  echo "making $name" >&2
  case $1 in
    *=*) file=${1#*=} shape=${1#*.onnx}
      file=${file%"$shape"} shape=${shape#:}
      case $shape in *:*) ;; *) shape=${shape:-224}:3 ;; esac
      make_onnx "$(realpath "$file")" "$d" "${shape%:*}" "${shape#*:}" ;;
    *) if $qatkit plugins "$1" > /dev/null 2>&1; then
        make_plugin "$1" "$d"
      elif ! (cd "$here/../zoo" && ${PYTHON:-/usr/bin/python3} -B -c '
import sys, nets
n = sys.argv[1]
nets.write(nets.network(n, 1e9), nets.images(1, nets.side_of(n), 6),
           sys.argv[2], 13, False)' "$1" "$(realpath "$d")/float.onnx") \
          > "$tmp/log" 2>&1; then
        tail -1 "$tmp/log" >&2
        echo "int8-infer: no network '$1': neither a model plugin nor one" \
          "that PyTorch could write" >&2
        return 1
      else
        make_onnx "$(realpath "$d/float.onnx")" "$d" 224 3
      fi ;;
  esac
  $qatkit export "$d/model-ptq.safetensors" --onnx "$d/int8.onnx"
  mv "$d/model-ptq.safetensors" "$d/model.safetensors"
}

# Each leaves its JSON in a file: a program that reads it through a pipe starts
# beside the one that is measured and takes a core from it.
ours () { # NETWORK BACKEND THREADS BATCH
  $prefix $qatkit bench "$folder/$1/model.safetensors" --backend "$2" \
    --threads "$3" --batch "$4" --seconds "$seconds" --quiet \
    --json "$tmp/one.json"
}
theirs () { # NETWORK FILE THREADS BATCH [precise]
  local n=$1 f=$2
  shift 2
  $prefix node "$here/ort-infer.js" time "$folder/$n/$f.onnx" "$1" "$2" \
    "$seconds" "${3-}" > "$tmp/one.json"
}
# "BEST MEDIAN", milliseconds of a batch
times () {
  node -e '
    let r = JSON.parse (require ("fs").readFileSync (process.argv[1]));
    r = r.results ? r.results[0] : r;
    if (r.error) { console.error (r.error); process.exit (1); }
    console.log (r.best_ms, r.median_ms);' "$tmp/one.json"
}

cases='1:1 2:1 2:32' # threads:batch
contenders="ort-float ort-int8 $precise ${backends//,/ }"
for n in ${networks//,/ }; do
  make "$n"
  n=$name
  for c in $cases; do
    t=${c%:*} b=${c#*:}
    for ((r = 0; r < rounds; r++)); do
      echo "$n, $t threads, batch $b, round $((r + 1)) of $rounds" >&2
      for w in $contenders; do
        case $w in
          ort-float) theirs "$n" float "$t" "$b" ;;
          ort-int8) theirs "$n" int8 "$t" "$b" ;;
          ort-int8-precise) theirs "$n" int8 "$t" "$b" precise ;;
          *) ours "$n" "$w" "$t" "$b" > /dev/null ;;
        esac
        x=$(times)
        echo "$n $t $b $w $x" >> "$tmp/times"
      done
    done
  done
done

[ "$rounds" -gt 0 ] || exit 0

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
levels=$(grep -owE 'avx2|avx_vnni|avx512f|avx512_vnni|asimd|asimddp|i8mm' \
  /proc/cpuinfo | sort -u | tr '\n' ' ')
ort=$(node -p 'require("onnxruntime-node").env.versions.node')
export cpu levels ort backends rounds seconds json
version=$($qatkit --version)
export version
node - "$tmp/times" <<'END'
const fs = require ('fs'), e = process.env;
const best = {}, keys = [], contenders = [];
for (const line of fs.readFileSync (process.argv[2], 'utf8').trim ().split ('\n')) {
  const [n, t, b, w, ms] = line.split (' ');
  const c = `${n} ${b}, ${t} thread${t > 1 ? 's' : ''}`;
  if (!keys.includes (c)) keys.push (c);
  if (!contenders.includes (w)) contenders.push (w);
  best[c] = best[c] || {};
  best[c][w] = Math.min (best[c][w] || Infinity, +ms);
}
const names = { 'ort-float': 'ONNX Runtime float',
                'ort-int8': 'ONNX Runtime int8 QDQ',
                'ort-int8-precise': 'ONNX Runtime int8, x64quantprecision=1' };
const ms = x => x < 1 ? x.toFixed (3) : x < 10 ? x.toFixed (2) : x.toFixed (1);
const row = cells => console.log ('| ' + cells.join (' | ') + ' |');
const mean = a => Math.exp (a.reduce ((s, x) => s + Math.log (x), 0) / a.length);
console.log (`${e.cpu} (${e.levels.trim ()}); ${e.version}; ONNX Runtime `
  + `${e.ort}; best of ${e.rounds} turns of ${e.seconds} s; milliseconds of a `
  + 'batch, and how many times faster than ONNX Runtime\'s fast int8 path');
const cases = [...new Set (keys.map (k => k.split (' ').slice (1).join (' ')))];
for (const c of cases) {
  console.log (`\nBatch ${c}:\n`);
  row (['', ...contenders.map (w => names[w] || `qatkit ${w}`)]);
  row (['---', ...contenders.map (() => '---:')]);
  const at = keys.filter (k => k.endsWith (' ' + c)).map (k => best[k]);
  for (const k of keys.filter (k => k.endsWith (' ' + c)))
    row ([k.split (' ')[0], ...contenders.map (w => ms (best[k][w])
      + (names[w] ? '' : ` (${(best[k]['ort-int8'] / best[k][w]).toFixed (2)}x)`))]);
  row (['geometric mean', ...contenders.map (w => names[w] ? ''
    : mean (at.map (x => x['ort-int8'] / x[w])).toFixed (2) + 'x')]);
}
if (e.json)
  fs.writeFileSync (e.json, JSON.stringify ({ cpu: e.cpu, levels: e.levels.trim (),
    qatkit: e.version, onnxruntime: e.ort, rounds: +e.rounds,
    seconds: +e.seconds, best_ms: best }, null, 1) + '\n');
END
