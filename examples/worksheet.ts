// The worksheet that this package goes back to: its numbers beside ours, and its plots.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  float32,
  l1Distance,
  smoothL1Loss,
  smoothL1LossBackward,
  smoothL1LossHessian,
  smoothL1OfDistance,
  smoothL1OfDistanceBackward,
} from 'smooth-l1';
import { compare, type Row } from './comparison.ts';
import { draw } from './curves.ts';

const PLOTS = fileURLToPath(new URL('../docs/images/smooth-l1.svg', import.meta.url));

type Line = readonly [name: string, written: string, exact: number, ours: number];

const rows = (lines: readonly Line[]): Row[] =>
  lines.map(([name, written, expected, ours]) => ({ name, written, expected, ours }));

// ---- the function of a vector -----------------------------------------------------------------

const p = float32([1, 2, 3]);
const q = float32([1.1, 2, 3.3]);

function ofDistance(): Row[] {
  const [first = NaN, second = NaN, third = NaN] = smoothL1OfDistanceBackward(1, p, q);
  return rows([
    ['D = sum |p_i - q_i|', '0.4', 0.4, l1Distance(p, q)],
    ['f(D), sigma 1', '0.080', 0.08, smoothL1OfDistance(p, q)],
    ['f(D), sigma 3', '0.3444444444', 0.4 - 1 / 18, smoothL1OfDistance(p, q, { sigma: 3 })],
    ["f'(D) sign(p_i - q_i), sigma 1, i = 1", '-D', -0.4, first],
    ['  i = 2', '0', 0, second],
    ['  i = 3', '-D', -0.4, third],
  ]);
}

function ofElements(): Row[] {
  const sum = (sigma: number) => smoothL1Loss(p, q, { sigma, reduction: 'sum' });
  return rows([
    ['sum f(p_i - q_i), sigma 1', '0.05', 0.05, sum(1)],
    ['sum f(p_i - q_i), sigma 3', '0.2894444', 4.5 * 0.01 + 0.3 - 1 / 18, sum(3)],
  ]);
}

const WHY = `The two differ. The worksheet takes f of one number, the distance: f(0.1 + 0 + 0.3). The code of
Fast R-CNN, and all that came after it, adds up f of each element: f(0.1) + f(0) + f(0.3), which
is never more, because f is convex and 0 at 0. So they have two names here: smoothL1OfDistance is
the first, smoothL1Loss the second.
`;

// ---- the function of a number -----------------------------------------------------------------

// An array of one element, with 0 for its target.
const zero = float32(1);
const f = (x: number, sigma: number) =>
  smoothL1Loss(Float32Array.of(x), zero, { sigma, reduction: 'sum' });
const slope = (x: number, sigma: number) =>
  smoothL1LossBackward(1, Float32Array.of(x), zero, { sigma, reduction: 'sum' })[0] as number;
const curvature = (x: number, sigma: number) =>
  smoothL1LossHessian(Float32Array.of(x), zero, { sigma, reduction: 'sum' })[0] as number;

/** Where the parabola ends: there is no curvature from there on. */
function bound(sigma: number): number {
  let [inside, outside] = [0, 2];
  while (outside - inside > 1e-9) {
    const middle = (inside + outside) / 2;
    if (curvature(middle, sigma) > 0) inside = middle;
    else outside = middle;
  }
  return Math.fround(outside);
}

/** Compared at a number on the parabola, and at one beyond it. */
function ofNumber(sigma: number, x: number, far: number, written: readonly string[]): Row[] {
  const [parabola = '', end = '', offset = '', slopeAtX = ''] = written;
  const beta = 1 / sigma ** 2;
  return rows([
    ['f(x) / x^2 on the parabola', parabola, 0.5 / beta, f(x, sigma) / x ** 2],
    ['end of the parabola', end, beta, bound(sigma)],
    ['|x| - f(x) beyond it', offset, 0.5 * beta, far - f(far, sigma)],
    [`f'(${-far})`, '-1', -1, slope(-far, sigma)],
    [`f'(x), x = ${x}`, slopeAtX, x / beta, slope(x, sigma)],
    [`f'(${far})`, '1', 1, slope(far, sigma)],
  ]);
}

compare('p = [1, 2, 3], q = [1.1, 2, 3.3]: smooth L1 of their distance', 'worksheet', ofDistance());
compare('The same p and q: the sum over their elements', 'Fast R-CNN', ofElements());
console.log(WHY);
const one = ofNumber(1, 0.25, 2, ['0.5', '1', '0.5', 'x']);
const three = ofNumber(3, 0.0625, 0.25, ['4.5', '1/9', '0.0555556', '9x']);
compare('f of a number, sigma 1', 'worksheet', one);
compare('f of a number, sigma 3', 'worksheet', three);

mkdirSync(dirname(PLOTS), { recursive: true });
writeFileSync(PLOTS, draw());
console.log(`The plots: ${relative(process.cwd(), PLOTS)}`);
