#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ResNet-20 on CIFAR-10 from scratch: PyTorch's half of cifar.sh.

  torch_cifar.py prepare FOLDER OUT    OUT/train.csv and OUT/val.csv of the
                                       images FOLDER/CLASS/*, every tenth
                                       held out, and OUT/seed-N.onnx, the
                                       network with random weights
  torch_cifar.py train OUT             trains that network on these lists

SGD with momentum, weight decay on everything, half a cosine from step to
step; crops of the image with four black pixels around, mirrored half of the
time; one line of JSON after each epoch.
"""
import argparse
import csv
import json
import math
import sys
import time
import warnings
from pathlib import Path

try:
    import numpy
    import torch
    from PIL import Image
    from torch import nn
    from torch.nn import functional as F
except ImportError as e:
    print("torch_cifar: %s" % e, file=sys.stderr)
    sys.exit(77)


warnings.filterwarnings("ignore")  # of the exporter


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.more = stride, (after - before) // 2

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return F.relu(x + y)


class ResNet20(nn.Module):
    """He et al. 2016, section 4.2: shortcuts without weights."""

    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(
            *[Block(16, 16, 1) for _ in range(3)],
            Block(16, 32, 2), *[Block(32, 32, 1) for _ in range(2)],
            Block(32, 64, 2), *[Block(64, 64, 1) for _ in range(2)])
        self.linear = nn.Linear(64, classes)
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(m.weight)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(self.blocks(x).mean([2, 3]))


def network(seed):
    torch.manual_seed(seed)
    return ResNet20()


def prepare(a):
    folder, out = Path(a.folder), Path(a.out)
    files = sorted(p for p in folder.glob("*/*") if p.is_file())
    if not files:
        sys.exit("torch_cifar: %s: no CLASS/FILE in it" % folder)
    train = [f for i, f in enumerate(files) if i % 10]
    for name, rows in (("train", train[::a.share]), ("val", files[::10])):
        with open(out / (name + ".csv"), "w", newline="") as f:
            f.write("path,class\n")
            f.writelines("%s,%s\n" % (p.resolve(), p.parent.name)
                         for p in rows)
    torch.onnx.export(
        network(a.seed).eval(), torch.zeros(1, 3, 32, 32),
        out / ("seed-%d.onnx" % a.seed), input_names=["x"],
        output_names=["y"], opset_version=13, do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        dynamic_axes={"x": {0: "N"}, "y": {0: "N"}})


def images(path):
    """Bytes (N,3,32,32) and labels (N) of a list."""
    with open(path, newline="") as f:
        rows = list(csv.DictReader(f))
    names = sorted({r["class"] for r in rows})
    x = numpy.stack([numpy.asarray(Image.open(r["path"]).convert("RGB"))
                     for r in rows])
    y = torch.tensor([names.index(r["class"]) for r in rows])
    return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(), y


MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def normalised(x):
    return (x.float() / 255 - MEAN) / STD


def changed(x):
    """RandomCrop (32, padding=4) and RandomHorizontalFlip of each image."""
    n = len(x)
    wide = F.pad(x, (4, 4, 4, 4))
    top, left = torch.randint(9, (2, n))
    mirrored = torch.rand(n) < 0.5
    y = torch.empty_like(x)
    for i in range(n):
        z = wide[i, :, top[i]:top[i] + 32, left[i]:left[i] + 32]
        y[i] = z.flip(2) if mirrored[i] else z
    return y


def untouched(x):
    return x


def evaluate(net, x, y):
    net.eval()
    with torch.no_grad():
        right = sum(int((net(normalised(x[i:i + 250])).argmax(1)
                         == y[i:i + 250]).sum())
                    for i in range(0, len(x), 250))
    return right / len(x)


def train(a):
    torch.set_num_threads(a.threads)
    out = Path(a.out)
    x, y = images(out / "train.csv")
    change = untouched if a.still else changed
    net = network(a.seed)
    opt = torch.optim.SGD(net.parameters(), lr=a.lr, momentum=a.momentum,
                          weight_decay=a.decay)
    per = math.ceil(len(x) / a.batch)
    total = per * a.epochs
    falls = torch.optim.lr_scheduler.LambdaLR(
        opt, lambda t: (1 + math.cos(math.pi * t / total)) / 2)
    v = None if a.still else images(out / "val.csv")
    torch.manual_seed(a.seed)
    for epoch in range(a.epochs):
        net.train()
        start, loss = time.time(), 0.0
        for i in torch.randperm(len(x)).split(a.batch):
            opt.zero_grad()
            e = F.cross_entropy(net(normalised(change(x[i]))), y[i])
            e.backward()
            opt.step()
            falls.step()
            loss += e.item() * len(i)
        took = time.time() - start
        print(json.dumps({"epoch": epoch + 1, "loss": round(loss / len(x), 6),
                          "top1": v and round(evaluate(net, *v), 4),
                          "seconds": round(took, 1)}), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("what", choices=["prepare", "train"])
    p.add_argument("folder", nargs="?")
    p.add_argument("out")
    for name, value in (("seed", 1), ("epochs", 10), ("batch", 128),
                        ("threads", 2), ("share", 1)):
        p.add_argument("--" + name, type=int, default=value)
    for name, value in (("lr", 0.1), ("momentum", 0.9), ("decay", 5e-4)):
        p.add_argument("--" + name, type=float, default=value)
    p.add_argument("--still", action="store_true",
                   help="images as they are; no evaluation")
    a = p.parse_args()
    prepare(a) if a.what == "prepare" else train(a)


main()
