#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Write network_golden.h: whole networks in PyTorch, for check_network.c.

Parameters and images come from an integer hash of their name and index,
the same here and in tests/lib/network.c, so that no weight file is needed.

- MobileNetV2 of torchvision, float: logits in evaluation, and one training
  step's loss, gradients and running statistics, all in float64, so that they
  are the truth that float32 is measured against.
- A small network of conv-bn-relu, a depthwise convolution and a residual,
  quantization-aware with the fbgemm qconfig, version 0: three SGD steps.

Run with Debian's python3-torch 1.13 and python3-torchvision:
    /usr/bin/python3 mobilenet_forward.py > network_golden.h
"""
import sys
import warnings

import numpy as np
import torch
import torch.ao.quantization as tq
import torchvision
from torch import nn

warnings.simplefilter("ignore")
torch.set_num_threads(1)
torch.backends.mkldnn.enabled = False


def uniform(name, count):
    """COUNT numbers in [0, 1) of 24 bits: network_uniform in C."""
    h = 0x811C9DC5
    for c in name.encode():
        h = ((h ^ c) * 0x01000193) & 0xFFFFFFFF
    x = np.arange(count, dtype=np.uint64)
    m = np.uint64(0xFFFFFFFF)
    x = (x * np.uint64(0x9E3779B9) + np.uint64(h)) & m
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(0x85EBCA6B)) & m
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(0xC2B2AE35)) & m
    x ^= x >> np.uint64(16)
    return (x >> np.uint64(8)).astype(np.float32) * np.float32(2.0 ** -24)


def between(name, count, lo, hi):
    lo, hi = np.float32(lo), np.float32(hi)
    return lo + (hi - lo) * uniform(name, count)


def bounds(name, shape):
    """network_bounds in C."""
    if name.endswith("running_var"):
        return 0.5, 1.5
    if len(shape) > 1:
        fan = int(np.prod(shape[1:]))
        b = np.sqrt(np.float32(6.0 / fan))
        return -b, b
    return (0.8, 1.2) if name.endswith("weight") else (-0.1, 0.1)


def fill(model):
    with torch.no_grad():
        for name, t in model.state_dict().items():
            if "fake_quant" in name or "post_process" in name \
                    or name.endswith("num_batches_tracked"):
                continue
            v = between(name, t.numel(), *bounds(name, t.shape))
            t.copy_(torch.from_numpy(v).reshape(t.shape))


def images(n, side):
    v = between("pictures", n * 3 * side * side, -2.0, 2.0)
    return torch.from_numpy(v.reshape(n, 3, side, side))


def digest(name, t):
    """Length, and product with a vector of its own: a permutation or a
    changed sign shows."""
    v = t.detach().double().reshape(-1).numpy()
    return (float(np.sqrt((v * v).sum())),
            float((v * between(name + "/probe", v.size, -1, 1)
                   .astype(np.float64)).sum()))


def literal(v):
    s = "%.9g" % v
    return (s if "." in s or "e" in s else s + ".0") + "f"


def emit(name, values):
    print("static const float %s[%d] = {" % (name, len(values)))
    for i in range(0, len(values), 5):
        print("  " + ", ".join(literal(v) for v in values[i:i + 5]) + ",")
    print("};\n")


def emit_digests(name, rows):
    print("static const struct golden_digest %s[%d] = {" % (name, len(rows)))
    for key, (norm, probe) in rows:
        print('  { "%s", %s, %s },' % (key, literal(norm), literal(probe)))
    print("};\n")


def worst(rows, other):
    """Largest difference of digests, as a part of the length."""
    return max(max(abs(a[0] - b[0]), abs(a[1] - b[1])) / a[0]
               for (_, a), (_, b) in zip(rows, other) if a[0] > 1e-12)


# ---- MobileNetV2, float ----------------------------------------------------

def mobilenet(width, dtype):
    m = torchvision.models.mobilenet_v2(weights=None, num_classes=10,
                                        width_mult=width, dropout=0.0)
    fill(m)
    return m.to(dtype)


def forward(width, n, side, dtype=torch.float64):
    m = mobilenet(width, dtype).eval()
    with torch.no_grad():
        return m(images(n, side).to(dtype)).reshape(-1).tolist()


def train(width, n, side, dtype=torch.float64):
    m = mobilenet(width, dtype).train()
    loss = nn.functional.cross_entropy(m(images(n, side).to(dtype)),
                                       torch.arange(n) * 3 % 10)
    loss.backward()
    grads = [(k, digest(k, p.grad)) for k, p in m.named_parameters()]
    stats = [(k, digest(k, b)) for k, b in m.named_buffers()
             if not k.endswith("num_batches_tracked")]
    return loss.item(), grads, stats


def mobilenets():
    for name, width, n, side in (("narrow", 0.25, 4, 64), ("full", 1.0, 2, 96)):
        y = forward(width, n, side)
        y32 = forward(width, n, side, torch.float32)
        print("%s: float32 is off by %.2g of the largest logit, %.3g" % (
            name, max(abs(a - b) for a, b in zip(y, y32))
            / max(map(abs, y)), max(map(abs, y))), file=sys.stderr)
        emit("golden_%s_logits" % name, y)
    loss, grads, stats = train(0.25, 8, 64)
    loss32, grads32, stats32 = train(0.25, 8, 64, torch.float32)
    print("train: float32 is off by %.2g (loss), %.2g (gradients), %.2g "
          "(statistics)" % (abs(loss - loss32), worst(grads, grads32),
                            worst(stats, stats32)), file=sys.stderr)
    emit("golden_narrow_loss", [loss])
    emit_digests("golden_narrow_grads", grads)
    emit_digests("golden_narrow_stats", stats)


# ---- a small network with QAT ----------------------------------------------

class Small(nn.Module):
    """The network of small_network in check_network.c."""

    def __init__(self):
        super().__init__()
        self.quant = tq.QuantStub()

        def block(i, cin, cout, kernel, stride, groups, relu=True):
            setattr(self, "conv%d" % i,
                    nn.Conv2d(cin, cout, kernel, stride, kernel // 2,
                              groups=groups, bias=False))
            setattr(self, "bn%d" % i, nn.BatchNorm2d(cout))
            if relu:
                setattr(self, "relu%d" % i, nn.ReLU())

        block(1, 3, 8, 3, 2, 1)
        block(2, 8, 16, 1, 1, 1)
        block(3, 16, 16, 3, 1, 16)
        block(4, 16, 8, 1, 1, 1, relu=False)
        self.add = nn.quantized.FloatFunctional()
        block(5, 8, 12, 3, 2, 1)
        self.fc = nn.Linear(12 * 4 * 4, 5)

    def forward(self, x):
        x = a = self.relu1(self.bn1(self.conv1(self.quant(x))))
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.relu3(self.bn3(self.conv3(x)))
        x = self.add.add(a, self.bn4(self.conv4(x)))
        x = self.relu5(self.bn5(self.conv5(x)))
        return self.fc(x.permute(0, 2, 3, 1).flatten(1))


STEPS = 3


def quantizers(m):
    """Scale and zero_point of every value: input, conv1 … fc."""
    order = [m.quant, m.conv1, m.conv2, m.conv3, m.conv4, m.add, m.conv5, m.fc]
    q = [x.activation_post_process.calculate_qparams() for x in order]
    return [float(s) for s, _ in q], [int(z) for _, z in q]


def small_qat(onednn):
    torch.backends.mkldnn.enabled = onednn
    m = Small().train()
    fill(m)
    tq.fuse_modules_qat(m, [["conv%d" % i, "bn%d" % i]
                            + ["relu%d" % i] * (i != 4)
                            for i in range(1, 6)], inplace=True)
    m.qconfig = tq.get_default_qat_qconfig("fbgemm", version=0)
    tq.prepare_qat(m, inplace=True)
    opt = torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9)
    x, y = images(8, 16), torch.arange(8) * 3 % 5
    losses, scales, zeros, logits = [], [], [], []
    for _ in range(STEPS):
        opt.zero_grad()
        out = m(x)
        loss = nn.functional.cross_entropy(out, y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
        s, z = quantizers(m)
        scales += s
        zeros += z
        logits += out.reshape(-1).tolist()
    # names of fused modules back to those of the float network
    params = []
    for k, p in m.state_dict().items():
        if "fake_quant" in k or "post_process" in k or "num_batches" in k:
            continue
        if ".bn." in k:
            k = k.replace("conv", "bn").replace(".bn.", ".")
        params.append((k, digest(k, p)))
    weights = [("%s.weight" % n, digest(
        "%s.scales" % n, getattr(m, n).weight_fake_quant.scale))
        for n in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc")]
    torch.backends.mkldnn.enabled = False
    return losses, scales, zeros, logits, params, weights


def small():
    losses, scales, zeros, logits, params, weights = a = small_qat(False)
    b = small_qat(True)
    print("small: with oneDNN PyTorch differs from itself by %.2g (loss), "
          "%.2g (scales), %d zero points, %.2g (logits), %.2g (parameters)"
          % (max(abs(p - q) for p, q in zip(a[0], b[0])),
             max(abs(p / q - 1) for p, q in zip(a[1], b[1])),
             sum(p != q for p, q in zip(a[2], b[2])),
             max(abs(p - q) for p, q in zip(a[3], b[3])),
             worst(a[4], b[4])), file=sys.stderr)
    emit("golden_small_losses", losses)
    emit("golden_small_scales", scales)
    print("static const int golden_small_zeros[%d] = {\n  %s\n};\n" % (
        len(zeros), ",\n  ".join(
            ", ".join(map(str, zeros[i:i + 8]))
            for i in range(0, len(zeros), 8))))
    emit("golden_small_logits", logits)
    emit_digests("golden_small_params", params)
    emit_digests("golden_small_weight_scales", weights)


print("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
      "/* network_golden.h: made by mobilenet_forward.py with PyTorch %s and\n"
      " * torchvision %s. */\n" % (torch.__version__, torchvision.__version__))
print("/* Length of an array, and its product with a known vector. */\n"
      "struct golden_digest {\n  const char *name;\n  float norm, probe;\n"
      "};\n")
mobilenets()
small()
