# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks of a few layers, each with something that PyTorch writes into ONNX
files in a way of its own."""
import torch
import torch.nn.functional as F
from torch import nn

from few import Conv, Head, piece


@piece(16, 32)
class EncoderBatchFirst(nn.Module):
    """The batch merged behind the tokens before the output projection."""
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, 'gelu',
                                           batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.place = nn.Parameter(0.1 * torch.randn(1, 16, 32))
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.encoder(x + self.place)[:, 0])


@piece(16, 32)
class EncoderTokensFirst(nn.Module):
    """The same with the batch as second axis and norms before."""
    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(32, 2, 64, 0.0,
                                                  norm_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.encoder(x.transpose(0, 1)).mean(0))


@piece()
class ClassToken(nn.Module):
    """A constant repeated for each sample and put before the tokens."""
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0,
                                                batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        token = self.token.expand(x.shape[0], -1, -1)
        return self.head(self.layer(torch.cat([token, x], 1))[:, 0])


@piece()
class LearntQueries(nn.Module):
    """Products of constants, repeated for each sample."""
    def __init__(self):
        super().__init__()
        self.stem = Conv(3, 16, s=4)
        self.query = nn.Parameter(torch.randn(1, 5, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        query = self.query.expand(x.shape[0], -1, -1)
        return self.head(self.attention(query, x, x)[0])


@piece()
class GroupNorm(Head):
    """InstanceNormalization between two Reshapes."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.norm = nn.GroupNorm(4, 16)

    def body(self, x):
        return F.relu(x + self.norm(self.conv(x)))


@piece()
class Style(nn.Module):
    """Reflection, instance norms with numbers of their own, upsampling."""
    def __init__(self):
        super().__init__()
        self.pad = nn.ReflectionPad2d(2)
        self.first = nn.Conv2d(3, 8, 5)
        self.norm = nn.InstanceNorm2d(8, affine=True)
        self.down = nn.Conv2d(8, 8, 3, 2, 1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.norm(self.first(self.pad(x))))
        return self.last(F.interpolate(F.relu(self.down(x)), scale_factor=2))


@piece(3, 33, 47)
class ToSize(nn.Module):
    """Resize to the size of another tensor, of odd sizes."""
    def __init__(self):
        super().__init__()
        self.down, self.deep = Conv(3, 8, s=2), Conv(8, 8, s=2)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, x):
        a = self.down(x)
        b = F.interpolate(self.deep(a), size=a.shape[2:], mode='bilinear',
                          align_corners=False)
        return F.interpolate(self.head(torch.cat([a, b], 1)),
                             size=x.shape[2:])


@piece()
class ClampAtTheEnd(nn.Module):
    """An output with a bound."""
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Conv(3, 8), Conv(8, 4))

    def forward(self, x):
        return self.body(x)


@piece()
class MeansOneByOne(Head):
    """Axes reduced one after the other."""
    def forward(self, x):
        return self.head(self.stem(x).mean(-1).mean(-1))


@piece()
class SelectiveKernel(Head):
    """Branches stacked to a tensor of five axes, weighed and summed."""
    def __init__(self):
        super().__init__()
        self.other = nn.Conv2d(16, 16, 3, padding=2, dilation=2)
        self.squeeze = nn.Conv2d(16, 8, 1)
        self.choose = nn.Conv2d(8, 32, 1)

    def body(self, x):
        both = torch.stack([x, F.relu(self.other(x))], 1)
        z = F.relu(self.squeeze(both.sum(1).mean((2, 3), keepdim=True)))
        z = self.choose(z).view(-1, 2, 16, 1, 1)
        return (both * F.softmax(z, 1)).sum(1)


@piece()
class Mixer(nn.Module):
    """Linear layers along both axes, a mean over tokens."""
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 6, 6)
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.tokens = nn.Sequential(nn.Linear(16, 24), nn.GELU(),
                                    nn.Linear(24, 16))
        self.channels = nn.Sequential(nn.Linear(32, 64), nn.GELU(),
                                      nn.Linear(64, 32))
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return self.head((x + self.channels(self.norm2(x))).mean(1))


@piece()
class ChannelNorm(nn.Module):
    """Normalised over the channels of an image, one weight for each."""
    def __init__(self):
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 16, 3, 2), nn.Conv2d(16, 16, 3)
        self.weight = nn.Parameter(torch.linspace(0.5, 2, 16))
        self.bias = nn.Parameter(torch.linspace(-1, 1, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x)
        u = x.mean(1, keepdim=True)
        s = (x - u).pow(2).mean(1, keepdim=True)
        x = (x - u) / torch.sqrt(s + 1e-6)
        x = self.weight[:, None, None] * x + self.bias[:, None, None]
        return self.head(F.gelu(self.last(x)).mean((2, 3)))


@piece(12, 32)
class Rotary(nn.Module):
    """RMS norm in pieces, halves of heads turned, SiLU gates."""
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(32))
        self.qkv = nn.Linear(32, 96, bias=False)
        self.gate, self.up = nn.Linear(32, 64), nn.Linear(32, 64)
        self.down = nn.Linear(64, 32)
        t = torch.arange(12.)[:, None] / 100 ** (torch.arange(0, 8, 2) / 8)
        t = torch.cat([t, t], -1)
        self.register_buffer('cos', t.cos())
        self.register_buffer('sin', t.sin())

    def turn(self, x):
        return (x * self.cos
                + torch.cat([-x[..., 4:], x[..., :4]], -1) * self.sin)

    def forward(self, x):
        n = x.shape[0]
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        q, k, v = [t.view(n, 12, 4, 8).transpose(1, 2)
                   for t in self.qkv(y * self.weight).chunk(3, -1)]
        a = self.turn(q) @ self.turn(k).transpose(-1, -2) / 8 ** 0.5
        x = x + (F.softmax(a, -1) @ v).transpose(1, 2).reshape(n, 12, 32)
        return x + self.down(F.silu(self.gate(x)) * self.up(x))


@piece(12, 32)
class Causal(nn.Module):
    """Scores of what comes later are -infinity."""
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(32, 96)
        self.head = nn.Linear(32, 7)
        self.register_buffer('seen', torch.tril(torch.ones(12, 12)))

    def forward(self, x):
        n = x.shape[0]
        q, k, v = [t.view(n, 12, 4, 8).transpose(1, 2)
                   for t in self.qkv(x).split(32, 2)]
        a = q @ k.transpose(-2, -1) / 8 ** 0.5
        a = F.softmax(a.masked_fill(self.seen == 0, float('-inf')), -1)
        return self.head((a @ v).transpose(1, 2).reshape(n, 12, 32))


@piece()
class GlobalResponse(Head):
    """A norm over the image for each channel."""
    def body(self, x):
        g = torch.norm(x, p=2, dim=(2, 3), keepdim=True)
        return x + x * (g / (g.mean(1, keepdim=True) + 1e-6))


@piece()
class LinearAttention(Head):
    """Products of activations that are padded, cut and divided."""
    def __init__(self):
        super().__init__(4)
        self.qkv = nn.Conv2d(16, 48, 1)
        self.out = nn.Conv2d(16, 16, 1)

    def body(self, x):
        n, _, h, w = x.shape
        y = self.qkv(x).reshape(n, -1, 24, h * w).transpose(-1, -2)
        q, k, v = F.relu(y[..., :8]), F.relu(y[..., 8:16]), y[..., 16:]
        v = F.pad(v, (0, 1), value=1.0)
        y = q @ (k.transpose(-1, -2) @ v)
        y = y[..., :-1] / (y[..., -1:] + 1)
        return x + self.out(y.transpose(-1, -2).reshape(n, -1, h, w))


@piece()
class Unfolded(Head):
    """Blocks of an image as tokens and back, as MobileViT has it."""
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0,
                                                batch_first=True)

    def body(self, x):
        n, c, h, w = x.shape
        y = x.reshape(n * c * (h // 2), 2, w // 2, 2).transpose(1, 2)
        y = y.reshape(n, c, h * w // 4, 4).transpose(1, 3)
        y = self.layer(y.reshape(n * 4, -1, c)).reshape(n, 4, -1, c)
        y = y.transpose(1, 3).reshape(n * c * (h // 2), w // 2, 2, 2)
        return x + y.transpose(1, 2).reshape(n, c, h, w)


@piece()
class Root(Head):
    """Powers and roots of what is often 0."""
    def body(self, x):
        return F.lp_pool2d(x, 2, 2).sqrt()


@piece()
class Attention2d(Head):
    """CBAM: means and maxima over images and over channels."""
    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(16, 4), nn.ReLU(),
                                 nn.Linear(4, 16))
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def body(self, x):
        w = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        x = x * torch.sigmoid(w)[:, :, None, None]
        z = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.conv(z))


@piece(1, 64)
class Gated1d(nn.Module):
    """Causal convolutions of one dimension."""
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv1d(1, 8, 1), nn.Conv1d(8, 4, 1)
        self.value = nn.Conv1d(8, 8, 2, dilation=2)
        self.gate = nn.Conv1d(8, 8, 2, dilation=2)

    def forward(self, x):
        x = self.first(x)
        p = F.pad(x, (2, 0))
        y = torch.tanh(self.value(p)) * torch.sigmoid(self.gate(p))
        return self.last(x + y)


@piece(3, 8, 40)
class TimeFirst(nn.Module):
    """A line of text, whose answers come column by column, then by sample."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.mix = nn.Conv1d(8, 16, 3, padding=1)
        self.answer = nn.Linear(16, 11)

    def forward(self, x):
        x = torch.relu(self.conv(x)).mean(2)
        return self.answer(torch.relu(self.mix(x)).permute(2, 0, 1))


@piece()
class Shifted(Head):
    """Windows of a rolled image in channels-last order."""
    def __init__(self):
        super().__init__(4)
        self.mix = nn.Linear(16, 16)

    def body(self, x):
        y = torch.roll(x.permute(0, 2, 3, 1), (-1, -1), (1, 2))
        n, h, w, c = y.shape
        y = y.view(n, h // 3, 3, w // 3, 3, c).permute(0, 1, 3, 2, 4, 5)
        y = self.mix(y.reshape(-1, 9, c))
        y = y.view(n, h // 3, w // 3, 3, 3, c).permute(0, 1, 3, 2, 4, 5)
        y = torch.roll(y.reshape(n, h, w, c), (1, 1), (1, 2))
        return y.permute(0, 3, 1, 2)
