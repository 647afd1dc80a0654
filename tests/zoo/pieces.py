#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks of a few layers, those of few_written.py and few_blocks.py, from
their ONNX files to verified int8.

    tests/zoo/pieces.py [OPTION]... [NETWORK]...

What is printed and checked is as in zoo.py, but that ONNX Runtime computes
what the file says: one tie that its integer kernels round to the other side
is much in networks as small as these.
"""
import argparse
import os
import sys
import tempfile

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('networks', nargs='*', metavar='NETWORK')
parser.add_argument('--opset', type=int, default=13)
parser.add_argument('--program', default='qatkit')
args = parser.parse_args()

try:
    import numpy as np
    import torch

    sys.dont_write_bytecode = True
    import checks
    import few_blocks  # noqa: F401 enters its classes into PIECES
    import few_written  # noqa: F401
    import nets
    from few import PIECES
except ImportError as e:
    print('pieces: skipped: %s (Debian: python3-torchvision)' % e)
    sys.exit(77)

FORMS = 'qdq', 'qoperator'


def make(name, path):
    cls, shape = PIECES[name]
    torch.manual_seed(1)
    net = cls()
    g = torch.Generator().manual_seed(2)
    train = torch.randn(16, *shape, generator=g)
    with torch.no_grad():
        net(train)  # statistics of batch-norm
        net.eval()
        x = torch.randn(4, *shape, generator=g)
        np.save(path + '.y.npy', net(x).numpy())
    nets.write(net, x, path + '.onnx', args.opset, False)
    np.save(path + '.x.npy', x.numpy())
    np.save(path + '.train.npy', train.numpy())


def one(name):
    """What is wrong with the network, and its line."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        make(name, path)
        difference = checks.float_difference(args.program, path, folder)
        share, differing, out = checks.int8(args.program, path, folder)
        onnx = [checks.agreement(args.program, path, folder, out, 'basic',
                                 form) for form in FORMS]
        back = [checks.read_back(args.program, path, folder, form)
                for form in FORMS]
    wrong = ('float differs' if not difference <= 1e-4 else
             'bytes differ' if differing else
             'ONNX Runtime differs'
             if any(o is not None and o < 40 for o in onnx) else
             'the file read back differs' if any(b < 200 for b in back) else
             '')
    return wrong, ('%-20s float %.1e  int8 %.1f %%  verify %d  onnx %s dB  '
                   'back %s dB' % (
                       name, difference, share, differing,
                       ' '.join('-' if o is None else '%.0f' % o
                                for o in onnx),
                       ' '.join('%.0f' % b for b in back)))


def main():
    failed = 0
    for name in args.networks or PIECES:
        try:
            wrong, line = one(name)
        except Exception as e:
            wrong, line = str(e)[:300], '%-20s' % name
        print('%s  %s' % (line, wrong or 'ok'), flush=True)
        failed += wrong != ''
    print('%d of %d are right' % (len(args.networks or PIECES) - failed,
                                  len(args.networks or PIECES)))
    return 1 if failed else 0


sys.exit(main())
