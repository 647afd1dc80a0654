#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Write move.h: golden values from PyTorch for layers that move elements.

Run with Debian's python3-torch in this folder: /usr/bin/python3 move.py.  The
tests need only what it wrote.
"""
import torch
import torch.nn.functional as F

torch.manual_seed(20261128)
out = open("move.h", "w")
rows = []


def emit(name, t):
    flat = t.detach().reshape(-1).tolist()
    text = ["%.9g" % v for v in flat]
    text = [(s if "." in s or "e" in s else s + ".0") + "f" for s in text]
    out.write("static const float %s[%d] = {\n" % (name, len(flat)))
    for i in range(0, len(text), 5):
        out.write("  " + ", ".join(text[i:i + 5]) + ",\n")
    out.write("};\n\n")


def case(layer, options, shape, f):
    """F takes and gives tensors as ours."""
    name = "move%d" % len(rows)
    x = torch.randn(shape).requires_grad_()
    y = f(x)
    dy = torch.randn_like(y)
    y.backward(dy)
    for what, t in (("x", x), ("y", y), ("dy", dy), ("dx", x.grad)):
        emit("%s_%s" % (name, what), t)
    rows.append('  { "%s", "%s", { %d, { %s } },\n    %s_x, %s_y, %s_dy, '
                '%s_dx, sizeof %s_x, sizeof %s_y },\n'
                % (layer, options, len(shape), ", ".join(map(str, shape)),
                   *[name] * 6))


def nchw(f):
    """F of (N,C,H,W) as a function of (N,H,W,C)."""
    return lambda x: f(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()


def ncl(f):
    return lambda x: f(x.permute(0, 2, 1)).permute(0, 2, 1).contiguous()


out.write("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
          "/* move.h: made by move.py with PyTorch %s. */\n\n"
          % torch.__version__)
case("permute", "axes=0,3,1,2", (2, 2, 3, 4),
     lambda x: x.permute(0, 3, 1, 2).contiguous())
case("permute", "axes=0,2,4,3,1", (1, 2, 3, 2, 4),
     lambda x: x.permute(0, 2, 4, 3, 1).contiguous())
case("reshape", "shape=4,-1", (2, 2, 3, 4), lambda x: x.reshape(2, 4, 6))
case("slice", "starts=1,0,-2 ends=5,100,9223372036854775807 steps=3,2,1",
     (2, 5, 4, 3), lambda x: x[:, 1:5:3, ::2, -2:])
case("slice", "starts=-1,4 ends=-9223372036854775808,0 steps=-1,-3",
     (1, 3, 6), lambda x: x.flip(1)[:, :, [4, 1]])
case("gather", "axis=2 indices=3,1,1,0,2,2", (2, 2, 4, 3),
     lambda x: x.index_select(2, torch.tensor([3, 1, 1, 0, 2, 2])))
case("pad", "before=1,2,0 after=0,1,0 value=1.5", (1, 2, 3, 2),
     nchw(lambda x: F.pad(x, (2, 1, 1, 0), value=1.5)))
case("pad", "before=1,2,0 after=2,1,0 mode=reflect", (1, 3, 4, 2),
     nchw(lambda x: F.pad(x, (2, 1, 1, 2), mode="reflect")))
case("pad", "before=3,0,0 after=1,2,0 mode=edge", (1, 2, 3, 2),
     nchw(lambda x: F.pad(x, (0, 2, 3, 1), mode="replicate")))
case("pad", "before=1,2,0 after=2,1,0 mode=wrap", (1, 3, 4, 2),
     nchw(lambda x: F.pad(x, (2, 1, 1, 2), mode="circular")))
case("pad", "before=-1,2,0 after=1,-2,0", (1, 3, 4, 2),
     nchw(lambda x: F.pad(x, (2, -2, -1, 1))))
case("tile", "repeats=2,1,3", (2, 2, 2, 2), lambda x: x.tile(1, 2, 1, 3))
case("expand", "shape=3,2,4", (2, 1, 2, 1), lambda x: x.expand(2, 3, 2, 4) * 1)
case("depth_to_space", "block=2 mode=crd", (1, 2, 3, 8),
     nchw(lambda x: F.pixel_shuffle(x, 2)))
case("space_to_depth", "block=2 mode=crd", (1, 4, 6, 2),
     nchw(lambda x: F.pixel_unshuffle(x, 2)))
for size in ((7, 5), (2, 3)):
    text = "size=%d,%d " % size
    case("resize", text + "coords=asymmetric nearest=floor", (1, 4, 5, 2),
         nchw(lambda x: F.interpolate(x, size, mode="nearest")))
    case("resize", text + "nearest=round_prefer_ceil", (1, 4, 5, 2),
         nchw(lambda x: F.interpolate(x, size, mode="nearest-exact")))
    case("resize", text + "mode=linear", (1, 4, 5, 2),
         nchw(lambda x: F.interpolate(x, size, mode="bilinear")))
    case("resize", text + "mode=linear coords=align_corners", (1, 4, 5, 2),
         nchw(lambda x: F.interpolate(x, size, mode="bilinear",
                                      align_corners=True)))
    case("resize", text + "mode=cubic", (1, 4, 5, 2),
         nchw(lambda x: F.interpolate(x, size, mode="bicubic")))
case("resize", "size=4,6 mode=cubic coords=align_corners", (1, 3, 4, 1),
     nchw(lambda x: F.interpolate(x, (4, 6), mode="bicubic",
                                  align_corners=True)))
case("resize", "size=9 mode=linear", (2, 4, 3),
     ncl(lambda x: F.interpolate(x, 9, mode="linear")))
case("resize", "size=6,7 scale=1.6,1.75 mode=linear", (1, 4, 4, 2),
     nchw(lambda x: F.interpolate(x, scale_factor=(1.6, 1.75), mode="bilinear",
                                  recompute_scale_factor=False)))
out.write("static const struct move_row {\n"
          "  const char *layer, *options;\n"
          "  struct qk_shape in;\n"
          "  const float *x, *y, *dy, *dx;\n"
          "  size_t size_x, size_y;\n"
          "} move_rows[] = {\n" + "".join(rows) + "};\n")
out.close()
