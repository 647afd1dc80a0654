# SPDX-License-Identifier: LGPL-2.1-or-later
"""torchvision's classification networks with numbers that spread as those of
trained ones do, their ONNX files, pictures to run them on, and the program
that reads them.  Debian: python3-torchvision."""
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
    return 299 if name == 'inception_v3' else 224


def images(n, side, seed):
    """Neighbouring pixels alike, as in photographs."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, side // 16 + 2, side // 16 + 2, generator=g)
    x = torch.nn.functional.interpolate(coarse, size=(side, side),
                                        mode='bilinear', align_corners=True)
    return x + 0.1 * torch.randn(n, 3, side, side, generator=g)


def network(name, most):
    """The network in evaluation mode; RuntimeError above `most' parameters."""
    torch.manual_seed(3)
    options = {'weights': None, 'num_classes': CLASSES}
    if name in ('googlenet', 'inception_v3'):
        options.update(aux_logits=False, init_weights=True)
    net = getattr(torchvision.models, name)(**options)
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
