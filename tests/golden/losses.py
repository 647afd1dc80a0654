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
G = torch.Generator().manual_seed(4)
EMBEDDED = torch.randn(7, 4, generator=G)
OF_THREE = torch.tensor([0, 1, 2, 0, 1, 1, 0])
SOME_OF_THREE = torch.tensor([0, 1, -1, 0, 1, 1, 2])
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


def all_pairs(z, label, margin):
    i, j = torch.triu_indices(len(z), len(z), 1)
    keep = (label[i] >= 0) & (label[j] >= 0)
    i, j = i[keep], j[keep]
    same = torch.where(label[i] == label[j], 1, -1)
    return F.cosine_embedding_loss(z[i], z[j], same, margin=margin)


def all_triplets(z, label, margin, p=2):
    n = range(len(z))
    at = [(a, p, n_) for a in n for p in n for n_ in n if a != p
          and label[a] == label[p] != label[n_] and label[a] >= 0
          and label[n_] >= 0]
    a, p, q = (torch.tensor(v) for v in zip(*at))
    return F.triplet_margin_loss(z[a], z[p], z[q], margin=margin, eps=0)


def hard_triplets(z, label, margin):
    d = (z[:, None] - z[None]).pow(2).sum(-1).clamp(1e-30).sqrt()
    same = label[:, None] == label[None]
    own = same & ~torch.eye(len(z), dtype=torch.bool)
    far = torch.where(own, d, torch.tensor(-1.0).double()).max(1)[0]
    near = torch.where(~same, d, torch.tensor(1e9).double()).min(1)[0]
    return F.relu(margin + far - near)[own.any(1) & ~same.all(1)].mean()


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
    ("cosine_embedding", "", EMBEDDED, OF_THREE,
     lambda z, t: all_pairs(z, t, 0)),
    ("cosine_embedding", "margin=0.4", EMBEDDED, SOME_OF_THREE,
     lambda z, t: all_pairs(z, t, 0.4)),
    ("triplet", "", EMBEDDED, OF_THREE,
     lambda z, t: hard_triplets(F.normalize(z), t, 0.3)),
    ("triplet", "normalize=no margin=1", EMBEDDED, OF_THREE,
     lambda z, t: hard_triplets(z, t, 1)),
    ("triplet", "mining=all", EMBEDDED, OF_THREE,
     lambda z, t: all_triplets(F.normalize(z), t, 0.3)),
    ("triplet", "mining=all normalize=no margin=1", EMBEDDED, SOME_OF_THREE,
     lambda z, t: all_triplets(z, t, 1)),
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
