#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# analyze: of a run and of post-training quantization; the numbers fit each
# other and what the configuration did to the network; the report needs nothing
# but a browser, which draws it.
. "${0%/*}/functions.sh"

# json FILE EXPRESSION: python's view of its value x, with layers by name in l
# and networks by name in n; without python3 the check is left out
json () {
  type python3 > /dev/null 2>&1 || { echo "no python3: JSON not read"; return; }
  python3 - "$1" "$2" <<'END' || failed "JSON of $1: $2"
import json, sys
x = json.load (open (sys.argv[1]))
l = {e["name"]: e for e in x["layers"]}
n = {e["network"]: e for e in x["networks"]}
def close (a, b, by): return a is None and b is None or abs (a - b) <= by
assert eval (sys.argv[2]), {k: x[k] for k in x if k != "layers"}
END
}

sed -i 's/^threads = .*/threads = 1/' tiny.ini
expect 0 run tiny.ini -q
w=run/weights.safetensors

# of the run: the table
expect 0 analyze run
prints "float, before QAT"
prints "activations only"
prints "layer, worst first"
for l in image conv1 conv2 conv3 fc; do
  grep -q "^$l  " out || failed "no row of $l"
done
prints "tandard error"
grep -q '^sensitivity: ' err || failed "no progress"

# … and JSON: what was trained is what is deployed, so int8 = fake-quantized
expect 0 analyze -q run --json - --samples 20
[ ! -s err ] || failed "-q writes to stderr"
json out 'x["kind"] == "QAT" and x["subset_samples"] == 20'
json out 'n["int8"]["scores"] == n["fake-quantized"]["scores"]'
json out 'n["int8"]["subset"] == n["fake-quantized"]["subset"]'
json out 'all (e["sqnr_fake_db"] == e["sqnr_int8_db"] for e in x["layers"])'
json out 'all (0 <= e["scores"]["top1"] <= e["scores"]["top5"] <= 1 and e["samples"] == 50 for e in x["networks"])'
json out 'all (close (e["scores"]["top1"] - n["float"]["scores"]["top1"], (e["won"] - e["lost"]) / 50, 1e-6) for e in x["networks"])'
json out 'close (sum (e["noise_share"] for e in x["layers"]), 1, 1e-4)'
json out '[e["noise_share"] for e in x["layers"]] == sorted ((e["noise_share"] for e in x["layers"]), reverse = True)'
json out 'all (sum (e["activation"]["histogram"]) == 20 * 16 * 16 * 3 for e in x["layers"] if e["name"] == "image")'
json out 'l["conv1"]["batchnorm"]["mean_drift"] > 0 and l["fc"]["batchnorm"] is None'
json out 'l["conv1"]["weight"]["channels"] == 8 and l["conv1"]["weight"]["range_ratio"] >= 1'
json out 'any (e["event"] == "epoch" for e in x["log"]) and x["verdict"]'
cp out first
expect 0 analyze -q run --json - --samples 20
cmp first out || failed "not the same twice"
expect 0 analyze -q run/best.safetensors --json - --samples 20
json out 'x["kind"] == "QAT" and len (x["layers"]) == 5'

# as accurate as eval says, and PTQ as ptq says
expect 0 eval -q run/model-int8.safetensors --json
top1=$(sed -n 's/.*"top1":\([0-9.]*\).*/\1/p' out)
json first "close (n['int8']['scores']['top1'], $top1, 1e-6)"
expect 0 ptq -q tiny.ini -o model.weights=$w --output ptq --json
top1=$(sed -n 's/.*"PTQ int8","top1":\([0-9.]*\).*/\1/p' out)
expect 0 analyze -q tiny.ini -o model.weights=$w --json -
json out "x['kind'] == 'PTQ' and close (n['int8']['scores']['top1'], $top1, 1e-6)"
json out '"float, before QAT" not in n and x["log"] == []'
cp out eight

# what is made worse is found: few bits of one weight, of one output
expect 0 analyze -q tiny.ini -o model.weights=$w --json - -o qconfig\ conv2:weight.bits=2
json out 'x["layers"][0]["name"] == "conv2" and l["conv2"]["weight"]["bits"] == 2'
json out 'n["weights only"]["subset"]["output_sqnr_db"] < n["activations only"]["subset"]["output_sqnr_db"] - 6'
json out 'l["conv2"]["all_but"]["output_sqnr_db"] > n["fake-quantized"]["subset"]["output_sqnr_db"] + 6'
expect 0 analyze -q tiny.ini -o model.weights=$w --json - -o qconfig\ conv1:activation.bits=2
json out 'x["layers"][0]["name"] == "conv1"'
json out 'n["weights only"]["subset"]["output_sqnr_db"] > n["activations only"]["subset"]["output_sqnr_db"] + 6'
# a bit is 6 dB
expect 0 analyze -q tiny.ini -o model.weights=$w --json - -o qconfig.weight.bits=6
cp out six
type python3 > /dev/null 2>&1 && { python3 - <<'END' || failed "two bits are not 12 dB"
import json
a, b = ({e["name"]: e for e in json.load (open (f))["layers"]} for f in ("eight", "six"))
assert all (9 < a[k]["weight"]["sqnr_db"] - b[k]["weight"]["sqnr_db"] < 15 for k in a if a[k]["weight"])
END
}
# a range cut to half clips
expect 0 analyze -q tiny.ini -o model.weights=$w --json - -o ptq.activation.observer=fixed \
  -o ptq.activation.observer.min=0 -o ptq.activation.observer.max=0.1
json out 'l["conv1"]["activation"]["clip_rate"] > 0.02'

# a node left in float has no quantizer
expect 0 analyze -q tiny.ini -o model.weights=$w --json - -o qconfig\ conv2:quantize=no
json out 'l.get ("conv2", {"weight": None})["weight"] is None'

# the report
if grep -q '^CHARTJS = .' "$builddir/Makefile"; then
  [ -s run/report.html ] || failed "no report.html in the folder"
  [ ! -e page.html ] && expect 0 analyze run --html page.html
  says "report in 'page.html'"
  # what it loads: nothing.  Addresses are those in Chart.js' own comments
  grep -q '"tables":\[{"metric":"accuracy"' page.html || failed "no tables in the report"
  ! grep -qE '(src|href)="?(http|//|[a-z]+/)|@import|url\(|fetch \(|import ' page.html \
    || failed "the report loads something"
  [ "$(grep -c '<script' page.html)" = 3 ] || failed "scripts of the report"
  expect 1 analyze run --html nowhere/page.html
  says "nowhere/page.html"
else
  expect 0 analyze run
  says "libjs-chart.js"
  [ ! -e run/report.html ] || failed "a report without Chart.js"
  expect 1 analyze run --html page.html
  says "libjs-chart.js"
fi

if [ -s page.html ]; then
  if dom page.html; then
    ! grep -o '<html[^>]*data-error="[^"]*"' dom || failed "an error in the page's script"
    grep -q '<html[^>]*data-charts="8"' dom || failed "not all charts are drawn"
    [ "$(grep -o '<canvas[^>]*width="[1-9]' dom | wc -l)" = 8 ] || failed "not all charts have a size"
    for l in image conv1 conv2 conv3 fc; do
      grep -q "<td class=\"text\">$l</td>" dom || failed "no row of $l in the page"
    done
    # names stay text, whatever they hold
    sed 's#"name":"conv2"#"name":"\\u003c/script>\\u003cimg id=evil src=x>\&amp;"#' page.html > evil.html
    cmp -s page.html evil.html && failed "conv2 is not in the page's data"
    dom evil.html || failed "the browser gave up"
    grep -q 'data-charts="8"' dom || failed "a strange name stops the page"
    ! grep -q '<img' dom || failed "a name became HTML"
    grep -qF '&lt;img id=evil' dom || failed "a strange name is not shown"
  else
    echo "chromium does not run here: charts not looked at"
  fi
else
  echo "no page: charts not looked at"
fi

# wrong usage
expect 2 analyze
expect 2 analyze run more
expect 2 analyze run --samples 0
says "--samples is '0'"
expect 1 analyze nowhere
says "nowhere"
expect 1 analyze tiny.ini
says "weights is not given"
mkdir empty
expect 1 analyze empty
says "not the folder of a run"
expect 1 analyze $w
says "$w"
exit 0
