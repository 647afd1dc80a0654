#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The input pipeline of torchvision with PIL on the samples bench_input
reads, one thread: one line of JSON for training and for evaluation."""
import json
import random
import sys
import time
from pathlib import Path

import torch
import torchvision.transforms as T
from PIL import Image

folder, crop, resize, rounds, pad = sys.argv[1], *map(int, sys.argv[2:6])
rotate, translate = map(float, sys.argv[6:8])
change = []
if translate > 0:
    change = [T.RandomAffine(rotate, (translate, translate), interpolation=T.InterpolationMode.BILINEAR)]
elif rotate > 0:
    change = [T.RandomRotation(rotate, T.InterpolationMode.BILINEAR)]
torch.set_num_threads(1)
files = sorted(p for p in Path(folder).glob("*/*")
               if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
finish = [T.ToTensor(), T.Normalize([.485, .456, .406], [.229, .224, .225])]
pipelines = {
    "train": T.Compose([
        *([T.RandomResizedCrop(crop)] if pad < 0 else
          [*([] if resize == crop else [T.Resize(resize)]),
           T.RandomCrop(crop, padding=pad)]),
        T.RandomHorizontalFlip(), *change, *finish]),
    "val": T.Compose([T.Resize(resize), T.CenterCrop(crop), *finish]),
}
for what, transform in pipelines.items():
    best = None
    for _ in range(rounds):
        random.seed(1)
        torch.manual_seed(1)
        start = time.process_time()
        for f in files:
            transform(Image.open(f).convert("RGB"))
        took = time.process_time() - start
        best = took if best is None else min(best, took)
    print(json.dumps({"who": "torchvision", "what": what, "threads": 1,
                      "samples": len(files),
                      "samples_per_second": round(len(files) / best, 1)}),
          flush=True)
