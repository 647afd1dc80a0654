#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# int8-infer.sh: our int8 backends and ONNX Runtime on the same networks, in
# turns, as a markdown table (and JSON).
#
#   tests/bench/int8-infer.sh [-q QATKIT] [-b BACKENDS] [-n NETWORKS] [-r ROUNDS]
#                             [-s SECONDS] [-k FOLDER] [-j FILE] [-p PREFIX]
#
# QATKIT    the program ("./run qatkit"); BACKENDS, NETWORKS: comma separated
# ROUNDS    turns of all contenders (5), SECONDS each (1); the best run counts;
#           0: only make the networks
# FOLDER    keep the networks there and use those already there; one that has
#           NAME/model.safetensors, NAME/int8.onnx and NAME/float.onnx is not
#           made anew
# FILE      results as JSON
# PREFIX    put before each measured command, as "chrt -f 10"
#
# The networks have random weights and batch-norm statistics that fit them,
# and are quantized after training on random samples of 224 x 224.
# Needs node with the package onnxruntime-node (NODE_PATH names the folder it
# is in), else the whole is skipped (status 77).
set -eu
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)
qatkit='./run qatkit' backends=fbgemm networks=mobilenet_v2,resnet18,resnet50
rounds=5 seconds=1 folder= json= prefix=
while getopts q:b:n:r:s:k:j:p: o; do
  case $o in
    q) qatkit=$OPTARG ;; b) backends=$OPTARG ;; n) networks=$OPTARG ;;
    r) rounds=$OPTARG ;; s) seconds=$OPTARG ;; k) folder=$OPTARG ;;
    j) json=$OPTARG ;; p) prefix=$OPTARG ;; *) exit 2 ;;
  esac
done
skip () { echo "int8-infer: skipped: $*" >&2; exit 77; }
type node > /dev/null 2>&1 || skip "no program 'node'"
node -e 'require("onnxruntime-node")' 2> /dev/null \
  || skip "no package onnxruntime-node (NODE_PATH=${NODE_PATH-})"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
[ -n "$folder" ] || folder=$tmp

# make NETWORK: its three files
make () {
  local d=$folder/$1
  [ -s "$d/model.safetensors" ] && [ -s "$d/int8.onnx" ] \
    && [ -s "$d/float.onnx" ] && return
  mkdir -p "$d"
  cat > "$d/net.ini" <<END
[run]
output = $d
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
  echo "making $1" >&2
  $qatkit train "$d/net.ini" --quiet > /dev/null
  $qatkit ptq "$d/net.ini" -o "model.weights=$d/weights.safetensors" --quiet \
    > /dev/null
  $qatkit export "$d/net.ini" -o "model.weights=$d/weights.safetensors" \
    --onnx "$d/float.onnx"
  $qatkit export "$d/model-ptq.safetensors" --onnx "$d/int8.onnx"
  mv "$d/model-ptq.safetensors" "$d/model.safetensors"
}

# Each prints one line "BEST MEDIAN", milliseconds of a batch.
ours () { # NETWORK BACKEND THREADS BATCH
  $prefix $qatkit bench "$folder/$1/model.safetensors" --backend "$2" \
    --threads "$3" --batch "$4" --seconds "$seconds" --quiet --json - \
  | node -e '
    const r = JSON.parse (require ("fs").readFileSync (0)).results[0];
    if (r.error) { console.error (r.error); process.exit (1); }
    console.log (r.best_ms, r.median_ms);'
}
theirs () { # NETWORK FILE THREADS BATCH [precise]
  local n=$1 f=$2
  shift 2
  $prefix node "$here/ort-infer.js" time "$folder/$n/$f.onnx" "$1" "$2" \
    "$seconds" "${3-}" \
  | node -e '
    const r = JSON.parse (require ("fs").readFileSync (0));
    console.log (r.best_ms, r.median_ms);'
}

cases='1:1 2:1 2:32' # threads:batch
contenders="ort-float ort-int8 ort-int8-precise ${backends//,/ }"
for n in ${networks//,/ }; do
  make "$n"
  for c in $cases; do
    t=${c%:*} b=${c#*:}
    for ((r = 0; r < rounds; r++)); do
      echo "$n, $t threads, batch $b, round $((r + 1)) of $rounds" >&2
      for w in $contenders; do
        case $w in
          ort-float) x=$(theirs "$n" float "$t" "$b") ;;
          ort-int8) x=$(theirs "$n" int8 "$t" "$b") ;;
          ort-int8-precise) x=$(theirs "$n" int8 "$t" "$b" precise) ;;
          *) x=$(ours "$n" "$w" "$t" "$b") ;;
        esac
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
const best = {}, cases = [], contenders = [];
for (const line of fs.readFileSync (process.argv[2], 'utf8').trim ().split ('\n')) {
  const [n, t, b, w, ms] = line.split (' ');
  const c = `${n} b${b}, ${t} thread${t > 1 ? 's' : ''}`;
  if (!cases.includes (c)) cases.push (c);
  if (!contenders.includes (w)) contenders.push (w);
  best[c] = best[c] || {};
  best[c][w] = Math.min (best[c][w] || Infinity, +ms);
}
const names = { 'ort-float': 'ONNX Runtime float',
                'ort-int8': 'ONNX Runtime int8 QDQ',
                'ort-int8-precise': 'ONNX Runtime int8, x64quantprecision=1' };
const ms = x => x < 10 ? x.toFixed (2) : x.toFixed (1);
const row = cells => console.log ('| ' + cells.join (' | ') + ' |');
console.log (`${e.cpu} (${e.levels.trim ()}); ${e.version}; ONNX Runtime `
  + `${e.ort}; best of ${e.rounds} turns of ${e.seconds} s; milliseconds of a `
  + 'batch, and how many times faster than ONNX Runtime\'s fast int8 path\n');
row (['', ...cases]);
row (['---', ...cases.map (() => '---:')]);
for (const w of contenders)
  row ([names[w] || `qatkit ${w}`, ...cases.map (c => ms (best[c][w])
    + (names[w] ? '' : ` (${(best[c]['ort-int8'] / best[c][w]).toFixed (2)}x)`))]);
if (e.json)
  fs.writeFileSync (e.json, JSON.stringify ({ cpu: e.cpu, levels: e.levels.trim (),
    qatkit: e.version, onnxruntime: e.ort, rounds: +e.rounds,
    seconds: +e.seconds, best_ms: best }, null, 1) + '\n');
END
