#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Benchmarks: what they write makes sense, wrong usage is told.
. "${0%/*}/functions.sh"
requires python3

small=(-o model.width=0.25)

# a model plugin, two backends and float, node by node
expect 0 bench mobilenet_v2 "${small[@]}" --size 32 --classes 10 --runs 2 \
  --backend reference,fbgemm,float --threads 1,2 --batch 1,3 --layers \
  --json b.json
for word in "best ms" samples/s GMAC/s "of peak" GB/s "of memory" pointwise depthwise linear; do
  prints "$word"
done
python3 - <<'PY' || failed "b.json"
import json
b = json.load(open("b.json"))
assert b["inputs"] == [[32, 32, 3]] and b["macs"] > 1e5, b
rows = b["results"]
assert [(r["threads"], r["batch"], r["backend"]) for r in rows] == [
    (t, n, x) for t in (1, 2) for n in (1, 3)
    for x in ("reference", "fbgemm", "float")]
for r in rows:
    assert 0 < r["best_ms"] <= r["median_ms"] < 60000, r
    assert r["runs"] == 2 and r["fallback_nodes"] == 0, r
    assert abs(r["samples_s"] * r["best_ms"] / 1000 / r["batch"] - 1) < 1e-3
    assert r["activation_bytes"] >= 32 * 32 * 3 and r["pack_ms"] > 0, r
    rate = b["macs"] * r["batch"] / r["best_ms"] / 1e6
    assert abs(rate / r["gmac_s"] - 1) < 1e-3, r
    if "of_peak" in r:
        assert 0 < r["of_peak"] < 1.2, r
    if r["backend"] == "fbgemm" and r["cpu_level"] != "portable":
        assert r["of_peak"] and r["core_peak_gmac_s"] > 1, r
    nodes = r["nodes"]
    assert nodes[0]["name"] == "input" and nodes[1]["class"] == "first"
    assert sum(n["macs"] for n in nodes) == b["macs"] * r["batch"]
    assert all(n["best_ms"] > 0 and n["gbyte_s"] > 0 for n in nodes)
    assert r["memory_gbyte_s"] > 0.1, r
    # the first node reads bytes or floats, and writes and has some
    least = 32 * 32 * 3 * r["batch"]
    assert nodes[1]["gbyte_s"] * nodes[1]["best_ms"] * 1e6 > least, nodes[1]
    assert abs(sum(n["share"] for n in nodes) - 1) < 0.01
    assert {c["class"] for c in r["classes"]} == {
        "first", "pointwise", "depthwise", "linear", "other"}
    assert sum(c["nodes"] for c in r["classes"]) == len(nodes)
    if r["backend"] != "float":
        assert r["exact"] and r["cpu_level"], r
PY

# a model from a file, with its float network; the same from a configuration
expect 0 ptq tiny.ini -o ptq.batches=1
expect 0 bench run/model-ptq.safetensors --runs 1 --backend float,reference \
  --json - -q
cp out model.json
expect 0 bench tiny.ini --runs 1 --backend float,reference --json - -q
python3 - model.json out <<'PY' || failed "file and configuration"
import json, sys
a, b = (json.load(open(f)) for f in sys.argv[1:])
assert a["open_ms"] > 0 and "open_ms" not in b
assert a["macs"] == b["macs"] > 0 and a["inputs"] == b["inputs"]
assert [r["backend"] for r in a["results"]] == ["float", "reference"]
PY

# a backend that is not there: the others run all the same
expect 1 bench mobilenet_v2 "${small[@]}" --size 32 --classes 10 --runs 1 \
  --backend fbgeem,reference --json c.json
says "no backend plugin 'fbgeem'"
prints reference
grep -q '"error":"no backend plugin' c.json || failed "c.json has no error"
expect 1 bench mobilenet_v2 "${small[@]}" --size 32 --runs 1 --backend fbgeem
[ ! -s "$tmp/out" ] || failed "a table without rows is printed"
QATKIT_CPU=486 qatkit bench mobilenet_v2 "${small[@]}" --size 32 --runs 1 \
  --backend fbgemm,reference > out 2> err
[ $? = 1 ] || failed "a backend that cannot run: status"
says "expected portable, avx2"
prints reference

# training
expect 0 bench --train tiny.ini --batch 4 --threads 1,2 --runs 2 --json t.json
prints "a QAT step takes"
python3 - <<'PY' || failed "t.json"
import json
b = json.load(open("t.json"))
assert b["batch"] == 4
assert [(s["threads"], s["mode"]) for s in b["steps"]] == [
    (t, m) for t in (1, 2) for m in ("float", "qat")]
for s in b["steps"]:
    parts = sum(s[p + "_ms"] for p in ("forward", "backward", "optimizer"))
    assert 0 < s["forward_ms"] and 0 < parts <= 1.01 * s["step_ms"], s
    assert s["steps"] == 2 and s["step_ms"] <= s["step_median_ms"], s
    assert abs(s["samples_s"] * s["step_ms"] / 4000 - 1) < 1e-3, s
    assert s["activation_bytes"] > 0 and s["memory_gbyte_s"] > 0.1, s
    assert ("of_float_step" in s) == (s["mode"] == "qat"), s
    if "peak_bytes" in s:
        assert s["peak_bytes"] > s["activation_bytes"], s
PY
expect 0 bench --train tiny.ini --batch 4 --mode qat --runs 1 --json - -q
python3 -c 'import json, sys
s = json.load(open("out"))["steps"]
assert len(s) == 1 and s[0]["mode"] == "qat" and s[0]["peak_bytes"] > 0' \
  || failed "--mode qat"

# wrong usage
expect 2 bench
says "one model or configuration expected, got 0"
for bad in --threads=0 --threads=1,,2 --threads=x --batch=1,0 --runs=-1 \
           --size=9999 --seconds=0 --seconds=soon; do
  expect 2 bench mobilenet_v2 $bad
  says "${bad%%=*} is '${bad#*=}', expected"
done
expect 2 bench mobilenet_v2 --mode qat
says "--mode is for --train"
expect 2 bench --train tiny.ini --mode both
says "expected float or qat"
expect 2 bench --train tiny.ini --backend reference
says "--backend does not go with --train"
expect 2 bench --train tiny.ini --batch 1,2
says "--train takes one --batch"
expect 2 bench --train run/model-ptq.safetensors
says "--train takes a configuration"
expect 2 bench tiny.ini --classes 7
says "give --size too"
expect 1 bench mobilenet_v3 --runs 1
says "no model plugin 'mobilenet_v3'"
expect 1 bench no-such.safetensors
says no-such.safetensors
expect 1 bench run/model-ptq.safetensors --size 32
says "a model has its size"
expect 1 bench mobilenet_v2 --size 32 --runs 1 -o model.widht=1
says "did you mean 'width'"
expect 1 bench mobilenet_v2 --size 32 --runs 1 --json no/such/folder.json
says "cannot write 'no/such/folder.json'"
exit 0
