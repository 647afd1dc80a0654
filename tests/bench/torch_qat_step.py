#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Time training steps of torchvision's network in PyTorch, float or QAT.

The counterpart of "qatkit bench --train", started by qat-step.sh: random
samples, batch statistics, observers on, SGD with momentum.  QAT is
torchvision's quantizable model, fused, with the default qconfig for fbgemm,
or, where there is none, the network by FX mode with the same qconfig.
--write FILE: only write the network as ONNX, with batch-norm apart.
Prints milliseconds (best, median) of a step and its parts.
"""
import argparse
import os
import resource
import sys
import time
import warnings

try:
    import torch
    import torch.ao.quantization.quantize_fx
    import torchvision
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.join(os.path.dirname(
        os.path.abspath(__file__)), '..', 'zoo'))
    import nets
except ImportError as e:
    print("torch_qat_step: %s" % e, file=sys.stderr)
    sys.exit(77)

warnings.filterwarnings("ignore")


def build(a):
    if a.mode == "float":
        return nets.made(a.model, a.classes).train()
    if not hasattr(torchvision.models.quantization, a.model):
        return torch.ao.quantization.quantize_fx.prepare_qat_fx(
            nets.made(a.model, a.classes).train(),
            torch.ao.quantization.get_default_qat_qconfig_mapping("fbgemm"),
            (torch.rand(2, 3, a.size, a.size),))
    m = getattr(torchvision.models.quantization, a.model)(
        weights=None, quantize=False, num_classes=a.classes).train()
    m.fuse_model(is_qat=True)
    m.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    return torch.ao.quantization.prepare_qat(m, inplace=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--mode", choices=["float", "qat"], default="qat")
    p.add_argument("--model", default="mobilenet_v2")
    p.add_argument("--channels-last", action="store_true")
    p.add_argument("--write", metavar="FILE")
    for name, value in (("size", 160), ("batch", 30), ("classes", 10),
                        ("threads", 2), ("steps", 5)):
        p.add_argument("--" + name, type=int, default=value)
    a = p.parse_args()
    if a.write:
        nets.write(nets.network(a.model, 1e9, a.classes),
                   torch.rand(1, 3, a.size, a.size), a.write, 13, True)
        return
    torch.manual_seed(1)
    torch.set_num_threads(a.threads)
    layout = torch.channels_last if a.channels_last \
        else torch.contiguous_format
    m = build(a).to(memory_format=layout)
    opt = torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.9,
                          weight_decay=1e-4)
    x = (torch.rand(a.batch, 3, a.size, a.size) * 4 - 2).to(
        memory_format=layout)
    y = torch.arange(a.batch) * 7 % a.classes
    rows = []
    for _ in range(a.steps + 1):
        t0 = time.perf_counter()
        opt.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(m(x), y)
        t1 = time.perf_counter()
        loss.backward()
        t2 = time.perf_counter()
        opt.step()
        t3 = time.perf_counter()
        rows.append((t1 - t0, t2 - t1, t3 - t2, t3 - t0))
    line = "%-5s" % a.mode
    for name, ms in zip(("forward", "backward", "optimizer", "step"),
                        zip(*rows[1:])):
        ms = sorted(ms)
        line += "  %s_ms %.1f %.1f" % (name, 1e3 * ms[0],
                                       1e3 * ms[len(ms) // 2])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    best = min(r[3] for r in rows[1:])
    print(line + "  samples_s %.1f  peak_mib %d" % (a.batch / best, peak))


main()
