#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Make the images of tests/golden/jpeg and jpeg/expected.h next to this file.

Needs python3-pil (with libjpeg-turbo) and python3-torchvision; the tests need
neither.  Hashes are FNV-1a, 64 bits, over RGB bytes or float32 in (H,W,C).
"""
import io
import os

import numpy as np
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import InterpolationMode

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jpeg")
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def image(w, h, seed):
    """Smooth colour waves with some edges and noise."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    out = np.zeros((h, w, 3))
    for c in range(3):
        a, b, p = rng.uniform(0.02, 0.3, 2).tolist() + [rng.uniform(0, 6)]
        out[..., c] = 128 + 90 * np.sin(a * x + b * y + p)
    out[(x - w / 2) ** 2 + (y - h / 2) ** 2 < (min(w, h) / 4) ** 2] *= 0.4
    out += rng.normal(0, 8, out.shape)
    return Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))


def jpeg(im, **kw):
    f = io.BytesIO()
    im.save(f, "JPEG", **kw)
    return f.getvalue()


def adobe(data, transform):
    """Replace a JFIF marker by an Adobe one."""
    assert data[2:4] == b"\xff\xe0"
    n = int.from_bytes(data[4:6], "big")
    app14 = (b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
             + bytes([transform]))
    return data[:2] + app14 + data[4 + n:]


def as_ycck(data):
    i = data.index(b"Adobe")
    return data[:i + 11] + b"\x02" + data[i + 12:]


def fnv(a):
    h = 0xCBF29CE484222325
    for b in np.ascontiguousarray(a).tobytes():
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return "UINT64_C (0x%016x)" % h


FILES = {
    "rgb420": jpeg(image(97, 61, 1), quality=80),
    "rgb422": jpeg(image(64, 83, 2), quality=85, subsampling="4:2:2"),
    "rgb444": jpeg(image(75, 50, 3), quality=90, subsampling="4:4:4"),
    "gray": jpeg(image(61, 97, 4).convert("L"), quality=75),
    "cmyk": jpeg(image(50, 40, 5).convert("CMYK"), quality=85),
    "ycck": as_ycck(jpeg(image(41, 53, 6).convert("CMYK"), quality=85)),
    "adobe_rgb": adobe(jpeg(image(45, 37, 7), quality=90,
                            subsampling="4:4:4"), 0),
    "progressive": jpeg(image(83, 59, 8), quality=75, progressive=True),
    "progressive_gray": jpeg(image(33, 31, 9).convert("L"),
                             progressive=True),
    "tiny": jpeg(image(1, 1, 10)),
    "odd": jpeg(image(3, 5, 11)),
    "wide": jpeg(image(230, 9, 12), quality=60),
    "tall": jpeg(image(9, 230, 13), quality=60),
    "large": jpeg(image(310, 207, 14), quality=30),
}
CENTER = [(64, 48), (32, 32), (33, 17), (100, 96)]
FILTERS = ["bilinear", "bicubic", "lanczos", "box", "hamming", "nearest"]
# height and width to be resized to, how, those of the crop
SIZES = [((40, 40), "cover", (24, 37)), ((33, 70), "cover", (33, 64)),
         ((64, 20), "cover", (51, 20)), ((48, 96), "stretch", (48, 96)),
         ((96, 31), "stretch", (75, 30)), ((7, 5), "stretch", (6, 5))]
# x, y, w, h of the box as shares of the image, size, flip
BOXES = [(0.1, 0.2, 0.7, 0.6, 40, 0), (0.4, 0.0, 0.6, 0.3, 24, 1),
         (0.0, 0.5, 0.2, 0.5, 31, 1)]


def resized(im, size, fit, how):
    """torchvision's Resize, timm's ResizeKeepRatio."""
    if fit == "cover" and size[0] == size[1]:
        return F.resize(im, size[0], how)
    if fit == "cover":
        ratio = min(im.height / size[0], im.width / size[1])
        size = [round(im.height / ratio), round(im.width / ratio)]
    return F.resize(im, list(size), how)


def sizes(name, im):
    out = []
    for i, what in enumerate(FILTERS):
        how = InterpolationMode(what)
        for size, fit, crop in SIZES:
            o = F.center_crop(resized(im, size, fit, how), list(crop))
            out.append('  { "%s", IMAGE_%s, IMAGE_%s, %d, %d, %d, %d,\n'
                       "    %s },\n" % (name, what.upper(), fit.upper(), *size,
                                       *crop, fnv(np.asarray(o))))
        # a part, as random crops have it
        h, w = max(1, im.height * 2 // 3), max(1, im.width * 3 // 5)
        y, x = (im.height - h) // 2, (im.width - w) // 3
        o = F.resized_crop(im, y, x, h, w, (23, 41), how)
        out.append('  { "%s", IMAGE_%s, PART, %d, %d, %d, %d,\n    %s },\n'
                   % (name, what.upper(), y, x, h, w, fnv(np.asarray(o))))
    return out


def main():
    os.makedirs(HERE, exist_ok=True)
    with open(os.path.join(HERE, "expected.h"), "w") as out:
        out.write("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
                  "/* Made by tests/golden/make_jpeg.py; do not edit. */\n\n"
                  "static const struct golden_center golden_centers[] = {\n")
        boxes, other = [], []
        for name, data in sorted(FILES.items()):
            with open(os.path.join(HERE, name + ".jpg"), "wb") as f:
                f.write(data)
            im = Image.open(io.BytesIO(data)).convert("RGB")
            for resize, crop in CENTER:
                o = F.center_crop(F.resize(im, resize), crop)
                t = F.normalize(F.to_tensor(o), MEAN, STD)
                out.write('  { "%s", %d, %d, %d, %d,\n    %s,\n    %s },\n' % (
                    name, *im.size, resize, crop, fnv(np.asarray(o)),
                    fnv(t.permute(1, 2, 0).numpy())))
            other += sizes(name, im)
            for x, y, w, h, size, flip in BOXES:
                w, h = max(1, int(w * im.width)), max(1, int(h * im.height))
                x = min(int(x * im.width), im.width - w)
                y = min(int(y * im.height), im.height - h)
                o = F.resized_crop(im, y, x, h, w, (size, size))
                o = F.hflip(o) if flip else o
                boxes.append('  { "%s", %d, %d, %d, %d, %d, %d,\n    %s },\n' % (
                    name, x, y, w, h, size, flip, fnv(np.asarray(o))))
        out.write("};\n\nstatic const struct golden_box golden_boxes[] = {\n")
        out.write("".join(boxes) + "};\n")
        out.write("\nstatic const struct golden_size golden_sizes[] = {\n")
        out.write("".join(other) + "};\n")


if __name__ == "__main__":
    main()
