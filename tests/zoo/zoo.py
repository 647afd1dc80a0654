#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""torchvision's classification networks, from ONNX files to verified int8.

    tests/zoo/zoo.py [OPTION]... [NETWORK]...

PyTorch and torchvision (Debian: python3-torchvision) make each network with
random weights and write it as ONNX; qatkit reads it.  For each, a line says
  float    the largest difference of an output from PyTorch's, as a share of
           PyTorch's largest output: at most 1e-4
  int8     share of the multiply-accumulates in int8
  verify   bytes in which the int8 network differs from what was trained,
           after PTQ and two steps of QAT with the float network as teacher: 0
  onnx     dB by which the exported QDQ file agrees with the int8 network in
           ONNX Runtime, where node and onnxruntime-node are found
The exit status is 1 if any fails.  --table FILE writes docs/networks.md's
table.
"""
import argparse
import json
import os
import re
import subprocess
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
    np.save(path + '.x.npy', x.numpy())
    np.save(path + '.train.npy', nets.images(16, side, 7).numpy())


def qatkit(*words):
    return nets.run(args.program, *words)


def float_difference(path, folder):
    out = os.path.join(folder, 'float.npy')
    qatkit('predict', path + '.onnx', path + '.x.npy', '--output', out)
    want, got = np.load(path + '.y.npy'), np.load(out)
    if want.shape != got.shape:
        raise RuntimeError('outputs %s, expected %s' % (got.shape, want.shape))
    return float(np.abs(want - got).max() / np.abs(want).max())


INI = '''[run]
output = %(out)s
[model]
arch = onnx
file = %(path)s.onnx
[data]
dataset = npy
inputs = %(path)s.train.npy
val_inputs = %(path)s.x.npy
layout = nchw
batch = 4
eval_batch = 4
[loss]
name = distillation
measure = mse
[metric]
name = sqnr
[ptq]
batches = 2
[qat]
epochs = 1
batches = 2
freeze_bn_after = 0
freeze_observers_after = 0
[optimizer]
lr = 0.0001
'''


def int8(path, folder):
    ini, out = os.path.join(folder, 'run.ini'), os.path.join(folder, 'run')
    with open(ini, 'w') as f:
        f.write(INI % {'out': out, 'path': path})
    report = qatkit('inspect', ini)
    share = re.search(r'([0-9.]+) % of MACs', report)
    qatkit('run', ini, '--quiet')
    verify = qatkit('verify', out, '--json', '--quiet')
    differ = json.loads(verify)
    return float(share.group(1)), differ, out


def differing(verify):
    """The number of differing bytes in what verify --json prints."""
    return verify['differing']


ORT = '''
const ort = require('onnxruntime-node'), fs = require('fs');
(async () => {
  const [file, x, shape, out] = process.argv.slice(2);
  const s = await ort.InferenceSession.create(file, {logSeverityLevel: 3});
  const b = fs.readFileSync(x), dims = JSON.parse(shape);
  const n = dims.reduce((a, c) => a * c, 1);
  const data = new Float32Array(b.buffer, b.byteOffset, n);
  const r = await s.run({[s.inputNames[0]]:
    new ort.Tensor('float32', data, dims)});
  const y = r[s.outputNames[0]];
  fs.writeFileSync(out, Buffer.from(y.data.buffer, y.data.byteOffset,
    y.data.byteLength));
})().catch(e => { console.error(String(e)); process.exit(1); });
'''


def agreement(path, folder, out):
    """dB by which the QDQ export agrees in ONNX Runtime; None without it."""
    model = os.path.join(out, 'model-int8.safetensors')
    qdq = os.path.join(folder, 'qdq.onnx')
    qatkit('export', model, '--onnx', qdq)
    ours = os.path.join(folder, 'int8.npy')
    qatkit('predict', model, path + '.x.npy', '--output', ours)
    script, raw = os.path.join(folder, 'o.js'), os.path.join(folder, 'x.raw')
    with open(script, 'w') as f:
        f.write(ORT)
    x = np.load(path + '.x.npy')
    x.tofile(raw)
    theirs = os.path.join(folder, 'y.raw')
    try:
        p = subprocess.run(['node', script, qdq, raw,
                            json.dumps(list(x.shape)), theirs],
                           capture_output=True, text=True)
    except FileNotFoundError:
        return None
    if 'Cannot find module' in p.stderr:
        return None
    if p.returncode != 0:
        raise RuntimeError('ONNX Runtime: ' + p.stderr.strip()[:200])
    a = np.load(ours).astype(np.float64).ravel()
    b = np.fromfile(theirs, dtype=np.float32).astype(np.float64)
    noise = ((a - b) ** 2).sum()
    return 200.0 if noise == 0 else 10 * np.log10((a ** 2).sum() / noise)


def one(name, path, folder):
    """The row of a network; a failed check is in its 'wrong'."""
    row = {'network': name, 'wrong': ''}
    t = time.time()
    try:
        if not os.path.exists(path + '.train.npy'):
            make(name, path)
    except Exception as e:
        row['skipped'] = str(e).split('\n')[0][:120]
        return row
    try:
        row['float'] = float_difference(path, folder)
        if not row['float'] <= 1e-4:
            row['wrong'] = 'float differs'
        if not args.float_only:
            row['int8'], verify, out = int8(path, folder)
            row['verify'] = differing(verify)
            if row['verify'] != 0:
                row['wrong'] = 'bytes differ'
            row['onnx'] = (None if args.no_runtime
                           else agreement(path, folder, out))
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
