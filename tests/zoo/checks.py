# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is checked of a network PATH.onnx with inputs PATH.x.npy, PyTorch's
outputs PATH.y.npy and training inputs PATH.train.npy."""
import json
import os
import re
import subprocess

import numpy as np

import nets


def float_difference(program, path, folder):
    """The largest difference of an output, as a share of the largest."""
    out = os.path.join(folder, 'float.npy')
    nets.run(program, 'predict', path + '.onnx', path + '.x.npy', '--output',
             out)
    want, got = np.load(path + '.y.npy'), np.load(out)
    if want.shape != got.shape:
        raise RuntimeError('outputs %s, expected %s' % (got.shape, want.shape))
    return float(np.abs(want - got).max() / np.abs(want).max())


def as_exact(path, folder):
    """Whether what float_difference() has left is no farther from the outputs
    in double precision, PATH.z.npy, than PyTorch's are in single."""
    exact = np.load(path + '.z.npy')
    ours, theirs = (np.abs(np.load(f) - exact).max() for f in (
        os.path.join(folder, 'float.npy'), path + '.y.npy'))
    return ours <= theirs


INI = '''[run]
output = %(out)s
[model]
arch = onnx
file = %(file)s
[data]
dataset = npy
inputs = %(path)s.train.npy
val_inputs = %(path)s.x.npy
%(layout)sbatch = 4
eval_batch = 4
[loss]
name = distillation
measure = mse
[metric]
name = sqnr
[ptq]
batches = 2
[qat]
epochs = %(epochs)d
batches = 2
freeze_bn_after = 0
freeze_observers_after = 0
[optimizer]
lr = 0.0001
clip_norm = 1
'''


def write_ini(ini, path, file, out, epochs):
    """A run of FILE on the inputs of PATH, into OUT."""
    images = np.load(path + '.x.npy', mmap_mode='r').ndim == 4
    with open(ini, 'w') as f:
        f.write(INI % {'out': out, 'path': path, 'file': file,
                       'epochs': epochs,
                       'layout': 'layout = nchw\n' if images else ''})


def read_back(program, path, folder, form='qdq'):
    """dB by which the int8 network agrees that is made of the file which
    agreement() has left, of its own grids."""
    ini, out = (os.path.join(folder, f) for f in ('back.ini', 'back'))
    write_ini(ini, path, os.path.join(folder, form + '.onnx'), out, 0)
    nets.run(program, 'run', ini, '--quiet', '--overwrite')
    again = os.path.join(folder, 'back.npy')
    nets.run(program, 'predict', os.path.join(out, 'model-ptq.safetensors'),
             path + '.x.npy', '--output', again)
    return decibels(np.load(os.path.join(folder, 'int8.npy')),
                    np.load(again))


def decibels(a, b):
    """What B is of A, of the same shape; 200: all of it."""
    a, b = (v.astype(np.float64).ravel() for v in (a, b))
    noise = ((a - b) ** 2).sum()
    return 200.0 if noise == 0 else 10 * np.log10((a ** 2).sum() / noise)


def int8(program, path, folder):
    """Share of MACs in int8, differing bytes after PTQ and QAT, the run's
    folder."""
    ini, out = os.path.join(folder, 'run.ini'), os.path.join(folder, 'run')
    write_ini(ini, path, path + '.onnx', out, 1)
    report = nets.run(program, 'inspect', ini)
    share = re.search(r'([0-9.]+) % of MACs', report)
    nets.run(program, 'run', ini, '--quiet')
    verify = nets.run(program, 'verify', out, '--json', '--quiet')
    return float(share.group(1)), json.loads(verify)['differing'], out


ORT = '''
const ort = require('onnxruntime-node'), fs = require('fs');
(async () => {
  const [file, x, shape, out, level] = process.argv.slice(2);
  const s = await ort.InferenceSession.create(file,
    {logSeverityLevel: 3, graphOptimizationLevel: level});
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


def agreement(program, path, folder, out, level='all', form='qdq'):
    """dB by which the export agrees in ONNX Runtime; None without it.
    Level 'basic': what the file says, without its integer kernels."""
    model = os.path.join(out, 'model-int8.safetensors')
    qdq = os.path.join(folder, form + '.onnx')
    nets.run(program, 'export', model, '--onnx', qdq, '--form', form)
    ours = os.path.join(folder, 'int8.npy')
    nets.run(program, 'predict', model, path + '.x.npy', '--output', ours)
    script, raw = os.path.join(folder, 'o.js'), os.path.join(folder, 'x.raw')
    with open(script, 'w') as f:
        f.write(ORT)
    x = np.load(path + '.x.npy')
    x.tofile(raw)
    theirs = os.path.join(folder, 'y.raw')
    try:
        p = subprocess.run(['node', script, qdq, raw,
                            json.dumps(list(x.shape)), theirs, level],
                           capture_output=True, text=True)
    except FileNotFoundError:
        return None
    if 'Cannot find module' in p.stderr:
        return None
    if p.returncode != 0:
        raise RuntimeError('ONNX Runtime: ' + p.stderr.strip()[:200])
    return decibels(np.load(ours), np.fromfile(theirs, dtype=np.float32))
