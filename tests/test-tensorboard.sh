#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The event file of reporter tensorboard, read by a reader of its own here,
# against the lines of jsonl; several reporters at once; going on.
. "${0%/*}/functions.sh"
requires python3

# events: all event files of the folder run, as JSON in events.json: a list of
# [step, tag, value], after checking lengths and checksums
events () {
  python3 - <<'END' || failed "event file"
import glob, json, struct

def crc (data):                       # CRC-32C by table, masked
    table = []
    for i in range (256):
        for k in range (8):
            i = (i >> 1) ^ (0x82f63b78 if i & 1 else 0)
        table.append (i)
    c = 0xffffffff
    for b in data:
        c = table[(c ^ b) & 255] ^ (c >> 8)
    c ^= 0xffffffff
    return (((c >> 15) | (c << 17)) + 0xa282ead8) & 0xffffffff
assert crc (b"123456789") == (((0xe3069283 >> 15) | (0xe3069283 << 17)) + 0xa282ead8) & 0xffffffff

def varint (b, at):
    v = shift = 0
    while True:
        v |= (b[at] & 127) << shift
        shift += 7
        at += 1
        if b[at - 1] < 128:
            return v, at

def fields (b):
    at = 0
    while at < len (b):
        key, at = varint (b, at)
        wire = key & 7
        if wire == 0: v, at = varint (b, at)
        elif wire == 1: v, at = struct.unpack ("<d", b[at:at + 8])[0], at + 8
        elif wire == 5: v, at = struct.unpack ("<f", b[at:at + 4])[0], at + 4
        else:
            assert wire == 2, wire
            n, at = varint (b, at)
            v, at = b[at:at + n], at + n
            assert len (v) == n
        yield key >> 3, v
    assert at == len (b)

out = []
for path in sorted (glob.glob ("run/events.out.tfevents.*")):
    b, at, first, last = open (path, "rb").read (), 0, True, 0
    while at < len (b):
        n, c = struct.unpack ("<QI", b[at:at + 12])
        assert c == crc (b[at:at + 8]), "checksum of a length"
        data = b[at + 12:at + 12 + n]
        assert struct.unpack ("<I", b[at + 12 + n:at + 16 + n])[0] == crc (data), "checksum of a record"
        at += n + 16
        e = dict (fields (data))
        assert e[1] >= last > -1, "time goes back"
        last = e[1]
        if first:
            assert e[3] == b"brain.Event:2" and 5 not in e
        else:
            for k, v in fields (e[5]):
                assert k == 1
                v = dict (fields (v))
                out.append ([e[2], v[1].decode (), v[2]])
        first = False
    assert not first and at == len (b)
json.dump (out, open ("events.json", "w"))
END
}

# compare with the log
same_as_log () {
  python3 - <<'END' || failed "not what log.jsonl says"
import json
got = {(s, t): v for s, t, v in json.load (open ("events.json"))}
log = [json.loads (l) for l in open ("run/log.jsonl")]
n = 0
def near (a, b): return abs (a - b) <= 1e-6 * max (1, abs (b))
for e in log:
    if e["event"] == "epoch":
        for k in "loss", "top1", "lr":
            assert near (got[e["epoch"] + 1, e["stage"] + "/" + k], e[k]), (e, k)
            n += 1
    if e["event"] == "eval":
        name = e["network"].split (" ")
        if "/" in name[-1]: name.pop ()
        for k in "loss", "top1", "top5":
            assert near (got[max (e["epoch"], 0), "_".join (name) + "/" + k], e[k]), (e, k, got)
            n += 1
assert n >= 3 * 3 + 3 * 4, n
assert any (t.startswith ("timing/qat/") for s, t in got)
END
}

expect 0 run -q tiny.ini -o run.reporter=jsonl,tensorboard
events
same_as_log

# again: what an earlier run left goes; going on: it stays
touch run/events.out.tfevents.1.other
expect 0 run -q tiny.ini -o "run.reporter=tensorboard, jsonl"
[ "$(ls run/events.out.tfevents.*.qatkit | wc -l)" = 1 ] || failed "an old event file is left"
[ -e run/events.out.tfevents.1.other ] || failed "a foreign event file is gone"
rm run/events.out.tfevents.1.other
expect 0 run -q tiny.ini --resume -o run.reporter=jsonl,tensorboard
[ "$(ls run/events.out.tfevents.*.qatkit | wc -l)" = 2 ] || failed "--resume makes no file of its own"
events
same_as_log

# wrong names
expect 1 run tiny.ini -o run.reporter=jsonl,tensorbord
says "did you mean 'tensorboard'"
says "reporter"
expect 1 run tiny.ini -o run.reporter=jsonl,jsonl,jsonl,jsonl,jsonl
says "at most 4 reporters"
rm -f run/log.jsonl run/events*
expect 0 run -q tiny.ini -o run.reporter= --output none
[ ! -e none/log.jsonl ] || failed "a log without reporters"
exit 0
