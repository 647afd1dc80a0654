// SPDX-License-Identifier: LGPL-2.1-or-later
// litert-infer.js: LiteRT (npm package @litertjs/core, made for browsers) on a
// TFLite model whose inputs and outputs are float32.
//
//   node litert-infer.js MODEL IN OUT
//     IN: float32 samples of the only input; OUT: float32 of all outputs of the
//     first sample, of the second ….  77: no such package.
'use strict';
const fs = require('fs');
const path = require('path');
const vm = require('vm');
const { pathToFileURL } = require('url');

const program = 'litert_wasm_compat_internal';
let main, folder;
try {
  main = require.resolve('@litertjs/core');
  folder = path.join(path.dirname(main), '..', 'wasm');
} catch (e) {
  console.error('litert-infer: no @litertjs/core: ' + e.message.split('\n')[0]);
  process.exit(77);
}

// What the package expects of a browser: a worker that loads scripts, and its
// program at hand.
function prepare () {
  globalThis.self = globalThis;
  globalThis.require = require;
  globalThis.__filename = path.join(folder, program + '.js');
  globalThis.__dirname = folder;
  globalThis.importScripts = file =>
    vm.runInThisContext(fs.readFileSync(file, 'utf8'), { filename: file });
  globalThis.Module = {
    wasmBinary: fs.readFileSync(path.join(folder, program + '.wasm')),
    locateFile: file => path.join(folder, file),
    print: console.error,
    printErr: console.error
  };
}

async function run ([model, from, to]) {
  const { loadLiteRt, loadAndCompile, Tensor }
    = await import(pathToFileURL(main));

  await loadLiteRt(path.join(folder, program + '.js'));
  const compiled = await loadAndCompile(new Uint8Array(fs.readFileSync(model)),
                                        { accelerator: 'wasm' });
  const [input] = compiled.getInputDetails();
  const shape = [...input.shape], data = fs.readFileSync(from);
  const size = 4 * shape.reduce((a, b) => a * b, 1), results = [];

  if (input.dtype !== 'float32' || data.length % size !== 0)
    throw new Error('expected samples of float32, ' + shape);
  for (let i = 0; i < data.length; i += size) {
    const at = data.byteOffset + i;
    const x = new Float32Array(data.buffer.slice(at, at + size));

    for (const y of await compiled.run([new Tensor(x, shape)])) {
      const a = await y.data();

      results.push(Buffer.from(a.buffer, a.byteOffset, a.byteLength));
    }
  }
  fs.writeFileSync(to, Buffer.concat(results));
}

prepare();
run(process.argv.slice(2)).then(() => process.exit(0), e => {
  console.error('litert-infer: ' + (e.stack || e));
  process.exit(1);
});
