#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Seconds that PyTorch takes for post-training quantization of torchvision's
quantizable network: calibration on random samples and conversion, the
counterpart of "qatkit ptq"; started by ptq.sh."""
import argparse
import sys
import time
import warnings

try:
    import torch
    import torchvision
except ImportError as e:
    print("torch_ptq: %s" % e, file=sys.stderr)
    sys.exit(77)

warnings.filterwarnings("ignore")
p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--model", default="mobilenet_v2")
for name, value in (("size", 224), ("batch", 32), ("batches", 10),
                    ("threads", 2)):
    p.add_argument("--" + name, type=int, default=value)
a = p.parse_args()
torch.manual_seed(1)
torch.set_num_threads(a.threads)
m = getattr(torchvision.models.quantization, a.model)(
    weights=None, quantize=False).eval()
m.fuse_model()
m.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
x = torch.rand(a.batch, 3, a.size, a.size) * 4 - 2
with torch.no_grad():
    m(x)  # memory and threads are there
    start = time.perf_counter()
    torch.ao.quantization.prepare(m, inplace=True)
    for _ in range(a.batches):
        m(x)
    calibrated = time.perf_counter()
    torch.ao.quantization.convert(m, inplace=True)
    end = time.perf_counter()
print("%.3f %.3f" % (calibrated - start, end - calibrated))
