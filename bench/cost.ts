// What the package costs beside the time of a pass: the first call, memory, bytes to download; and
// how a pass fares as the arrays outgrow one cache after the other.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { median, sum, transpose } from 'd3-array';
import { buildSync } from 'esbuild';
import { float32, free, SmoothL1Loss, setNumThreads } from 'smooth-l1';
import { progress } from '../demo/progress.ts';
import { unchecked } from './contender.ts';
import { branchFreeForward } from './loops.ts';
import { regime } from './machine.ts';
import { race } from './measure.ts';
import { onnxModel } from './peers/onnx-model.ts';
import type { BundleSize, ColdStart, SizeRow } from './results.ts';
import type { Section } from './section.ts';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const DIST = path('../dist/');
const PEERS = path('peers/');

/**
 * Forward passes over ever longer arrays, all three over the same ones: the kernel's memory is 4 GiB,
 * and holds no more than two arrays of 256M floats.
 */
export const sizeCurve: Section = async ({ pool, limit, machine, effort, isQuick }) => {
  const sizes = Array.from({ length: isQuick ? 9 : 13 }, (_, k) => 2 ** (4 + 2 * k));
  const bar = progress('sizes', sizes.length);
  const rows: SizeRow[] = [];
  await setNumThreads(1);
  const loss = new SmoothL1Loss();
  for (const n of sizes) {
    const [input, target] = [float32(n), float32(n)];
    repeat(pool.input, input);
    repeat(pool.target, target);
    const [x, y] = [input.byteOffset, target.byteOffset];
    const contenders: [name: string, call: () => unknown][] = [
      ['smooth-l1', () => loss.forward(input, target)],
      ['branch-free JavaScript', () => branchFreeForward(input, target, 1)],
      [limit.name, () => limit.read(x, y, n)],
    ];
    const samples = await race(
      contenders.map(([, call]) => unchecked(call)),
      effort,
    );
    for (const [j, [contender]] of contenders.entries()) {
      rows.push({ contender, n, regime: regime(machine, 8 * n), ...samples[j]! });
    }
    free(input);
    free(target);
    bar.step(1, `${n.toLocaleString('en')} elements`);
  }
  bar.stop();
  return { sizes: rows };
};

function repeat(from: Float32Array, to: Float32Array): void {
  for (let i = 0; i < to.length; i += from.length) {
    to.set(from.subarray(0, Math.min(from.length, to.length - i)), i);
  }
}

// ---- cold start -------------------------------------------------------------------------------

const STARTS = 7;
/** A process of its own: prints [import, first call, MiB] and perhaps [calls, ms] until full speed. */
const COLD: Readonly<Record<string, string>> = {
  'nothing (Node alone)': `
    const start = performance.now();
    const imported = start;`,
  'smooth-l1': `
    const start = performance.now();
    const { float32, smoothL1Loss, SmoothL1Loss } = await import(${JSON.stringify(`${DIST}index.js`)});
    const imported = performance.now();
    smoothL1Loss(float32(16), float32(16));
    after = () => {
      const [x, y, loss] = [float32(65536), float32(65536), new SmoothL1Loss()];
      const times = [];
      for (let i = 0; i < 1000; i++) {
        const from = performance.now();
        loss.forward(x, y);
        times.push(performance.now() - from);
      }
      const steady = times.slice(500).sort((a, b) => a - b)[250];
      // Five in a row, so that one that is early by chance does not count.
      const calls = times.findIndex((_, i) => times.slice(i, i + 5).every((ms) => ms < 1.2 * steady));
      return [calls, times.slice(0, calls).reduce((sum, ms) => sum + ms, 0)];
    };`,
  'TF.js, wasm backend': `
    console.warn = () => {};
    const start = performance.now();
    const require = (await import('node:module')).createRequire(${JSON.stringify(`${PEERS}peer.js`)});
    const tf = require('@tensorflow/tfjs');
    require('@tensorflow/tfjs-backend-wasm');
    const imported = performance.now();
    await tf.setBackend('wasm');
    tf.losses.huberLoss(tf.zeros([16]), tf.zeros([16])).dataSync();`,
  'onnxruntime-web': `
    const start = performance.now();
    const require = (await import('node:module')).createRequire(${JSON.stringify(`${PEERS}peer.js`)});
    const ort = require('onnxruntime-web');
    const imported = performance.now();
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = 'error';
    const model = Buffer.from('${Buffer.from(onnxModel('forward', 16)).toString('base64')}', 'base64');
    const session = await ort.InferenceSession.create(new Uint8Array(model));
    const zeros = new ort.Tensor('float32', new Float32Array(16), [16]);
    await session.run({ input: zeros, target: zeros });`,
};

export const cost: Section = async ({ hasPeers }) => {
  const packages = Object.entries(COLD).filter(([name]) => hasPeers || !/TF|onnx/.test(name));
  const bar = progress('cost', packages.length);
  const cold: ColdStart[] = [];
  for (const [name, body] of packages) {
    cold.push({ package: name, ...coldStart(body) });
    bar.step(1, `cold start of ${name}`);
  }
  bar.stop();
  return { cold, bundles: bundleSizes(hasPeers) };
};

function coldStart(body: string): Omit<ColdStart, 'package'> {
  const script = `let after = () => []; ${body}
    const called = performance.now();
    const mib = process.memoryUsage().rss / 2 ** 20;
    console.log(JSON.stringify([imported - start, called - imported, mib, ...after()]));
    process.exit();`;
  const runs = Array.from({ length: STARTS }, () => {
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return JSON.parse(output.trim().split('\n').at(-1)!) as number[];
  });
  const [importMs, firstCallMs, memoryMiB, callsToSpeed, msToSpeed] = transpose(runs).map(
    (values) => median(values)!,
  ) as [number, number, number, number?, number?];
  return {
    importMs,
    firstCallMs,
    memoryMiB,
    ...(callsToSpeed !== undefined && { callsToSpeed }),
    ...(msToSpeed !== undefined && { msToSpeed }),
  };
}

// ---- bytes ------------------------------------------------------------------------------------

function bundleSizes(hasPeers: boolean): BundleSize[] {
  const ours = bundle(`export * from './index.js';`, DIST);
  const part = bundle(`export { float32, smoothL1LossWithGrad } from './index.js';`, DIST);
  const rows = [
    sizeOf('smooth-l1, everything (kernel inside)', [ours]),
    sizeOf('smooth-l1, float32 and smoothL1LossWithGrad', [part]),
    sizeOf('smooth-l1/reference, everything', [bundle(`export * from './reference.js';`, DIST)]),
    sizeOf('smooth_l1_shared.wasm alone', [readFileSync(`${DIST}smooth_l1_shared.wasm`)]),
  ];
  if (!hasPeers) return rows;
  const tf = bundle(
    `import * as tf from '@tensorflow/tfjs-core';
    import '@tensorflow/tfjs-backend-wasm';
    export const { huberLoss } = tf.losses;`,
    PEERS,
  );
  const modules = `${PEERS}node_modules`;
  const tfKernel = `${modules}/@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm`;
  const ort = bundle(`export * from 'onnxruntime-web/wasm';`, PEERS);
  const ortKernel = `${modules}/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm`;
  return [
    ...rows,
    sizeOf('TF.js core and wasm backend (no gradients)', [tf, readFileSync(tfKernel)]),
    sizeOf('onnxruntime-web, wasm', [ort, readFileSync(ortKernel)]),
  ];
}

function bundle(contents: string, resolveDir: string): Uint8Array {
  const { outputFiles } = buildSync({
    stdin: { contents, resolveDir },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    external: ['node:*', 'fs', 'path', 'os', 'perf_hooks', 'worker_threads', 'crypto', 'util'],
    logLevel: 'error',
  });
  return outputFiles[0]!.contents;
}

function sizeOf(name: string, files: readonly Uint8Array[]): BundleSize {
  return {
    package: name,
    minified: sum(files, (file) => file.byteLength),
    gzipped: sum(files, (file) => gzipSync(file, { level: 9 }).byteLength),
  };
}
