# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the state dict of a small network as PyTorch does (pth/cnn.pth; in a
larger dictionary and with other strides: pth/training.pth) and the same
numbers as pth/cnn.safetensors, written by hand.  Made with PyTorch 1.13."""
import json
import os
import struct

import torch
from torch import nn

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pth")


class Cnn(nn.Module):
    """The model plugin cnn with channels=4, depth=1."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 10)


def main():
    os.makedirs(HERE, exist_ok=True)
    torch.manual_seed(1)
    m = Cnn()
    nn.init.normal_(m.bn1.running_mean)
    nn.init.uniform_(m.bn1.running_var, 0.5, 2)
    with torch.no_grad():              # 7 bits, which half and bfloat16 have
        for t in list(m.parameters()) + [m.bn1.running_mean,
                                         m.bn1.running_var]:
            t.copy_((t * 64).round().clamp(-127, 127) / 64)
    state = m.state_dict()
    torch.save(state, os.path.join(HERE, "cnn.pth"))
    strange = {k: v.clone() for k, v in state.items()}
    strange["conv1.weight"] = strange["conv1.weight"].to(
        memory_format=torch.channels_last)
    strange["fc.weight"] = strange["fc.weight"].t().contiguous().t()
    both = torch.cat([strange["bn1.weight"], strange["bn1.bias"]])
    strange["bn1.weight"], strange["bn1.bias"] = both[:4], both[4:]
    strange["fc.bias"] = nn.Parameter(strange["fc.bias"])
    torch.save({"epoch": 3, "lr": 0.1, "done": [True, 2.5],
                "state_dict": strange}, os.path.join(HERE, "training.pth"))
    header, data = {}, b""
    for name, t in state.items():
        raw = t.numpy().tobytes()
        header[name] = {"dtype": {torch.float32: "F32",
                                  torch.int64: "I64"}[t.dtype],
                        "shape": list(t.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(os.path.join(HERE, "cnn.safetensors"), "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


main()
