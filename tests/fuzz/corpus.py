# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes corpus/safetensors and corpus/checkpoint, the inputs the fuzz targets
start from: small good files and one file for each way to lie."""
import json
import os
import struct
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))


def put(folder, name, header, data=b"", length=None):
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":"))
    if isinstance(header, str):
        header = header.encode()
    folder = os.path.join(HERE, "corpus", folder)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as out:
        n = len(header) if length is None else length
        out.write(struct.pack("<Q", n) + header + data)


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors():
    good = {"__metadata__": {"format": "pt"}, "w": entry("F32", [2, 1], 0, 8),
            "h": entry("F16", [2], 8, 12), "b": entry("BF16", [1], 12, 14),
            "u": entry("U8", [], 14, 15), "t": entry("BOOL", [1], 15, 16)}
    put("safetensors", "good", good, bytes(range(16)))
    put("safetensors", "wide", {"i": entry("I64", [1], 0, 8),
                                "d": entry("F64", [1], 8, 16),
                                "k": entry("I32", [1], 16, 20),
                                "s": entry("I8", [1, 1, 1, 1], 20, 21),
                                "e": entry("F32", [0, 7], 21, 21)}, bytes(21))
    put("safetensors", "empty", "{}")
    put("safetensors", "five-dims", {"a": entry("U8", [1] * 5, 0, 1)}, b"x")
    put("safetensors", "u16", {"a": entry("U16", [1], 0, 2)}, b"xy")
    put("safetensors", "padded", "{}      ")
    put("safetensors", "short", good, b"x")
    put("safetensors", "length", "{}", length=2**64 - 1)
    put("safetensors", "length-3", "{}", length=3)
    put("safetensors", "not-json", "{\"a\"}")
    put("safetensors", "twice", '{"a":{"dtype":"U8","shape":[1],'
        '"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],'
        '"data_offsets":[1,2]}}', b"xy")
    put("safetensors", "deep", "{" + "\"a\":{" * 50)
    put("safetensors", "lists", "{\"a\":" + "[" * 50)
    put("safetensors", "overlap", {"a": entry("U8", [4], 0, 4),
                                   "b": entry("U8", [4], 2, 6)}, bytes(6))
    put("safetensors", "hole", {"a": entry("U8", [1], 0, 1),
                                "b": entry("U8", [1], 2, 3)}, bytes(3))
    put("safetensors", "beyond", {"a": entry("U8", [4], 0, 4)}, bytes(3))
    put("safetensors", "negative", {"a": entry("U8", [4], -4, 0)}, bytes(4))
    put("safetensors", "backwards", {"a": entry("U8", [4], 4, 0)}, bytes(4))
    put("safetensors", "product", {"a": entry("U8", [2**32, 2**32], 0, 0)})
    put("safetensors", "product-zero", {"a": entry("F64", [2**61], 0, 0)})
    put("safetensors", "big-number", {"a": entry("U8", [2**70], 0, 1)}, b"x")
    put("safetensors", "real", {"a": entry("U8", [1.0], 0, 1)}, b"x")
    put("safetensors", "metadata", {"__metadata__": {"a": 1}})
    put("safetensors", "utf8", b'{"\xff":{}}')
    put("safetensors", "control", {"\x1b[2J": entry("U8", [1], 0, 1)}, b"x")


def checkpoint(name, version, data, bend=0):
    meta = {"checkpoint.keys": "checkpoint.version,epoch",
            "checkpoint.version": version, "epoch": "3"}
    text = b"w\0f32\0" + struct.pack("<q", 4) + data
    for key, value in meta.items():
        text += key.encode() + b"\0" + value.encode() + b"\0"
    meta["checkpoint.crc32"] = "%08x" % (zlib.crc32(text) ^ bend)
    put("checkpoint", name, {"__metadata__": meta,
                             "w": entry("F32", [4], 0, 16)}, data)


def main():
    safetensors()
    checkpoint("good", "1.0", bytes(range(16)))
    checkpoint("newer", "2.0", bytes(16))
    checkpoint("minor", "1.9", bytes(16))
    checkpoint("damaged", "1.0", bytes(16), bend=1)
    checkpoint("no-version", "x", bytes(16))
    put("checkpoint", "none", "{}")


main()
