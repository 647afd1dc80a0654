#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Make augment.h next to this file: what torchvision 0.14 makes of images in
PIL by each operation of plugins/common/augment.

Needs python3-torchvision and python3-pil; the test needs neither.  Hashes are
FNV-1a, 64 bits, over the bytes.
"""
import os

import numpy as np
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import InterpolationMode, RandAugment
from torchvision.transforms import TrivialAugmentWide
from torchvision.transforms.autoaugment import _apply_op

from make_jpeg import fnv

HERE = os.path.dirname(os.path.abspath(__file__))
# width, height, channels, levels that occur, the first of them
IMAGES = [(37, 29, 3, 256, 0), (32, 32, 3, 90, 60), (40, 23, 1, 200, 30),
          (2, 5, 3, 256, 0), (9, 9, 1, 1, 77)]
FILTERS = [InterpolationMode.NEAREST, InterpolationMode.BILINEAR]
FILL = [10, 200, 55]


def image(w, h, channels, levels, first):
    """Noise that C makes too: the upper bits of a linear congruence."""
    out, x = np.zeros(w * h * channels, np.uint8), w * 1000 + h
    for i in range(out.size):
        x = (x * 1664525 + 1013904223) % 2**32
        out[i] = first + (x >> 16) % levels
    return Image.fromarray(out.reshape((h, w, 3) if channels == 3 else (h, w)))


def fill(im):
    return FILL if im.mode == "RGB" else FILL[0]


def operations():
    """Name, filter, numbers, and what makes them of an image."""
    for f in (0, 0.25, 0.7, 1, 1.3, 2.5):
        yield "BRIGHTNESS", 0, [f], lambda im, f=f: F.adjust_brightness(im, f)
        yield "CONTRAST", 0, [f], lambda im, f=f: F.adjust_contrast(im, f)
        yield "SATURATION", 0, [f], lambda im, f=f: F.adjust_saturation(im, f)
        yield "SHARPNESS", 0, [f], lambda im, f=f: F.adjust_sharpness(im, f)
    for f in (-0.5, -0.1, 0, 0.01, 0.37, 0.5):
        yield "HUE", 0, [f], lambda im, f=f: F.adjust_hue(im, f)
    yield "AUTOCONTRAST", 0, [], F.autocontrast
    yield "EQUALIZE", 0, [], F.equalize
    for n in (1, 3, 8):
        yield "POSTERIZE", 0, [n], lambda im, n=n: F.posterize(im, n)
    for t in (0, 100.5, 255, 256):
        yield "SOLARIZE", 0, [t], lambda im, t=t: F.solarize(im, t)
    for k, mode in enumerate(FILTERS):
        for a in (0, 12.5, 90, -90, 180, 200.25, 360):
            yield ("ROTATE", k, [a], lambda im, a=a, mode=mode:
                   F.rotate(im, float(a), mode, fill=fill(im)))
        for a, tx, ty, s, sx, sy in ((0, 3, -4, 1, 0, 0), (0, 0, 0, 1.7, 0, 0),
                                     (20.5, 1, 2, 0.8, 10, 0),
                                     (-75, 0, 5, 1.25, -30.5, 12),
                                     (5, 0, 0, 0.0003, 0, 0)):
            yield ("WARP", k, [a, tx, ty, s, sx, sy],
                   lambda im, a=a, t=[tx, ty], s=s, sh=[sx, sy], mode=mode:
                   F.affine(im, float(a), t, float(s), [float(v) for v in sh],
                            mode, fill(im)))


def policies():
    """Which policy, operation, bin, bins, magnitude, sign."""
    for bins in (10, 31):
        for which, p in ((1, RandAugment(num_magnitude_bins=bins)),
                         (2, TrivialAugmentWide(num_magnitude_bins=bins))):
            size = () if which == 2 else ((29, 37),)
            for op, (name, (m, signed)) in enumerate(
                    p._augmentation_space(bins, *size).items()):
                for b in (0, bins // 3, 20 * bins // 31, bins - 1):
                    v = float(m[b]) if m.ndim > 0 else 0.0
                    yield which, op, b, bins, v, signed, name


def main():
    made = [image(*i) for i in IMAGES]
    with open(os.path.join(HERE, "augment.h"), "w") as out:
        print("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
              "/* Made by tests/golden/augment.py; do not edit. */\n", file=out)
        print("static const int golden_images[][5] = {", file=out)
        for i in IMAGES:
            print("  { %d, %d, %d, %d, %d }," % i, file=out)
        print("};\n\nstatic const struct golden_op golden_ops[] = {", file=out)
        for name, k, numbers, make in operations():
            hashes = ", ".join(fnv(np.asarray(make(im))) for im in made)
            print("  { %s, %d, { %s }, { %s } }," % (
                name, k, ", ".join(map(repr, numbers)) or "0", hashes),
                file=out)
        print("};\n\nstatic const struct golden_policy golden_policies[] = {",
              file=out)
        for which, op, b, bins, v, signed, name in policies():
            for sign in (1, -1) if signed else (1,):
                got = _apply_op(made[0], name, sign * v, FILTERS[1], FILL)
                print("  { %d, %d, %d, %d, %d, %r, %s }," % (
                    which, op, b, bins, signed, sign * v,
                    fnv(np.asarray(got))), file=out)
        print("};", file=out)


main()
