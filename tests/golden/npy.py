# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes arrays of every type, order and version as NumPy does, to npy/: the
element N of 24, row-major, is 5 N - 60 in signed types, 10 N in unsigned
ones, (N - 12) / 8 in floating point, and whether 3 divides N in bool.  Made
with NumPy 1.24."""
import os

import numpy as np
from numpy.lib import format as npf

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "npy")
TYPES = ("<f2 >f2 <f4 >f4 <f8 >f8 i1 <i2 >i2 <i4 >i4 <i8 >i8 "
         "u1 <u2 >u2 <u4 >u4 <u8 >u8 b1").split()


def values(kind):
    n = np.arange(24).reshape(2, 3, 4)
    return {"f": (n - 12) / 8, "i": 5 * n - 60, "u": 10 * n,
            "b": n % 3 == 0}[kind]


def every():
    out = {}
    for t in TYPES:
        name = t.replace("<", "little-").replace(">", "big-")
        a = values(t.strip("<>")[0]).astype(t)
        out[name + "-c"] = a
        out[name + "-fortran"] = np.asfortranarray(a)
    return out


def main():
    os.makedirs(HERE, exist_ok=True)

    def at(name):
        return os.path.join(HERE, name)

    np.savez(at("every.npz"), **every())
    np.savez_compressed(at("deflated.npz"), **every())
    for version in (1, 2, 3):
        with open(at("version-%d.npy" % version), "wb") as out:
            npf.write_array(out, values("f").astype("f4"), (version, 0))
    np.save(at("number.npy"), np.float32(2.5))
    np.save(at("empty.npy"), np.zeros((0, 7), "f4"))
    np.save(at("rank-8.npy"), np.arange(4, dtype="f4").reshape(
        1, 2, 1, 1, 1, 2, 1, 1))
    np.save(at("rank-9.npy"), np.zeros((1,) * 9, "f4"))
    np.save(at("objects.npy"), np.array([{}, None], dtype=object))
    np.save(at("records.npy"), np.zeros(2, [("a", "f4"), ("b", "i4")]))
    np.save(at("complex.npy"), np.zeros(2, "c8"))
    np.save(at("text.npy"), np.array(["a", "bc"]))
    np.save(at("huge-number.npy"), np.array([1, 2**63], "u8"))


main()
