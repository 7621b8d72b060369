// What one call costs, of every kind and on few elements; beside the loop that one would write in
// JavaScript, and beside another build of the package.

import { pathToFileURL } from 'node:url';
import * as own from 'smooth-l1';
import { type Progress, progress } from '../demo/progress.ts';
import { unchecked } from './contender.ts';
import type { Pool } from './data.ts';
import { race } from './measure.ts';
import type { CallRow } from './results.ts';
import type { Section } from './section.ts';

type Package = typeof own;
type Calls = ReadonlyMap<string, () => unknown>;

const SIZES = [16, 64, 256, 1024];

/** Races all kinds of calls. */
export const calls: Section = async ({ pool, effort, baseline }) => {
  const before: Package | undefined =
    baseline && (await import(pathToFileURL(`${baseline}/index.js`).href));
  const rows: CallRow[] = [];
  let bar: Progress | undefined;
  for (const n of SIZES) {
    const kinds = callsOf(own, pool, n);
    const olds = before && callsOf(before, pool, n);
    const loops = naiveLoops(pool, n);
    bar ??= progress('calls', SIZES.length * kinds.size);
    for (const [kind, call] of kinds) {
      const others = { naive: loops.get(kind), baseline: olds?.get(kind) };
      const there = Object.entries(others).filter(([, other]) => other !== undefined);
      const runs = [call, ...there.map(([, other]) => other!)].map(unchecked);
      const [sample, ...samples] = await race(runs, effort);
      const ratios = there.map(([name], j) => [name, samples[j]!.ratio]);
      rows.push({ kind, n, ns: sample!.ns, ...Object.fromEntries(ratios) });
      bar.step(1, `${kind}, ${n} elements`);
    }
  }
  bar?.stop();
  return { calls: rows };
};

/** Every kind of call, on arrays of the kernel unless it says staged. */
function callsOf(smooth: Package, pool: Pool, n: number): Calls {
  const { float32, uint8, smoothL1Loss, SmoothL1Loss } = smooth;
  const array = (length: number) => float32(pool.input.subarray(0, length));
  const [x, y, weight, gradOutput] = [
    array(n),
    float32(pool.target.subarray(0, n)),
    array(n),
    array(n),
  ];
  const [grad, gradTarget, losses] = [float32(n), float32(n), float32(n)];
  const [sums, weightOfRow, weightOfColumn, beta] = [
    float32(n / 8),
    array(n / 8),
    array(8),
    float32([1, 2, 3, 4, 5, 6, 7, 8]),
  ];
  const mask = uint8(Array.from({ length: n }, (_, i) => (i % 3 === 0 ? 0 : 1)));
  const [X, Y, G] = [x.slice(), y.slice(), new Float32Array(n)];
  const plain = new SmoothL1Loss();
  const none = new SmoothL1Loss({ reduction: 'none' });
  const rows = new SmoothL1Loss({ reduction: 'rows', rowLength: 8 });
  const weighted = new SmoothL1Loss({ weight });
  const both = new SmoothL1Loss({ weight, mask });
  const byRow = new SmoothL1Loss({ weight: { perRow: weightOfRow }, rowLength: 8 });
  const byColumn = new SmoothL1Loss({ weight: { perColumn: weightOfColumn }, rowLength: 8 });
  const masked = new SmoothL1Loss({ mask });
  const thresholds = new SmoothL1Loss({ beta, rowLength: 8 });
  return new Map<string, () => unknown>([
    ['loss.forward', () => plain.forward(x, y)],
    ['smoothL1Loss', () => smoothL1Loss(x, y)],
    ['smoothL1Loss, { beta }', () => smoothL1Loss(x, y, { beta: 0.5 })],
    ['forward, "none", { out }', () => none.forward(x, y, { out: losses })],
    ['forward, "rows", { out }', () => rows.forward(x, y, { out: sums })],
    ['forward, weight', () => weighted.forward(x, y)],
    ['forward, weight by row', () => byRow.forward(x, y)],
    ['forward, weight by column', () => byColumn.forward(x, y)],
    ['forward, mask', () => masked.forward(x, y)],
    ['forward, beta by column', () => thresholds.forward(x, y)],
    ['loss.withGrad', () => plain.withGrad(x, y, grad)],
    ['withGrad, weight', () => weighted.withGrad(x, y, grad)],
    ['withGrad, weight and mask', () => both.withGrad(x, y, grad)],
    ['withGrad, { gradTarget }', () => plain.withGrad(x, y, grad, { gradTarget })],
    ['withGrad, { weight }', () => plain.withGrad(x, y, grad, { weight })],
    ['backward, { out }', () => plain.backward(1, x, y, { out: grad })],
    ['backward, array upstream, { out }', () => plain.backward(gradOutput, x, y, { out: grad })],
    ['forward, staged', () => plain.forward(X, Y)],
    ['withGrad, staged', () => plain.withGrad(X, Y, G)],
    ['backward, { out }, staged', () => plain.backward(1, X, Y, { out: G })],
    ['smoothL1LossHessian, { out }', () => smooth.smoothL1LossHessian(x, y, { out: grad })],
  ]);
}

/** The loops that one would write, for some of these. */
function naiveLoops(pool: Pool, n: number): Calls {
  const [x, y] = [pool.input.slice(0, n), pool.target.slice(0, n)];
  const weight = pool.input.slice(0, n);
  const mask = Uint8Array.from(x, (_, i) => (i % 3 === 0 ? 0 : 1));
  const grad = new Float32Array(n);
  const loss = (d: number) => (Math.abs(d) < 1 ? 0.5 * d * d : Math.abs(d) - 0.5);
  const slope = (d: number) => (Math.abs(d) < 1 ? d : Math.sign(d));
  const forward = (weigh: (i: number) => number) => () => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += weigh(i) * loss(x[i]! - y[i]!);
    return sum / n;
  };
  const withGrad = (weigh: (i: number) => number) => () => {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const d = x[i]! - y[i]!;
      const w = weigh(i);
      sum += w * loss(d);
      grad[i] = (w * slope(d)) / n;
    }
    return sum / n;
  };
  return new Map<string, () => unknown>([
    ['loss.forward', forward(() => 1)],
    ['forward, weight', forward((i) => weight[i]!)],
    ['forward, mask', forward((i) => mask[i]!)],
    ['loss.withGrad', withGrad(() => 1)],
    ['withGrad, weight', withGrad((i) => weight[i]!)],
    ['withGrad, weight and mask', withGrad((i) => weight[i]! * mask[i]!)],
  ]);
}
