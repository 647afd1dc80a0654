# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks of a few layers, each with what published networks are known
for."""
import torch
import torch.nn.functional as F
from torch import nn

from few import Conv, Head, piece


@piece()
class SplitAttention(Head):
    """Softmax over two branches (ResNeSt)."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 32, 3, 1, 1, groups=2, bias=False)
        self.bn = nn.BatchNorm2d(32)
        self.fc1, self.fc2 = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 32, 1)

    def body(self, x):
        y = torch.relu(self.bn(self.conv(x)))
        n, c, h, w = y.shape
        y = y.view(n, 2, c // 2, h, w)
        gap = y.sum(1).mean((2, 3), keepdim=True)
        a = self.fc2(torch.relu(self.fc1(gap)))
        a = a.view(n, 1, 2, -1).transpose(1, 2).softmax(1).reshape(n, -1)
        return (y * a.view(n, 2, c // 2, 1, 1)).sum(1) + x


@piece()
class ChannelConv(Head):
    """A 1-D convolution over channels as attention (ECA)."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def body(self, x):
        y = x.mean((2, 3)).view(x.shape[0], 1, -1)
        return x * torch.sigmoid(self.conv(y)).view(x.shape[0], -1, 1, 1)


@piece()
class SpatialAttention(Head):
    """Mean and maximum over channels (CBAM)."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.fc = nn.Sequential(nn.Conv2d(16, 4, 1), nn.ReLU(),
                                nn.Conv2d(4, 16, 1))

    def body(self, x):
        x = x * torch.sigmoid(self.fc(x.mean((2, 3), keepdim=True))
                              + self.fc(x.amax((2, 3), keepdim=True)))
        y = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return x * torch.sigmoid(self.conv(y))


@piece()
class CrossCovariance(Head):
    """Attention between channels, normalised rows, a learnt temperature
    (XCiT)."""
    def __init__(self):
        super().__init__(4)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.temperature = nn.Parameter(torch.ones(4, 1, 1))

    def body(self, x):
        n, c, h, w = x.shape
        y = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(y).reshape(n, h * w, 3, 4, 4).permute(
            2, 0, 3, 4, 1).unbind(0)
        a = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        a = (a * self.temperature).softmax(-1)
        y = (a @ v).permute(0, 3, 1, 2).reshape(n, h * w, c)
        return x + self.out(y).transpose(1, 2).reshape(n, c, h, w)


@piece()
class TalkingHeads(Head):
    """Linear layers over the heads before and after softmax (CaiT)."""
    def __init__(self):
        super().__init__(4)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.before, self.after = nn.Linear(4, 4), nn.Linear(4, 4)
        self.gamma = nn.Parameter(0.1 * torch.ones(16))

    def body(self, x):
        n, c, h, w = x.shape
        y = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(y).reshape(n, -1, 3, 4, 4).permute(
            2, 0, 3, 1, 4).unbind(0)
        a = (q * 0.5) @ k.transpose(-2, -1)
        a = self.before(a.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).softmax(-1)
        a = self.after(a.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        z = (a @ v).transpose(1, 2).reshape(n, -1, c)
        y = y + self.gamma * self.out(z)
        return y.transpose(1, 2).reshape(n, c, h, w)


@piece()
class Patches(Head):
    """Attention among pixels at the same place of 2 by 2 patches
    (MobileViT)."""
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, 0.0,
                                                batch_first=True)

    def body(self, x):
        n, c, h, w = x.shape
        y = x.reshape(n * c * h // 2, 2, w // 2, 2).transpose(1, 2)
        y = y.reshape(n, c, h * w // 4, 4).transpose(1, 3)
        y = y.reshape(n * 4, h * w // 4, c)
        y = y + torch.tanh(y)
        y = y.contiguous().view(n, 4, h * w // 4, c).transpose(1, 3)
        y = y.reshape(n * c * h // 2, w // 2, 2, 2).transpose(1, 2)
        return y.reshape(n, c, h, w)


@piece()
class Pooling(Head):
    """A mean of neighbours instead of attention (PoolFormer)."""
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(1, 16)
        self.scale = nn.Parameter(0.1 * torch.ones(16))

    def body(self, x):
        y = self.norm(x)
        y = F.avg_pool2d(y, 3, 1, 1, count_include_pad=False) - y
        return x + y * self.scale.view(1, -1, 1, 1)


@piece()
class Steps(Head):
    """Groups of channels one after the other (Res2Net)."""
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(Conv(4, 4) for _ in range(3))

    def body(self, x):
        parts = torch.split(x, 4, 1)
        out, y = [parts[0]], parts[0]
        for conv, p in zip(self.convs, parts[1:]):
            y = conv(y + p)
            out.append(y)
        return torch.cat(out, 1) + x


@piece()
class Standardised(Head):
    """Weights standardised in the network (BiT, NFNet)."""
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(16, 16, 3, 3))
        self.gain = nn.Parameter(torch.ones(16, 1, 1, 1))
        self.norm = nn.GroupNorm(4, 16)

    def body(self, x):
        v, m = torch.var_mean(self.w, (1, 2, 3), keepdim=True)
        w = (self.w - m) * torch.rsqrt(v + 1e-5) * self.gain
        return F.conv2d(F.relu(self.norm(x)), w, padding=1) + x


@piece()
class LargeFields(nn.Module):
    """Features of three sizes, added and resized (U-Net, HRNet, FPN)."""
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = Conv(3, 8), Conv(8, 16, s=2), Conv(16, 16,
                                                                   s=2)
        self.up = nn.ConvTranspose2d(16, 16, 2, 2)
        self.lateral, self.last = Conv(24, 8), nn.Conv2d(8, 5, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.b(a)
        b = b + self.up(self.c(b))
        up = F.interpolate(b, size=a.shape[2:], mode='bilinear',
                           align_corners=True)
        return self.last(self.lateral(torch.cat((a, up), 1)))


@piece()
class Pyramid(nn.Module):
    """Means over a few grids, resized (PSPNet), and atrous ones (DeepLab)."""
    def __init__(self):
        super().__init__()
        self.stem = Conv(3, 16, s=2)
        self.pools = nn.ModuleList(nn.Sequential(
            nn.AdaptiveAvgPool2d(k), nn.Conv2d(16, 4, 1), nn.ReLU())
            for k in (1, 2, 3, 6))
        self.atrous = nn.Conv2d(16, 8, 3, padding=2, dilation=2)
        self.last = nn.Conv2d(40, 4, 1)

    def forward(self, x):
        y = self.stem(x)
        parts = [y, self.atrous(y)] + [
            F.interpolate(p(y), size=y.shape[2:], mode='bilinear',
                          align_corners=False) for p in self.pools]
        y = self.last(torch.cat(parts, 1))
        return F.interpolate(y, scale_factor=2, mode='nearest')


@piece()
class BoxesOfGrids(nn.Module):
    """Boxes of anchors at the places of a grid (YOLO v5)."""
    def __init__(self):
        super().__init__()
        self.stem, self.head = Conv(3, 16, s=4, act=nn.SiLU), nn.Conv2d(
            16, 21, 1)
        y, x = torch.meshgrid(torch.arange(6.), torch.arange(6.),
                              indexing='ij')
        self.register_buffer('grid', torch.stack((x, y), 2).expand(
            1, 3, 6, 6, 2) - 0.5)
        self.register_buffer('anchor', torch.tensor(
            [[1., 2.], [2., 1.], [3., 3.]]).view(1, 3, 1, 1, 2).expand(
            1, 3, 6, 6, 2))

    def forward(self, x):
        y = self.head(self.stem(x))
        n = y.shape[0]
        y = y.view(n, 3, 7, 6, 6).permute(0, 1, 3, 4, 2).contiguous()
        xy, wh, c = y.sigmoid().split((2, 2, 3), 4)
        xy = (xy * 2 + self.grid) * 4
        wh = (wh * 2) ** 2 * self.anchor
        return torch.cat((xy, wh, c), 4).view(n, -1, 7)


@piece()
class BoxesOfDistributions(nn.Module):
    """Distances as means of distributions (YOLO v8)."""
    def __init__(self):
        super().__init__()
        self.stem, self.head = Conv(3, 16, s=4, act=nn.SiLU), nn.Conv2d(
            16, 35, 1)
        self.dfl = nn.Conv2d(8, 1, 1, bias=False)
        self.dfl.weight.data[:] = torch.arange(8.).view(1, 8, 1, 1)
        y, x = torch.meshgrid(torch.arange(6.) + .5, torch.arange(6.) + .5,
                              indexing='ij')
        self.register_buffer('points', torch.stack((x, y)).view(1, 2, 36))

    def forward(self, x):
        y = self.head(self.stem(x))
        n = y.shape[0]
        box, cls = y.view(n, 35, -1).split((32, 3), 1)
        box = self.dfl(box.view(n, 4, 8, -1).transpose(2, 1).softmax(1))
        lt, rb = box.view(n, 4, -1).chunk(2, 1)
        a, b = self.points - lt, self.points + rb
        return torch.cat(((a + b) / 2 * 4, (b - a) * 4, cls.sigmoid()), 1)


@piece(3, 32, 48)
class TextLines(nn.Module):
    """Features of columns, mixed by attention, and letters for each (SVTR)."""
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(Conv(3, 16, s=2, act=nn.Hardswish),
                                  Conv(16, 32, s=(2, 1), act=nn.Hardswish))
        self.norm, self.qkv = nn.LayerNorm(32, 1e-6), nn.Linear(32, 96)
        self.proj, self.letters = nn.Linear(32, 32), nn.Linear(32, 37)

    def forward(self, x):
        y = self.stem(x)
        y = F.avg_pool2d(y, (8, 2))
        y = y.squeeze(2).permute(0, 2, 1)
        q, k, v = self.qkv(self.norm(y)).reshape(
            -1, 12, 3, 4, 8).permute(2, 0, 3, 1, 4)
        a = F.softmax(q * 8 ** -0.5 @ k.permute(0, 1, 3, 2), -1)
        y = y + self.proj((a @ v).permute(0, 2, 1, 3).reshape(-1, 12, 32))
        return F.softmax(self.letters(y), 2)


@piece()
class Binarised(nn.Module):
    """Two maps of probabilities and a steep step (DBNet)."""
    def __init__(self):
        super().__init__()
        self.stem = Conv(3, 16, s=4)
        def head():
            return nn.Sequential(
                nn.Conv2d(16, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4),
                nn.ReLU(), nn.ConvTranspose2d(4, 4, 2, 2), nn.BatchNorm2d(4),
                nn.ReLU(), nn.ConvTranspose2d(4, 1, 2, 2), nn.Sigmoid())
        self.p, self.t = head(), head()

    def forward(self, x):
        y = self.stem(x)
        p, t = self.p(y), self.t(y)
        return torch.reciprocal(1 + torch.exp(-5 * (p - t)))


@piece(1, 160)
class Samples1d(nn.Module):
    """Causal dilated convolutions with gates (WaveNet, TCN)."""
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(1, 16, 8, 4)
        self.convs = nn.ModuleList(nn.Conv1d(16, 32, 2, dilation=d)
                                   for d in (1, 2, 4))
        self.ones = nn.ModuleList(nn.Conv1d(16, 16, 1) for _ in range(3))
        self.last = nn.Conv1d(16, 6, 1)

    def forward(self, x):
        y, skip = self.stem(x), 0
        for conv, one in zip(self.convs, self.ones):
            d = conv.dilation[0]
            z = conv(F.pad(y, (d, 0)))
            a, b = z.chunk(2, 1)
            z = one(torch.tanh(a) * torch.sigmoid(b))
            y, skip = y + z, skip + z
        return self.last(F.relu(skip)).mean(-1)


@piece(20)
class Tabular(nn.Module):
    """Rows of numbers: batch-norm first, and a product of pairs
    (factorisation machine)."""
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(20)
        self.v = nn.Parameter(0.1 * torch.randn(20, 8))
        self.mlp = nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32),
                                 nn.SELU(), nn.Dropout(0.1), nn.Linear(32, 1))

    def forward(self, x):
        x = self.norm(x)
        pairs = (x @ self.v) ** 2 - (x ** 2) @ (self.v ** 2)
        return self.mlp(x) + 0.5 * pairs.sum(1, keepdim=True)


@piece()
class KeyPoints(nn.Module):
    """Where heat maps lie, as means of coordinates (soft argmax)."""
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(Conv(3, 16, s=2), nn.Conv2d(16, 5, 1))
        self.register_buffer('at', torch.linspace(-1, 1, 12))

    def forward(self, x):
        y = self.net(x)
        p = (4 * y).flatten(2).softmax(-1).view(-1, 5, 12, 12)
        return torch.stack(((p.sum(2) * self.at).sum(-1),
                            (p.sum(3) * self.at).sum(-1)), -1)


@piece()
class Reparameterised(Head):
    """Branches with batch-norm of their own, one of them without a
    convolution (RepVGG)."""
    def __init__(self):
        super().__init__()
        self.a, self.b = Conv(16, 16, act=None), Conv(16, 16, 1, act=None)
        self.c = nn.BatchNorm2d(16)

    def body(self, x):
        return torch.relu(self.a(x) + self.b(x) + self.c(x))


@piece()
class Ghost(Head):
    """Half of the channels made of the other half, cut (GhostNet)."""
    def __init__(self):
        super().__init__()
        self.a, self.b = Conv(16, 9, 1), Conv(9, 9, 3, groups=9)

    def body(self, x):
        a = self.a(x)
        return torch.cat((a, self.b(a)), 1)[:, :16, :, :] + x


@piece()
class Spatial(Head):
    """A linear layer over places, as a gate (gMLP)."""
    def __init__(self):
        super().__init__(4)
        self.a, self.b = nn.Linear(16, 32), nn.Linear(16, 16)
        self.norm, self.over = nn.LayerNorm(16), nn.Conv1d(36, 36, 1)

    def body(self, x):
        n, c, h, w = x.shape
        y = x.flatten(2).transpose(1, 2)
        u, v = F.gelu(self.a(y)).chunk(2, -1)
        y = y + self.b(u * self.over(self.norm(v)))
        return y.transpose(1, 2).reshape(n, c, h, w)


@piece()
class Biased(Head):
    """Attention with a bias looked up for each pair (LeViT), batch-norm after
    linear layers."""
    def __init__(self):
        super().__init__(4)
        self.qkv, self.bn = nn.Linear(16, 64, bias=False), nn.BatchNorm1d(64)
        self.out, self.bn2 = nn.Linear(32, 16, bias=False), nn.BatchNorm1d(16)
        self.bias = nn.Parameter(torch.randn(4, 36))
        p = [(i, j) for i in range(6) for j in range(6)]
        self.register_buffer('at', torch.tensor(
            [[abs(a[0] - b[0]) * 6 + abs(a[1] - b[1]) for b in p] for a in p]))

    def body(self, x):
        n, c, h, w = x.shape
        y = x.flatten(2).transpose(1, 2)
        z = self.qkv(y)
        z = self.bn(z.flatten(0, 1)).reshape_as(z)
        q, k, v = z.view(n, h * w, 4, -1).split([4, 4, 8], 3)
        q, k, v = q.permute(0, 2, 1, 3), k.permute(0, 2, 3, 1), v.permute(
            0, 2, 1, 3)
        a = (q @ k * 0.5 + self.bias[:, self.at]).softmax(-1)
        z = F.hardswish((a @ v).transpose(1, 2).reshape(n, h * w, 32))
        z = self.out(z)
        y = y + self.bn2(z.flatten(0, 1)).reshape_as(z)
        return y.transpose(1, 2).reshape(n, c, h, w)


@piece()
class Twice(Head):
    """The same layers used twice, with shared weights (RetinaNet's heads,
    ALBERT)."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)

    def body(self, x):
        y = torch.relu(self.conv(x))
        z = torch.relu(self.conv(F.max_pool2d(y, 2, 2)))
        return y + F.interpolate(z, scale_factor=2.0, mode='bilinear',
                                 align_corners=False)


@piece()
class Focal(Head):
    """Sums of ever wider means, gated (FocalNet)."""
    def __init__(self):
        super().__init__()
        self.f, self.h, self.proj = nn.Linear(16, 35), nn.Conv2d(
            16, 16, 1), nn.Linear(16, 16)
        self.wide = nn.ModuleList(nn.Sequential(nn.Conv2d(
            16, 16, k, 1, k // 2, groups=16, bias=False), nn.GELU())
            for k in (3, 5))

    def body(self, x):
        q, ctx, gates = torch.split(
            self.f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), (16, 16, 3), 1)
        total = 0
        for i, layer in enumerate(self.wide):
            ctx = layer(ctx)
            total = total + ctx * gates[:, i:i + 1]
        total = total + F.gelu(ctx.mean(2, keepdim=True).mean(
            3, keepdim=True)) * gates[:, 2:]
        y = q * self.h(total)
        return x + self.proj(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
