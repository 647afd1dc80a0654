#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""torchvision's classification networks, from ONNX files to verified int8.

    tests/zoo/zoo.py [OPTION]... [NETWORK]...

PyTorch and torchvision (Debian: python3-torchvision) make each network with
random weights and write it as ONNX; qatkit reads it.  For each, a line says
  float    the largest difference of an output from PyTorch's, as a share of
           PyTorch's largest output: at most 1e-4, or, where PyTorch's single
           precision is not so close to its double precision, no farther
           from the latter than that is
  int8     share of the multiply-accumulates in int8
  verify   bytes in which the int8 network differs from what was trained,
           after PTQ and two steps of QAT with the float network as teacher: 0
  onnx     dB by which the exported QDQ file agrees with the int8 network in
           ONNX Runtime, where node and onnxruntime-node are found
The exit status is 1 if any fails.  --table FILE writes docs/networks.md's
table.
"""
import argparse
import os
import sys
import tempfile
import time

SMALL = ['squeezenet1_1', 'mnasnet0_5', 'shufflenet_v2_x0_5',
         'mobilenet_v3_small']
parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('networks', nargs='*', metavar='NETWORK',
                    help='default: a few small ones')
parser.add_argument('--all', action='store_true', help='all there are')
parser.add_argument('--list', action='store_true', help='print their names')
parser.add_argument('--opset', type=int, default=13)
parser.add_argument('--preserve', action='store_true',
                    help='keep batch-norm apart in the file')
parser.add_argument('--max-params', type=float, default=70e6)
parser.add_argument('--files', metavar='FOLDER',
                    help='keep the files here, and use those that are there')
parser.add_argument('--float-only', action='store_true')
parser.add_argument('--no-runtime', action='store_true',
                    help='leave ONNX Runtime out')
parser.add_argument('--table', metavar='FILE')
parser.add_argument('--program', default='qatkit')
args = parser.parse_args()

try:
    import numpy as np
    import torch

    sys.dont_write_bytecode = True
    import checks
    import nets
except ImportError as e:
    print('zoo: skipped: %s (Debian: python3-torchvision)' % e)
    sys.exit(77)


def make(name, path):
    """The network's file, inputs, PyTorch's outputs, and training inputs."""
    net, side = nets.network(name, args.max_params), nets.side_of(name)
    x = nets.images(4, side, 6)
    nets.write(net, x, path + '.onnx', args.opset, args.preserve)
    with torch.no_grad():
        np.save(path + '.y.npy', net(x).numpy())
        np.save(path + '.z.npy', net.double()(x.double()).numpy())
    np.save(path + '.x.npy', x.numpy())
    np.save(path + '.train.npy', nets.images(16, side, 7).numpy())


def one(name, path, folder):
    """The row of a network; a failed check is in its 'wrong'."""
    row = {'network': name, 'wrong': ''}
    t = time.time()
    try:
        if not all(os.path.exists(path + end)
                   for end in ('.z.npy', '.train.npy')):
            make(name, path)
    except Exception as e:
        row['skipped'] = str(e).split('\n')[0][:120]
        return row
    try:
        row['float'] = checks.float_difference(args.program, path, folder)
        if not (row['float'] <= 1e-4
                or checks.as_exact(path, folder)):
            row['wrong'] = 'float differs'
        if not args.float_only:
            row['int8'], row['verify'], out = checks.int8(args.program,
                                                         path, folder)
            if row['verify'] != 0:
                row['wrong'] = 'bytes differ'
            row['onnx'] = (None if args.no_runtime
                           else checks.agreement(args.program, path, folder,
                                                out))
            if row['onnx'] is not None and row['onnx'] < 40:
                row['wrong'] = 'ONNX Runtime differs'
    except Exception as e:
        row['wrong'] = str(e)[:300]
    row['seconds'] = time.time() - t
    return row


def cell(row, key, how):
    return how % row[key] if row.get(key) is not None else '-'


def main():
    names = args.networks or (nets.all_names() if args.all else SMALL)
    if args.list:
        print('\n'.join(nets.all_names()))
        return 0
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            where = args.files or folder
            os.makedirs(where, exist_ok=True)
            row = one(name, os.path.join(where, name), folder)
        rows.append(row)
        print('%-20s float %s  int8 %s %%  verify %s  onnx %s dB  %s'
              % (name, cell(row, 'float', '%.1e'), cell(row, 'int8', '%.1f'),
                 cell(row, 'verify', '%d'), cell(row, 'onnx', '%.0f'),
                 row.get('skipped', row['wrong']) or 'ok'), flush=True)
    if args.table:
        with open(args.table, 'w') as f:
            f.write('| network | float | int8 | verify | ONNX Runtime |\n'
                    '|---|---|---|---|---|\n')
            for r in rows:
                if 'skipped' in r:
                    continue
                f.write('| %s | %s | %s %% | %s | %s dB |\n' % (
                    r['network'], cell(r, 'float', '%.1e'),
                    cell(r, 'int8', '%.1f'), cell(r, 'verify', '%d'),
                    cell(r, 'onnx', '%.0f')))
    return 1 if any(r['wrong'] for r in rows) else 0


sys.exit(main())
