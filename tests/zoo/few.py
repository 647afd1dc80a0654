# SPDX-License-Identifier: LGPL-2.1-or-later
"""What networks of a few layers have in common: few_written.py and
few_blocks.py have them, pieces.py tries them."""
from torch import nn

PIECES = {}
IMAGE = (3, 24, 24)


def piece(*shape):
    """Enter a class into PIECES; SHAPE is that of one sample."""
    def enter(cls):
        PIECES[cls.__name__] = (cls, shape or IMAGE)
        return cls
    return enter


class Conv(nn.Sequential):
    """Convolution, batch-norm and, unless it is None, a function."""
    def __init__(self, i, o, k=3, s=1, act=nn.ReLU, **more):
        super().__init__(nn.Conv2d(i, o, k, s, k // 2, bias=False, **more),
                         nn.BatchNorm2d(o), act() if act else nn.Identity())


class Head(nn.Module):
    """A stem, what BODY makes of its 16 channels, and ten numbers."""
    def __init__(self, stride=2):
        super().__init__()
        self.stem = Conv(3, 16, s=stride)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))
