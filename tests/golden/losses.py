# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints losses.h: losses and gradients by PyTorch 1.13, its own where it has
the loss, else its autograd of the formula in the loss's paper."""
import torch
import torch.nn.functional as F

torch.manual_seed(3)
Z = 2 * torch.randn(4, 5)
T = torch.rand(4, 5)
HARD = (torch.rand(4, 5) < 0.4).float()
FAR = Z + 1.5 * torch.randn(4, 5)
DENSE = 2 * torch.randn(2, 3, 2, 3)
LABEL = torch.tensor([3, 0, 4, 1])
DENSE_LABEL = torch.tensor([[[0, 1], [2, 2], [1, 1]], [[0, -1], [0, 0], [2, -1]]])


def focal(z, label, gamma):
    log_p = F.log_softmax(z, -1).gather(1, label[:, None])[:, 0]
    return (-(1 - log_p.exp()) ** gamma * log_p).mean()


def dice(z, label, smooth):
    c = z.shape[-1]
    p, t = z.softmax(-1).flatten(1, 2), label.flatten(1)
    counts = (t >= 0).float()[..., None]
    one = F.one_hot(t.clamp(0), c) * counts
    p = p * counts
    a, b = (p * one).sum(1), (p + one).sum(1)
    return (1 - ((2 * a + smooth) / (b + smooth)).mean(1)).mean()


CASES = [
    ("bce", "", Z, T, F.binary_cross_entropy_with_logits),
    ("bce", "positive_weight=3", Z, HARD,
     lambda z, t: F.binary_cross_entropy_with_logits(
         z, t, pos_weight=torch.full((5,), 3.0))),
    ("huber", "", Z, FAR, F.huber_loss),
    ("huber", "delta=0.5", Z, FAR, lambda z, t: F.huber_loss(z, t, delta=0.5)),
    ("softmax_cross_entropy", "class_weights=1,0.5,3,0,2", Z, LABEL,
     lambda z, t: F.cross_entropy(z, t, weight=torch.tensor(
         [1, 0.5, 3, 0, 2]))),
    ("softmax_cross_entropy",
     "class_weights=1,0.5,3,0,2 label_smoothing=0.2", Z, LABEL,
     lambda z, t: F.cross_entropy(z, t, weight=torch.tensor(
         [1, 0.5, 3, 0, 2]), label_smoothing=0.2)),
    ("focal", "", Z, LABEL, lambda z, t: focal(z, t, 2)),
    ("focal", "gamma=0.5", Z, LABEL, lambda z, t: focal(z, t, 0.5)),
    ("focal", "gamma=0", Z, LABEL, F.cross_entropy),
    ("dice", "", DENSE, DENSE_LABEL, lambda z, t: dice(z, t, 1)),
    ("dice", "smooth=0.01", DENSE, DENSE_LABEL,
     lambda z, t: dice(z, t, 0.01)),
]


def numbers(x):
    def text(v):
        s = "%.9g" % v
        return s + ("f" if "." in s or "e" in s else "")

    return ", ".join(text(v) for v in x.detach().double().reshape(-1))


def main():
    print("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
          "/* Made by tests/golden/losses.py; do not edit. */\n\n"
          "static const struct golden_loss golden_losses[] = {")
    for name, options, z, t, fn in CASES:
        z = z.double().requires_grad_()
        t = t.double() if t.is_floating_point() else t
        if "class_weights" in options:
            z = z.detach().float().requires_grad_()
        if "positive_weight" in options:
            z = z.detach().float().requires_grad_()
            t = t.float()
        loss = fn(z, t)
        loss.backward()
        shape = ", ".join(str(v) for v in z.shape)
        print('  { "%s", "%s", { %d, { %s } },\n    { %s },\n    %s,\n    '
              '{ %s },\n    %s,\n    { %s } },' % (
                  name, options, z.dim(), shape, numbers(z),
                  "true" if t.is_floating_point() else "false", numbers(t),
                  "%.17g" % loss, numbers(z.grad)))
    print("};")


main()
