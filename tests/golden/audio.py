# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints audio.h: features of a sound by torchaudio's formulas
(functional.spectrogram, melscale_fbanks, create_dct), written with PyTorch
1.13 in double.  Sample I of the sound is (7919 I mod 2001 - 1000) / 1000 times
(I mod 640) / 640."""
import math

import torch

N = 1600
# rate, fft, window, hop, centre, mels, coefficients, low, high
CASES = [(16000, 512, 400, 160, True, 40, 13, 0, 0),
         (16000, 400, 400, 200, False, 23, 0, 20, 0),
         (8000, 256, 200, 80, True, 20, 10, 100, 3800),
         (16000, 1024, 640, 320, False, 40, 10, 20, 0)]


def sound():
    i = torch.arange(N)
    x = (7919 * i % 2001 - 1000).double() / 1000
    return (x * (i % 640).double() / 640).float()


def triangles(rate, bins, mels, low, high):
    f = torch.linspace(0, rate // 2, bins, dtype=torch.float64)
    a = 2595 * math.log10(1 + low / 700)
    b = 2595 * math.log10(1 + high / 700)
    m = torch.linspace(a, b, mels + 2, dtype=torch.float64)
    p = 700 * (10 ** (m / 2595) - 1)
    diff = p[1:] - p[:-1]
    slopes = p[None, :] - f[:, None]
    down = -slopes[:, :-2] / diff[:-1]
    up = slopes[:, 2:] / diff[1:]
    return torch.clamp(torch.min(down, up), min=0)


def features(x, rate, fft, window, hop, center, mels, coefficients, low, high):
    s = torch.stft(x.double(), fft, hop, window, torch.hann_window(
        window, dtype=torch.float64), center=center, pad_mode="reflect",
        return_complex=True).abs() ** 2
    m = s.T @ triangles(rate, fft // 2 + 1, mels, low, high or rate / 2)
    m = torch.log(m + 1e-6)
    if not coefficients:
        return m
    n = torch.arange(mels, dtype=torch.float64)
    k = torch.arange(coefficients, dtype=torch.float64)[:, None]
    dct = torch.cos(math.pi / mels * (n + 0.5) * k)
    dct[0] *= 1 / math.sqrt(2)
    return m @ (dct * math.sqrt(2 / mels)).T


def main():
    print("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
          "/* Made by tests/golden/audio.py; do not edit. */\n\n"
          "static const struct golden_audio golden_audio[] = {")
    for c in CASES:
        f = features(sound(), *c)
        text = ", ".join("%.8g" % v for v in f.reshape(-1))
        print("  { { %d, %d, %d, %d, %s, %d, %d, %d, %d }, %d, %d,\n    { %s } "
              "}," % (*c[:4], str(c[4]).lower(), *c[5:], *f.shape, text))
    print("};")


main()
