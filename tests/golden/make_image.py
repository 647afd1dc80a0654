#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Make the images of tests/golden/image and image/expected.h next to this
file: PNG of every kind, WebP, and the eight EXIF orientations.

Needs python3-pil and python3-torchvision; the tests need neither.  Hashes are
FNV-1a, 64 bits, over the bytes that PIL gives.  Transparent pixels are laid
over white.
"""
import io
import os
import struct
import zlib

import numpy as np
import torchvision.transforms.functional as F
from PIL import Image, ImageOps

from torchvision.transforms import InterpolationMode

from make_jpeg import FILTERS, fnv, image, jpeg

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "image")
W, H = 37, 29
RNG = np.random.RandomState(1)
# x, y of the first pixel and steps of the seven passes of Adam7
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
         (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name, data):
    return (struct.pack(">I", len(data)) + name + data
            + struct.pack(">I", zlib.crc32(name + data)))


def packed(a, depth):
    """Rows of samples (h,w,channels) as PNG stores them, filter 0."""
    out = b""
    for row in a:
        v = row.reshape(-1)
        if depth == 16:
            data = v.astype(">u2").tobytes()
        elif depth == 8:
            data = v.astype("u1").tobytes()
        else:
            bits = "".join(format(int(x), "0%db" % depth) for x in v)
            bits += "0" * (-len(bits) % 8)
            data = bytes(int(bits[i:i + 8], 2)
                         for i in range(0, len(bits), 8))
        out += b"\0" + data
    return out


def png(a, depth, kind, interlace=False, chunks=b""):
    h, w, _ = a.shape
    if interlace:
        data = b"".join(packed(a[y::dy, x::dx], depth)
                        for x, y, dx, dy in ADAM7 if x < w and y < h)
    else:
        data = packed(a, depth)
    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0,
                                         int(interlace)))
            + chunks + chunk(b"IDAT", zlib.compress(data))
            + chunk(b"IEND", b""))


def samples(channels, depth):
    a = np.asarray(image(W, H, 20 + channels)).astype(np.int64)
    a = np.concatenate([a, a[::-1, :, :1]], 2)[:, :, :channels]
    if channels in (2, 4):  # whole ranges of alpha 0 and 255
        a[..., -1] = np.clip(3 * a[..., -1] - 256, 0, 255)
    if depth == 16:
        return a * 256 + RNG.randint(0, 256, a.shape)
    return a >> (8 - depth)


def palette(n):
    return chunk(b"PLTE", RNG.randint(0, 256, (n, 3)).astype("u1").tobytes())


def tiff(orientation, big=False):
    o = ">" if big else "<"
    return ((b"MM\0*" if big else b"II*\0")
            + struct.pack(o + "IH", 8, 2)
            + struct.pack(o + "HHIHH", 0x0100, 3, 1, 7, 0)
            + struct.pack(o + "HHIHH", 0x0112, 3, 1, orientation, 0)
            + struct.pack(o + "I", 0))


def webp(im, **kw):
    f = io.BytesIO()
    im.save(f, "WEBP", **kw)
    return f.getvalue()


def turned_jpeg(orientation):
    return jpeg(image(W, H, 40), quality=90, subsampling="4:2:0",
                exif=b"Exif\0\0" + tiff(orientation, orientation % 2 == 0))


def files():
    out = {}
    for kind, name, channels, depths in (
            (0, "grey", 1, (1, 2, 4, 8, 16)), (2, "rgb", 3, (8, 16)),
            (4, "grey-alpha", 2, (8, 16)), (6, "rgba", 4, (8, 16))):
        for depth in depths:
            for interlace in (False, True):
                if interlace and depth not in (1, 8):
                    continue
                out["%s%d%s.png" % (name, depth, "i" if interlace else "")] \
                    = png(samples(channels, depth), depth, kind, interlace)
    for depth in (1, 2, 4, 8):
        out["palette%d.png" % depth] = png(samples(1, depth), depth, 3,
                                           chunks=palette(1 << depth))
    out["palette8i-alpha.png"] = png(
        samples(1, 8), 8, 3, True,
        palette(256) + chunk(b"tRNS", bytes(range(0, 200, 2))))
    a = samples(3, 8)
    a[3:9, 5:20] = [10, 20, 30]
    out["rgb8-key.png"] = png(a, 8, 2, chunks=chunk(
        b"tRNS", struct.pack(">HHH", 10, 20, 30)))
    a = samples(1, 8)
    a[3:9, 5:20] = 77
    out["grey8-key.png"] = png(a, 8, 0, chunks=chunk(
        b"tRNS", struct.pack(">H", 77)))
    out["turned.png"] = png(samples(3, 8), 8, 2,
                            chunks=chunk(b"eXIf", tiff(6)))
    out["one.png"] = png(samples(3, 8)[:1, :1], 8, 2)
    im = image(W, H, 30)
    rgba = Image.fromarray(samples(4, 8).astype("u1"), "RGBA")
    out["lossy.webp"] = webp(im, quality=80)
    out["lossless.webp"] = webp(im, lossless=True)
    out["lossy-alpha.webp"] = webp(rgba, quality=70)
    out["lossless-alpha.webp"] = webp(rgba, lossless=True, exact=True)
    out["turned.webp"] = webp(im, quality=80, exif=b"Exif\0\0" + tiff(8))
    for i in range(1, 9):
        out["exif%d.jpg" % i] = turned_jpeg(i)
    return out


def pixels(data, mode):
    im = Image.open(io.BytesIO(data))
    if im.mode.startswith("I"):  # 16 bits
        im = Image.fromarray((np.asarray(im) >> 8).astype("u1"), "L")
    im = ImageOps.exif_transpose(im)
    if mode == "RGBA":
        return im.convert("RGBA")
    if "A" in im.getbands() or "transparency" in im.info:
        white = Image.new("RGBA", im.size, (255, 255, 255, 255))
        white.alpha_composite(im.convert("RGBA"))
        im = white.convert("RGB")
    return im.convert(mode)


def main():
    os.makedirs(HERE, exist_ok=True)
    with open(os.path.join(HERE, "expected.h"), "w") as out:
        out.write("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
                  "/* Made by tests/golden/make_image.py; do not edit. */\n\n"
                  "static const struct golden_image golden_images[] = {\n")
        for name, data in sorted(files().items()):
            with open(os.path.join(HERE, name), "wb") as f:
                f.write(data)
            size = pixels(data, "RGB").size
            whole = [fnv(np.asarray(pixels(data, m)))
                     for m in ("L", "RGB", "RGBA")]
            small = [fnv(np.asarray(F.center_crop(F.resize(
                pixels(data, m), 20), 16))) for m in ("L", "RGB", "RGBA")]
            other = [fnv(np.asarray(F.resize(
                pixels(data, m), [13, 22], InterpolationMode(f))))
                for f in FILTERS for m in ("L", "RGB", "RGBA")]
            out.write('  { "%s", %d, %d,\n    { %s },\n    { %s },\n'
                      "    { %s } },\n" % (
                          name, *size, *(",\n      ".join(v) for v in
                                         (whole, small, other))))
        out.write("};\n")


if __name__ == "__main__":
    main()
