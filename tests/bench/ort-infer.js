// SPDX-License-Identifier: LGPL-2.1-or-later
// ort-infer.js: ONNX Runtime (npm package onnxruntime-node) on ONNX files.
//
//   node ort-infer.js time MODEL THREADS BATCH SECONDS [precise]
//     One line of JSON: best and median milliseconds of a batch.
//   node ort-infer.js run MODEL SHAPE IN OUT [precise]
//     IN: float32 samples, SHAPE each as C,H,W; OUT: the float32 logits.
//
// "precise" sets session.x64quantprecision=1, without which the int8 kernels
// saturate in 16 bits on x86 without VNNI.
'use strict';
const fs = require('fs');

let ort;
try {
  ort = require('onnxruntime-node');
} catch (e) {
  console.error('ort-infer: no onnxruntime-node: ' + e.message.split('\n')[0]);
  process.exit(77);
}

function session (model, threads, precise) {
  const options = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    extra: { session: {} }
  };

  if (precise) options.extra.session.x64quantprecision = '1';
  return ort.InferenceSession.create (model, options);
}

const milliseconds = () => Number (process.hrtime.bigint ()) / 1e6;

async function time ([model, threads, batch, seconds, precise]) {
  const s = await session (model, +threads, precise === 'precise');
  const shape = s.inputMetadata && s.inputMetadata[0].shape;
  const [c, h, w] = shape ? shape.slice (1).map (Number) : [3, 224, 224];
  const data = new Float32Array (+batch * c * h * w);
  let seed = 7;

  for (let i = 0; i < data.length; i++) {
    seed = (Math.imul (seed, 1664525) + 1013904223) >>> 0;
    data[i] = seed / 2147483648 - 1;
  }
  const feeds = { [s.inputNames[0]]:
    new ort.Tensor ('float32', data, [+batch, c, h, w]) };
  await s.run (feeds);
  await s.run (feeds);
  const times = [], end = milliseconds () + 1000 * seconds;
  while (times.length < 3 || milliseconds () < end) {
    const start = milliseconds ();
    await s.run (feeds);
    times.push (milliseconds () - start);
  }
  times.sort ((a, b) => a - b);
  console.log (JSON.stringify ({
    version: ort.env.versions.node, threads: +threads, batch: +batch,
    runs: times.length, best_ms: times[0],
    median_ms: times[times.length >> 1] }));
}

async function run ([model, shape, from, to, precise]) {
  const s = await session (model, 2, precise === 'precise');
  const dims = shape.split (',').map (Number);
  const size = dims.reduce ((a, b) => a * b);
  const bytes = fs.readFileSync (from);
  const data = new Float32Array (bytes.buffer, bytes.byteOffset,
                                 bytes.length / 4);
  const n = data.length / size, parts = [];

  for (let i = 0; i < n; i += 50) {
    const k = Math.min (50, n - i);
    const x = new ort.Tensor ('float32',
                              data.slice (i * size, (i + k) * size),
                              [k, ...dims]);
    const out = await s.run ({ [s.inputNames[0]]: x });
    const y = out[s.outputNames[0]].data;
    parts.push (Buffer.from (y.buffer, y.byteOffset, y.byteLength));
  }
  fs.writeFileSync (to, Buffer.concat (parts));
}

const [command, ...args] = process.argv.slice (2);
const commands = { time, run };
if (!commands[command]) {
  console.error ('usage: ort-infer.js time MODEL THREADS BATCH SECONDS [precise]\n'
                 + '       ort-infer.js run MODEL SHAPE IN OUT [precise]');
  process.exit (2);
}
commands[command] (args).catch (e => {
  console.error ('ort-infer: ' + e.message);
  process.exit (1);
});
