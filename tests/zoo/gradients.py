#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The gradients of torchvision's networks against PyTorch's.

    tests/zoo/gradients.py [OPTION]... [NETWORK]...

One step of plain SGD from an ONNX file that keeps batch-norm apart: the
weights before less those after, over the rate, are the gradient.  PyTorch's is
that of the same network in training mode, without dropout (which the file
does not have), in double precision; in single precision its own errors are
up to 3e-3 where roundings move inputs of ReLU over zero.  For each network a
line says how many parameters were compared, the largest error of one (norm
of the difference over the norm, to which 1e-6 of the whole gradient's is
added: biases before batch-norm have no gradient), PyTorch's largest one in
single precision, and the parameter's name: at most 1e-3, or twice PyTorch's.
The exit status is 1 if any fails.
"""
import argparse
import copy
import json
import os
import struct
import sys
import tempfile

# one of each family
FAMILIES = ['squeezenet1_1', 'mnasnet0_5', 'shufflenet_v2_x0_5',
            'mobilenet_v3_small', 'resnet18', 'googlenet', 'densenet121',
            'efficientnet_b0', 'regnet_y_400mf', 'resnext50_32x4d',
            'convnext_tiny', 'swin_t', 'vit_b_32']

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('networks', nargs='*', metavar='NETWORK',
                    help='default: one of each family')
parser.add_argument('--program', default='qatkit')
args = parser.parse_args()

try:
    import numpy as np
    import onnx
    import torch
    from onnx import numpy_helper

    sys.dont_write_bytecode = True
    import nets
except ImportError as e:
    print('gradients: skipped: %s (Debian: python3-torchvision, python3-onnx)'
          % e)
    sys.exit(77)

BATCH = 4
INI = '''[run]
output = %(folder)s/run
[model]
arch = onnx
file = %(folder)s/net.onnx
[data]
dataset = npy
inputs = %(folder)s/x.npy
targets = %(folder)s/t.npy
val_inputs = %(folder)s/x.npy
val_targets = %(folder)s/t.npy
layout = nchw
batch = 4
eval_batch = 4
[loss]
name = mse
[metric]
name = regression
[train]
epochs = 1
[train optimizer]
name = sgd
lr = %(rate).9g
momentum = 0
weight_decay = 0
[qat]
epochs = 0
'''


def tensors(path):
    """The float tensors of a safetensors file, by name."""
    with open(path, 'rb') as f:
        size, = struct.unpack('<Q', f.read(8))
        header, data = json.loads(f.read(size)), f.read()
    found = {}
    for name, t in header.items():
        if name != '__metadata__' and t['dtype'] == 'F32':
            begin, end = t['data_offsets']
            found[name] = np.frombuffer(data[begin:end], '<f4').reshape(
                t['shape'])
    return found


def of_pytorch(net, x, t):
    """The gradients by name, of the network in training mode."""
    for m in net.modules():
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm):
            m.momentum = 0.1
        elif type(m).__name__ in ('Dropout', 'StochasticDepth'):
            m.p = 0.0
        elif isinstance(m, torch.nn.MultiheadAttention):
            m.dropout = 0.0
    net.train()
    torch.nn.functional.mse_loss(net(x), t).backward()
    return {n: p.grad.double().numpy() for n, p in net.named_parameters()}


def pairs(before, weights):
    """(name in the file, name in PyTorch, transposed?) of equal numbers: the
    exporter transposes weights of linear layers and gives them new names."""
    known = {}
    for name, w in weights.items():
        known.setdefault(w.tobytes(), (name, False))
        if w.ndim == 2:
            known.setdefault(np.ascontiguousarray(w.T).tobytes(), (name, True))
    for name, w in before.items():
        if name in weights and weights[name].shape == w.shape:
            yield name, name, False
        elif w.size > 64 and w.tobytes() in known:
            yield (name,) + known[w.tobytes()]


def compare(name, folder):
    """(parameters compared, all, largest error, PyTorch's, its parameter)"""
    net = nets.network(name, 100e6)
    with torch.no_grad():  # the exporter makes one of equal tensors
        for p in net.parameters():
            p.add_(0.01 * torch.randn(p.shape))
    x = nets.images(BATCH, nets.side_of(name), 6)
    t = 10 * torch.randn(BATCH, nets.CLASSES,
                          generator=torch.Generator().manual_seed(9))
    path = os.path.join(folder, 'net.onnx')
    nets.write(net, x, path, 13, True)
    np.save(os.path.join(folder, 'x.npy'), x.numpy())
    np.save(os.path.join(folder, 't.npy'), t.numpy())
    ini = os.path.join(folder, 'run.ini')
    weights = {n: p.detach().numpy().copy()
               for n, p in net.named_parameters()}
    before = {i.name: numpy_helper.to_array(i)
              for i in onnx.load(path).graph.initializer}
    want = of_pytorch(copy.deepcopy(net).double(), x.double(), t.double())
    single = of_pytorch(net, x, t)
    norm = np.sqrt(sum((g ** 2).sum() for g in want.values()))
    # a step as large as half of the weights: visible in their digits, and
    # what the network then gives is still finite
    rate = 0.5 * np.sqrt(sum((w.astype('f8') ** 2).sum()
                             for w in weights.values())) / norm
    with open(ini, 'w') as f:
        f.write(INI % {'folder': folder, 'rate': rate})
    nets.run(args.program, 'train', ini, '--quiet')
    after = tensors(os.path.join(folder, 'run', 'weights.safetensors'))

    def error(got, g):
        return float(np.linalg.norm((got - g).ravel())
                     / (np.linalg.norm(g.ravel()) + 1e-6 * norm))

    compared, theirs, worst = 0, 0.0, (0.0, '-')
    for file_name, torch_name, turned in pairs(before, weights):
        if file_name not in after:
            continue
        got = (before[file_name].astype('f8') - after[file_name].reshape(
            before[file_name].shape)) / rate
        g = want[torch_name]
        theirs = max(theirs, error(single[torch_name], g))
        worst = max(worst, (error(got.T if turned else got, g), torch_name))
        compared += got.size
    total = sum(w.size for w in weights.values())
    return compared, total, worst[0], theirs, worst[1]


def main():
    wrong = 0
    for name in args.networks or FAMILIES:
        try:
            with tempfile.TemporaryDirectory() as folder:
                compared, total, ours, theirs, where = compare(name, folder)
            ok = ours <= max(1e-3, 2 * theirs) and compared >= 0.9 * total
            print('%-20s %d of %d parameters, error %.1e (PyTorch %.1e, %s)'
                  '  %s' % (name, compared, total, ours, theirs, where,
                            'ok' if ok else 'WRONG'), flush=True)
        except Exception as e:
            ok = False
            print('%-20s %s' % (name, str(e)[:300]), flush=True)
        wrong += not ok
    return 1 if wrong else 0


sys.exit(main())
