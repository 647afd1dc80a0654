#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A plugin of every kind: the templates, which are also the examples of the
# kinds' manual pages, are built outside the tree with what pkg-config says and
# no more, take part in one run, and do what they say.  Every kind takes options
# from the configuration, and refuses those that it does not know.
. "${0%/*}/functions.sh"
CC=${CC:-cc}
requires make pkg-config "${CC%% *}"

kinds='layer model loss metric observer fakequant optimizer schedule ptq dataset
  format reporter comm solver backend'
flags=$(PKG_CONFIG_PATH=$builddir/core pkg-config --cflags --libs \
  --define-variable="includedir=$srcdir/core/include" \
  --define-variable="libdir=$builddir/.libs" qatkit) || failed "pkg-config"

# ---- building ----------------------------------------------------------------

# no kind without a template and a page, and the other way round
[ "$(ls "$srcdir/plugins/template" | grep -vc Makefile)" = 15 ] \
  || failed "15 templates are expected"
for kind in $kinds; do
  sh "$srcdir/build-aux/new-plugin" "$kind" "my_$kind" "$kind" > out 2> err \
    || failed "new-plugin $kind"
  env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$kind" CC="$CC" \
    CFLAGS="-O2 -Wall -Wextra -pedantic -Werror" QATKIT="$flags" > out 2> err \
    || failed "the template of $kind cannot be built"
  [ ! -s err ] || failed "building $kind says something"
  expect 0 plugins "./$kind/my_$kind.so"
  prints "$kind my_$kind: "
  grep -A 1 '^options:' out | grep -q ' = ' || failed "$kind has no option"
  # into a source tree, too
  grep -q "$kind" "$srcdir/build-aux/new-plugin" || failed "$kind"
done

# the page's example is the template, its name aside
mkdir pages
sh "$srcdir/build-aux/kind-man" "$srcdir" pages || failed "kind-man"
for kind in $kinds; do
  page=pages/qatkit-$kind.3
  [ -s "$page" ] || failed "no page of $kind"
  if type groff > /dev/null 2>&1; then
    groff -man -Tutf8 -ww -z "$page" 2> err || failed "groff $page"
    [ ! -s err ] || failed "groff has warnings about $page"
  fi
  sed -n '/^\.SH EXAMPLE/,/^\.SH TESTING/{/^\.nf/,/^\.fi/p}' "$page" \
    | sed -e '/^\.nf$/d; /^\.fi$/d' -e 's/^\\&//' -e "s/\\\\(aq/'/g" \
      -e 's/\\-/-/g' -e 's/\\e/\\/g' > "$kind.c"
  # shellcheck disable=SC2086
  $CC -std=c99 -ffp-contract=off -fPIC -shared -Wall -Wextra -Werror \
    -o mine.so "$kind.c" $flags 2> err || failed "the example of $page"
  expect 0 plugins ./mine.so
  prints "$kind mine: "
  # no slot of the template without its word in the page
  for slot in $(sed -n 's/^  \.\([a-z_]*\) = NAME_.*/\1/p' \
      "$srcdir/plugins/template/$kind/NAME.c"); do
    grep -Eq "^\.[BI].*\b$slot\b|^\.I $slot" "$srcdir/docs/kinds/$kind.man" \
      || failed "the page of $kind says nothing about $slot"
  done
done

# ---- one run with all of them ------------------------------------------------

# two functions of three numbers
awk 'BEGIN {
  print "a,b,c,product,difference"
  for (i = 0; i < 320; i++) {
    a = (i * 37 % 101) / 50 - 1
    b = (i * 59 % 97) / 48 - 1
    c = (i * 83 % 89) / 44 - 1
    printf "%.4f,%.4f,%.4f,%.5f,%.5f\n", a, b, c, a * b + c, a - c
  }
}' > samples.csv
cat > all.ini <<'END_OF_INI'
[run]
output = all
threads = 2
reporter = jsonl,./reporter/my_reporter.so
comm = ./comm/my_comm.so
[model]
arch = ./model/my_model.so
width = 24
activation = ./layer/my_layer.so
activation_options = "steepness=2"
[data]
dataset = ./dataset/my_dataset.so
file = samples.csv
targets = 2
noise = 0.01
batch = 32
[loss]
name = ./loss/my_loss.so
delta = 0.5
[metric]
name = ./metric/my_metric.so
tolerance = 0.25
[train]
epochs = 12
[train optimizer]
name = ./optimizer/my_optimizer.so
lr = 0.004
[train schedule]
name = ./schedule/my_schedule.so
warmup = 2
[ptq]
methods = ./ptq/my_ptq.so
my_ptq.sigmas = 1.5
batches = 2
[qat]
backend = ./backend/my_backend.so
epochs = 2
best = within
[optimizer]
name = ./optimizer/my_optimizer.so
lr = 0.0005
[schedule]
name = ./schedule/my_schedule.so
warmup = 0.5
[qconfig]
activation.observer = ./observer/my_observer.so
activation.observer.factor = 1
weight.fakequant = ./fakequant/my_fakequant.so
[reporter my_reporter]
event = eval
[comm my_comm]
timeout = 50
[backend my_backend]
min_macs = 100
[tune]
solver = ./solver/my_solver.so
points = 3
samples = 16
[solver my_solver]
halvings = 40
END_OF_INI
again=(-o run.reporter=./reporter/my_reporter.so -o run.comm=./comm/my_comm.so
  -o model.arch=./model/my_model.so -o model.activation=./layer/my_layer.so
  -o data.dataset=./dataset/my_dataset.so -o loss.name=./loss/my_loss.so
  -o metric.name=./metric/my_metric.so
  -o "train optimizer.name=./optimizer/my_optimizer.so"
  -o "train schedule.name=./schedule/my_schedule.so"
  -o ptq.methods=./ptq/my_ptq.so -o qat.backend=./backend/my_backend.so
  -o optimizer.name=./optimizer/my_optimizer.so
  -o schedule.name=./schedule/my_schedule.so
  -o qconfig.activation.observer=./observer/my_observer.so
  -o qconfig.weight.fakequant=./fakequant/my_fakequant.so)

expect 0 run all.ini
cat out err > story
prints within

# reporter: a line of titles and one for each evaluation
csv=all/my_reporter.csv
head -n 1 $csv | grep -q 'within.*bias' || failed "$csv has no titles"
[ "$(wc -l < $csv)" -ge 5 ] || failed "$csv has too few lines"

# model, layer, dataset, loss, metric, optimizer, schedule: it has learned
share=$(awk -F , 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "within") k = i }
  END { print int (100 * $k) }' $csv)
[ "$share" -ge 60 ] || failed "only $share % of the outputs are right"

# ptq: it says what it has done
grep -q 'my_ptq: [1-9][0-9]* of [0-9]* weights clipped' story \
  || failed "nothing was clipped"

# layer, fakequant, observer, backend: the network that was trained is the one
# that runs, byte by byte, on this backend and on the reference
expect 0 verify all "${again[@]}" --backend reference,./backend/my_backend.so
[ "$(grep -c ': 0 differing bytes of [1-9]' out)" = 2 ] || failed "verify"

# backend: all is left to others where the option says so
expect 0 eval all/model-int8.safetensors "${again[@]}" -o "backend my_backend:min_macs=1000000"
cat out err > story
grep -q 'fewer than min_macs' story || failed "min_macs does nothing"

# the same again gives the same; other options give something else
numbers () {
  tail -c +$((9 + $(header_size "$1"))) "$1"
}
differs () { # NAME OPTION…
  local name=$1
  shift
  expect 0 run -q all.ini --output "$name" "$@"
  ! cmp -s <(numbers all/model-int8.safetensors) \
    <(numbers "$name/model-int8.safetensors") || failed "$* changes nothing"
}
expect 0 run -q all.ini --output same
cmp <(numbers all/model-int8.safetensors) \
  <(numbers same/model-int8.safetensors) || failed "two runs differ"
differs o1 -o model.activation_options=steepness=1
differs o2 -o model.width=8
differs o3 -o loss.delta=0.1
differs o4 -o optimizer.beta1=0.5
differs o5 -o schedule.warmup=0
differs o6 -o data.noise=0
differs o7 -o qconfig.activation.observer.factor=0.5
differs o8 -o qconfig.weight.fakequant.largest=-9

# metric: a wider tolerance, more is right
expect 0 eval all/model-int8.safetensors "${again[@]}" -o metric.tolerance=100
grep -q '100\.0' out || failed "tolerance does nothing"

# comm: two processes train as one does
mkdir exchange
two=(-q all.ini -o "comm my_comm:folder=exchange" -o "comm my_comm:size=2"
  -o run.threads=1 -o ptq.enabled=no)
qatkit run "${two[@]}" --output two -o "comm my_comm:rank=1" > second 2>&1 &
expect 0 run "${two[@]}" --output two -o "comm my_comm:rank=0"
wait $! || { cat second; failed "the second process"; }
expect 0 verify two "${again[@]}" --backend reference

# solver: bits for the layers, the fewest that still reach the goal
expect 0 tune all.ini -q --minimize bytes --goal 'within >= 1' --output tuned \
  -o qat.epochs=0 -o train.epochs=2
prints "bits in"
expect 0 tune all.ini --minimize bytes --goal 'within >= 1' --output tuned \
  --resume -o qat.epochs=0 -o train.epochs=2
says "bits are chosen by the solver my_solver"

# format: the weights as text give the same network
if type python3 > /dev/null 2>&1; then
  python3 - all/weights.safetensors > weights.txt <<'END_OF_PYTHON' \
    || failed "text of the weights"
import json, struct, sys
data = open (sys.argv[1], "rb").read ()
n = struct.unpack ("<Q", data[:8])[0]
first = True # not all names begin alike: that would be stripped by itself
for name, t in json.loads (data[8:8 + n]).items ():
    if name == "__metadata__":
        continue
    a, b = t["data_offsets"]
    x = struct.unpack ("<%df" % ((b - a) // 4), data[8 + n + a:8 + n + b])
    print (name if first else "net." + name, ",".join (map (str, t["shape"])),
           *["%.9g" % v for v in x])
    first = False
END_OF_PYTHON
  text=(-o model.weights=weights.txt -o model.format=./format/my_format.so)
  expect 1 ptq -q all.ini "${text[@]}" --output text
  expect 0 ptq -q all.ini "${text[@]}" --output text \
    -o "format my_format:strip=net."
  expect 0 ptq -q all.ini -o model.weights=all/weights.safetensors \
    --output binary
  cmp <(numbers text/model-ptq.safetensors) \
    <(numbers binary/model-ptq.safetensors) || failed "weights differ"
fi

# ---- options that are not known ----------------------------------------------

# refused SECTION KEY: with file and line, and the nearest name
refused () {
  cp all.ini bad.ini
  printf '[%s]\n%s = 1\n' "$1" "$2" >> bad.ini
  expect 1 run bad.ini --output bad
  says "bad.ini:$(wc -l < bad.ini): unknown key '$2' in [$1]"
}
refused "reporter my_reporter" evnt
refused "comm my_comm" timeot
refused "backend my_backend" min_mac
refused "reporter jsonl" fil
refused "backend fbgemm" x
refused "comm single" x
refused "format safetensors" x
refused model wdth
refused data tragets
refused loss dleta
refused metric tolernce
refused optimizer beta3
refused schedule warmpu
refused ptq my_ptq.sigma
refused "solver my_solver" halvngs
refused qconfig activation.observer.fctor
refused qconfig weight.fakequant.lrgest
cp all.ini bad.ini
printf '[backend fbgem]\nx = 1\n' >> bad.ini
expect 1 run bad.ini --output bad
says "unknown section [backend fbgem]"
expect 1 run all.ini --output bad -o "comm my_comm:size=0"
says "size"
[ ! -e bad ] || failed "work was begun"

# reporters of this tree take options as well
expect 0 train -q tiny.ini -o "reporter jsonl:file=story.jsonl"
[ -s run/story.jsonl ] || failed "jsonl has not written its file"
exit 0
