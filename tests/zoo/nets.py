# SPDX-License-Identifier: LGPL-2.1-or-later
"""torchvision's classification networks, and ResNet-20, with numbers that
spread as those of trained ones do, their ONNX files, pictures to run them on,
and the program that reads them.  Debian: python3-torchvision."""
import os
import subprocess

import torch
import torchvision

torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '2')))
# families of torchvision that are no classifiers of single images
OTHERS = ('fcn', 'deeplab', 'lraspp', 'fasterrcnn', 'maskrcnn', 'keypointrcnn',
          'retinanet', 'ssd', 'fcos', 'raft', 'mc3', 'r3d', 'r2plus1d', 's3d',
          'mvit', 'swin3d', 'quantized')
CLASSES = 100


def all_names():
    models = torchvision.models
    return [n for n in models.list_models()
            if callable(getattr(models, n, None)) and not n.startswith(OTHERS)]


def side_of(name):
    return {'inception_v3': 299, 'resnet20': 32}.get(name, 224)


def images(n, side, seed):
    """Neighbouring pixels alike, as in photographs."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, side // 16 + 2, side // 16 + 2, generator=g)
    x = torch.nn.functional.interpolate(coarse, size=(side, side),
                                        mode='bilinear', align_corners=True)
    return x + 0.1 * torch.randn(n, 3, side, side, generator=g)


class Basic(torch.nn.Module):
    """The block of ResNet-20 for 32x32 images."""

    def __init__(self, c, to, stride):
        super().__init__()
        conv, bn = torch.nn.Conv2d, torch.nn.BatchNorm2d
        self.conv1, self.bn1 = conv(c, to, 3, stride, 1, bias=False), bn(to)
        self.conv2, self.bn2 = conv(to, to, 3, 1, 1, bias=False), bn(to)
        self.down = torch.nn.Sequential()
        if stride > 1:
            self.down = torch.nn.Sequential(
                conv(c, to, 1, stride, bias=False), bn(to))
        self.relu1, self.relu2 = torch.nn.ReLU(), torch.nn.ReLU()

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y + self.down(x))


def resnet20(classes):
    """ResNet-20 of the ResNet paper's section on CIFAR-10, with projections."""
    nn = torch.nn
    parts = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16),
             nn.ReLU()]
    for c, to in ((16, 16), (16, 32), (32, 64)):
        parts += [Basic(c, to, to // c), Basic(to, to, 1), Basic(to, to, 1)]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(64, classes))


def made(name, classes):
    """The network as its maker leaves it, without trained weights."""
    if name == 'resnet20':
        return resnet20(classes)
    options = {'weights': None, 'num_classes': classes}
    if name in ('googlenet', 'inception_v3'):
        options.update(aux_logits=False, init_weights=True)
    return getattr(torchvision.models, name)(**options)


def network(name, most, classes=CLASSES):
    """The network in evaluation mode; RuntimeError above `most' parameters."""
    torch.manual_seed(3)
    net = made(name, classes)
    params = sum(p.numel() for p in net.parameters())
    if params > most:
        raise RuntimeError('%.0f million parameters' % (params / 1e6))
    norms = [m for m in net.modules()
             if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, torch.nn.Linear) and not m.weight.any():
                m.reset_parameters()  # vit begins with logits of 0
        for m in norms:
            m.momentum = None  # the mean over all batches
            m.reset_running_stats()
            m.weight.uniform_(0.6, 1.4)
            m.bias.normal_(0, 0.1)
        net.eval()
        for m in norms:
            m.train()
        if norms:
            net(images(8, side_of(name), 5))
    return net.eval()


def write(net, x, path, opset, preserve):
    """The ONNX file; preserve: with batch-norm apart and every name kept."""
    kept = {}
    if preserve:
        kept = dict(training=torch.onnx.TrainingMode.PRESERVE,
                    do_constant_folding=False)
    torch.onnx.export(net, x[:1], path, opset_version=opset,
                      input_names=['input'], output_names=['logits'],
                      dynamic_axes={'input': {0: 'N'}, 'logits': {0: 'N'}},
                      **kept)


def run(program, *words):
    """What the program prints; RuntimeError with its last message."""
    p = subprocess.run([program] + list(words), capture_output=True, text=True)
    if p.returncode != 0:
        raise RuntimeError((p.stderr or p.stdout).strip().split('\n')[-1])
    return p.stdout
