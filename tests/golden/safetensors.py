#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes safetensors.safetensors, the file check_safetensors.c reads, from
the description of the format alone (struct and json, no other package)."""
import json
import os
import struct

# name, dtype, shape, data
TENSORS = [
    ("f64", "F64", [2], struct.pack("<2d", 1 / 3, -1e300)),
    ("i64", "I64", [], struct.pack("<q", -(2**63))),
    ("f32", "F32", [2, 1, 3], struct.pack("<6f", 0, 1, -2.5, 3e38, 1e-45,
                                          float("inf"))),
    ("i32", "I32", [3], struct.pack("<3i", -(2**31), 0, 2**31 - 1)),
    # 1, -2, largest, smallest normal, smallest subnormal, largest
    # subnormal, -0, infinity
    ("f16", "F16", [8], struct.pack("<8H", 0x3c00, 0xc000, 0x7bff, 0x0400,
                                    0x0001, 0x03ff, 0x8000, 0x7c00)),
    ("bf16", "BF16", [3], struct.pack("<3H", 0x3f80, 0xc049, 0x0001)),
    ("i16", "I16", [1], struct.pack("<h", -5)),
    ("u8", "U8", [2, 2], bytes([0, 1, 254, 255])),
    ("i8", "I8", [3], struct.pack("<3b", -128, 0, 127)),
    ("bool", "BOOL", [2], bytes([1, 0])),
    ("empty", "F32", [3, 0, 2], b""),
    ("five", "U8", [1, 1, 1, 1, 3], bytes([7, 8, 9])),
    ("größe", "U8", [1], bytes([42])),
]


def main():
    header, data = {"__metadata__": {"format": "pt", "note": "naïve\n\"x\""}}, b""
    # the order of the header is not the order of the data
    for name, dtype, shape, content in reversed(TENSORS):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": None}
    for name, dtype, shape, content in TENSORS:
        header[name]["data_offsets"] = [len(data), len(data) + len(content)]
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "safetensors.safetensors"), "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


main()
