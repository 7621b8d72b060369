// The example of a worker at the edge in workerd, beside the same worker with a JavaScript loop: how soon a new
// process answers, and what a request takes.

import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from 'd3-array';
import { progress } from '../demo/progress.ts';
import { bundleWorker, program, startWorker, type Worker } from '../test/workerd.ts';
import type { Pool } from './data.ts';
import { race } from './measure.ts';
import { type EdgeRow, OURS } from './results.ts';
import type { Section } from './section.ts';

const PLAIN = fileURLToPath(new URL('edge-javascript.ts', import.meta.url));
const STARTS = 7;

export const edge: Section = async ({ pool, effort, isQuick, skipped }) => {
  if (program === undefined) {
    skipped.push({ what: 'workerd', why: 'npm has none for this system, or it is not installed' });
    return {};
  }
  const names = [OURS, 'branch-free JavaScript'];
  const configs = [
    await bundleWorker('examples/edge/worker.ts', 'bench-edge'),
    await bundleWorker('examples/edge/worker.ts', 'bench-edge-javascript', [
      {
        name: 'the loop in the place of the package',
        setup: (build) =>
          build.onResolve({ filter: /^smooth-l1$/ }, ({ importer }) =>
            importer.endsWith('edge/worker.ts') ? { path: PLAIN } : undefined,
          ),
      },
    ]),
  ];
  const sizes = isQuick ? [2 ** 10, 2 ** 16] : [2 ** 10, 2 ** 14, 2 ** 18, 2 ** 20];
  const bar = progress('edge', STARTS + sizes.length);
  const starts = names.map((): number[] => []);
  for (let i = 0; i < STARTS; i++) {
    for (const [j, config] of configs.entries()) {
      const from = performance.now();
      const worker = await startWorker(config);
      await lossOf(worker, batch(pool, 16));
      starts[j]!.push(performance.now() - from);
      await worker.stop();
    }
    bar.step(1, 'starts');
  }
  const workers = await Promise.all(configs.map(startWorker));
  const rows: EdgeRow[] = [];
  try {
    for (const n of sizes) {
      const body = batch(pool, n);
      const [ours, plain] = await Promise.all(workers.map((worker) => lossOf(worker, body)));
      if (!(Math.abs(ours! / plain! - 1) < 1e-6))
        throw new Error(`edge: the losses of ${n} elements differ: ${ours}, ${plain}`);
      const samples = await race(
        workers.map((worker) => ({
          calls: async (count: number) => {
            for (let i = 0; i < count; i++) await lossOf(worker, body);
          },
          check: () => undefined,
          dispose: () => {},
        })),
        effort,
      );
      for (const [j, contender] of names.entries())
        rows.push({
          contender,
          n,
          startMs: median(starts[j]!)!,
          bytes: sizeOf(configs[j]!),
          ...samples[j]!,
        });
      bar.step(1, `${n.toLocaleString('en')} elements`);
    }
  } finally {
    for (const worker of workers) await worker.stop();
    bar.stop();
  }
  return { edge: rows };
};

/** The bytes of a worker's script. */
const sizeOf = (config: string): number => readFileSync(`${dirname(config)}/worker.js`).length;

/** A request for the mean and the gradient of these elements; its layout is in examples/edge/README.md. */
function batch({ input, target, beta }: Pool, n: number): Uint8Array<ArrayBuffer> {
  const body = new ArrayBuffer(16 + 8 * n);
  const header = new DataView(body);
  header.setUint32(0, 0x534d4c31);
  header.setUint8(6, 1);
  header.setFloat32(8, beta, true);
  header.setUint32(12, n, true);
  const numbers = new Float32Array(body, 16);
  numbers.set(input.subarray(0, n));
  numbers.set(target.subarray(0, n), n);
  return new Uint8Array(body);
}

async function lossOf({ address }: Worker, body: Uint8Array<ArrayBuffer>): Promise<number> {
  const response = await fetch(address, {
    method: 'POST',
    headers: { 'Content-Type': 'application/octet-stream' },
    body,
  });
  const answer = await response.arrayBuffer();
  if (!response.ok) throw new Error(`edge: ${response.status}: ${Buffer.from(answer)}`);
  return new DataView(answer).getFloat64(0, true);
}
