// Gradients against central differences of the losses, of the f64 oracle and of the package alike.
//
// All numbers are short binary fractions, and each residual stays on its side of a kink. There the
// losses are parabolas or lines, of which a central difference is exact.
import { describe, expect, test } from 'vitest';
import { backends, type Package } from './backends.ts';
import { type Call, inPlain, type Results, run } from './calls.ts';
import { f32, type Role } from './functions.ts';
import { type Layout, oracle } from './oracle.ts';

const STEP = 1 / 32;
const ROW = 4;

const target = f32(0.5, -1, 0.25, 2, -0.75, 0, 1.5, -2, 0.125, 3, -0.5, 1);
const residuals = f32(0.375, -0.5, 2.5, -3, 0.25, -0.375, -2.25, 4, 0.5, -2.5, 0.25, 3.5);
const pair: Call = {
  form: 'smoothL1',
  threshold: 1,
  input: residuals.map((d, i) => d + (target[i] as number)),
  target,
  reduction: 'sum',
  allGradients: true,
  gradGradInput: f32(1, -2, 0.5, 3, -1, 0.25, 2, -0.5, 1.5, -1, 4, 0.75),
};
const inside = f32(1, -0.5, 2, -1, 0.5, 1, -2, 0.75, -1, 1.5, 0.5, -0.75);
const outside = f32(1, -1, 0.5, 2, -0.25, 1, 3, -0.5, 1.5, 0.25, -2, 1);
const weights = { insideWeights: inside, outsideWeights: outside };
const mask = Uint8Array.of(1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1);
const perRow = { perRow: f32(1, -0.75, 1.5) };
const full = f32(1, -1, 2, 0.5, 3, -0.25, 1, 2, -2, 1.5, -0.5, 1);

const cases: [string, Partial<Call>][] = [
  ['a sum', {}],
  ['a mean', { reduction: 'mean' }],
  ['losses of the elements', { reduction: 'none' }],
  ['losses of the rows', { reduction: 'rows', rowLength: ROW }],
  ['a scale', { reduction: 'mean', scale: -3 }],
  ['an upstream number', { reduction: 'mean', gradOutput: -2.5 }],
  ['an upstream number for each row', { reduction: 'rows', rowLength: ROW, gradOutput: perRow }],
  ['an upstream number for each element', { reduction: 'none', gradOutput: full }],
  ['an upstream number for each element of a mean', { reduction: 'mean', gradOutput: full }],
  ['inside weights', { insideWeights: inside }],
  ['outside weights', { outsideWeights: outside }],
  ['weights', weights],
  ['weights and upstream numbers', { ...weights, reduction: 'none', gradOutput: full }],
  ['weights and a mask', { ...weights, mask: mask as Layout, reduction: 'mean' }],
  ...(['elements', 'rows', 'weights', 'nonzeroWeights', 'unmasked', 2.5] as const).map(
    (divisor): [string, Partial<Call>] => [
      `a mean over ${divisor}`,
      { ...weights, mask: mask as Layout, reduction: 'mean', rowLength: ROW, divisor },
    ],
  ),
  [
    'a mean over weights, upstream too',
    { ...weights, reduction: 'mean', divisor: 'weights', gradOutput: 3 },
  ],
  [
    'a mean over weights whose sum is negative',
    {
      insideWeights: inside,
      outsideWeights: outside.map((weight) => -weight),
      reduction: 'mean',
      divisor: 'weights',
    },
  ],
  [
    'a mean over a least divisor',
    { ...weights, reduction: 'mean', divisor: 'weights', minDivisor: 64 },
  ],
  ['a weight for each row', { outsideWeights: perRow, insideWeights: perRow, rowLength: ROW }],
  [
    'a weight for each column',
    {
      outsideWeights: { perColumn: f32(1, -2, 0.5, 3) },
      insideWeights: { perColumn: f32(1, -1, 0.5, 2) },
      rowLength: ROW,
    },
  ],
  ['a weight for all', { insideWeights: -1, outsideWeights: 2, reduction: 'mean' }],
];

const forms: Pick<Call, 'form' | 'threshold' | 'tau'>[] = [
  { form: 'smoothL1', threshold: 1 },
  { form: 'smoothL1', threshold: 2 },
  { form: 'smoothL1', threshold: 0 },
  { form: 'huber', threshold: 1 },
  { form: 'huber', threshold: 2 },
  { form: 'huber', threshold: Infinity },
  { form: 'l1', threshold: 0 },
  { form: 'quantileHuber', threshold: 1, tau: 0.75 },
  { form: 'quantileHuber', threshold: 2, tau: 0 },
];

// ---- what is differentiated -------------------------------------------------------------------
type Ask = (role: Role, call: Call) => { [output: string]: number | ArrayLike<number> };

const askOracle: Ask = (_, call) => {
  const result = oracle(call);
  const { gradGradInput } = call;
  return {
    ...result,
    doubleBackward: result.hessian.map((h, i) => h * (gradGradInput?.[i] as number)),
    hessian: oracle({ ...call, gradOutput: undefined }).hessian,
  };
};
const ask =
  (smooth: Package): Ask =>
  (role, call): Results =>
    run(smooth, role, call, inPlain);

/** The value of a layout for an element. */
function valueAt(layout: Layout, i: number): number {
  if (typeof layout === 'number') return layout;
  if ('perRow' in layout) return layout.perRow[Math.floor(i / ROW)] as number;
  if ('perColumn' in layout) return layout.perColumn[i % ROW] as number;
  return layout[i] as number;
}

const dot = (a: ArrayLike<number>, b: (i: number) => number): number =>
  Array.from(a).reduce((sum, x, i) => sum + x * b(i), 0);

/** The number whose gradient a call is about: its losses times the upstream gradient. */
function objective(ask: Ask, call: Call): number {
  const { gradOutput = 1, reduction } = call;
  const losses = (reduction: Call['reduction']) =>
    ask('forward', {
      ...call,
      reduction,
      ...(reduction !== 'mean' && { divisor: undefined, minDivisor: undefined }),
    }).loss;
  if (typeof gradOutput === 'number' && (reduction === 'sum' || reduction === 'mean'))
    return gradOutput * (losses(reduction) as number);
  if (reduction === 'rows')
    return dot(losses('rows') as ArrayLike<number>, (row) => valueAt(gradOutput, row * ROW));
  const sum = dot(losses('none') as ArrayLike<number>, (i) => valueAt(gradOutput, i));
  return sum / oracle(call).divisor;
}

/** The same layout with `step` more for element, row or column `i`. */
function moved(layout: Layout, i: number, step: number): Layout {
  const move = (values: ArrayLike<number>): Float32Array =>
    Float32Array.from(values, (x, j) => (i === j ? x + step : x));
  if (typeof layout === 'number') return layout + step;
  if ('perRow' in layout) return { perRow: move(layout.perRow) };
  if ('perColumn' in layout) return { perColumn: move(layout.perColumn) };
  return move(layout);
}

type Operand = 'input' | 'target' | 'insideWeights' | 'outsideWeights' | 'threshold' | 'gradOutput';

/** The central difference of a function of a call, to one number of one operand. */
function difference(
  f: (call: Call) => number,
  call: Call,
  name: Operand,
  i = 0,
  step = STEP,
): number {
  const at = (step: number) => f({ ...call, [name]: moved(call[name] as Layout, i, step) });
  return (at(step) - at(-step)) / (2 * step);
}

/** The gradients to one weight: to a row's it is the sum over the row. */
function collected(layout: Layout, grads: ArrayLike<number>): number[] {
  const of = (index: (i: number) => number, length: number): number[] => {
    const sums = new Array<number>(length).fill(0);
    Array.from(grads).forEach((g, i) => {
      sums[index(i)] = (sums[index(i)] as number) + g;
    });
    return sums;
  };
  if (typeof layout === 'number') return of(() => 0, 1);
  if ('perRow' in layout) return of((i) => Math.floor(i / ROW), layout.perRow.length);
  if ('perColumn' in layout) return of((i) => i % ROW, ROW);
  return Array.from(grads);
}

function expectClose(
  name: string,
  actual: ArrayLike<number>,
  expected: number[],
  tolerance: number,
): void {
  expect(actual.length, name).toBe(expected.length);
  expected.forEach((x, i) => {
    const error = Math.abs((actual[i] as number) - x) / Math.max(1, Math.abs(x));
    if (!(error <= tolerance)) expect.fail(`${name}[${i}] is ${actual[i]}, its difference ${x}`);
  });
}

/** No step of any operand may cross a kink. */
function expectSmooth({ form, threshold, insideWeights = 1 }: Call): void {
  residuals.forEach((d, i) => {
    const weight = valueAt(insideWeights, i);
    const e = Math.abs(weight * d);
    const reach = STEP * Math.max(Math.abs(d), Math.abs(weight), 1);
    const kink = form === 'l1' ? 0 : (threshold as number);
    if (Math.abs(e - kink) <= reach || (kink === 0 && e <= reach))
      expect.fail(`residual ${i} is too close to a kink`);
  });
}

// ---- the tests --------------------------------------------------------------------------------
const systems: [string, Ask, number][] = [
  ['oracle', askOracle, 1e-9],
  ...backends.map(([name, smooth]): [string, Ask, number] => [name, ask(smooth), 4e-6]),
];

describe.each(systems)('%s', (_, ask, tolerance) => {
  describe.each(forms)('$form, threshold $threshold', (form) => {
    test.each(cases)('%s', (_, more) => {
      const call: Call = { ...pair, ...form, ...more };
      expectSmooth(call);
      const loss = (call: Call) => objective(ask, call);
      const found = ask('backward', call);
      const each = (name: Operand, length: number, step = STEP) =>
        Array.from({ length }, (_, i) => difference(loss, call, name, i, step));

      expectClose('gradInput', found.gradInput as ArrayLike<number>, each('input', 12), tolerance);
      expectClose(
        'gradTarget',
        found.gradTarget as ArrayLike<number>,
        each('target', 12),
        tolerance,
      );
      for (const [output, name] of [
        ['gradInsideWeights', 'insideWeights'],
        ['gradOutsideWeights', 'outsideWeights'],
      ] as const) {
        const layout = call[name];
        const grads = found[output] as ArrayLike<number> | undefined;
        if (layout === undefined || grads === undefined) continue;
        const sums = collected(layout, grads);
        // The mean over weights is no polynomial of them: its difference has an error of its own.
        const isQuotient = call.divisor === 'weights' && name === 'outsideWeights';
        const expected = each(name, sums.length, isQuotient ? 2 ** -9 : STEP);
        expectClose(output, sums, expected, isQuotient ? Math.max(1e-4, tolerance) : tolerance);
      }
    });
  });

  const twiceDifferentiable = forms.filter(({ form }) => form === 'smoothL1' || form === 'huber');
  test.each(twiceDifferentiable)('$form, threshold $threshold: second derivatives', (form) => {
    for (const [name, more] of cases) {
      const call: Call = { ...pair, ...form, ...more };
      const grad = (call: Call) => ask('backward', call).gradInput as ArrayLike<number>;
      const bare = { ...call, gradOutput: undefined };
      const diagonal = Array.from(residuals, (_, i) =>
        difference((call) => grad(call)[i] as number, bare, 'input', i),
      );
      const hessian = ask('hessian', bare).hessian as ArrayLike<number>;
      expectClose(`hessian of ${name}`, hessian, diagonal, 1e-5);

      const direction = call.gradGradInput as Float32Array;
      const along = (call: Call) => dot(grad(call), (i) => direction[i] as number);
      const to = (name: Operand) =>
        Array.from(residuals, (_, i) => difference(along, call, name, i));
      const twice = Array.from(ask('doubleBackward', call).doubleBackward as ArrayLike<number>);
      const negative = twice.map((h) => -h);
      expectClose(`double backward of ${name}`, twice, to('input'), 2e-5);
      expectClose(`double backward of ${name}, to the target`, negative, to('target'), 2e-5);
      if (!(call.gradOutput instanceof Float32Array)) continue;
      // To the upstream gradient it is a backward with the direction in its place.
      const upstream = ask('backward', { ...call, gradOutput: direction });
      const expected = to('gradOutput');
      expectClose('to gradOutput', upstream.gradInput as ArrayLike<number>, expected, 2e-5);
    }
  });

  test.each(
    twiceDifferentiable.filter(({ threshold }) => threshold !== 0 && threshold !== Infinity),
  )('$form, threshold $threshold: derivative to the threshold', (form) => {
    // Beta divides: its difference is not exact, and wants a small step, which f32 has no room for.
    const [step, error] = tolerance < 1e-6 ? [2 ** -14, 1e-7] : [2 ** -7, 1e-3];
    for (const [name, more] of cases) {
      const call: Call = { ...pair, ...form, ...more };
      const expected = difference((call) => objective(ask, call), call, 'threshold', 0, step);
      const { thresholdGrad } = ask('thresholdGrad', call);
      expectClose(name, [thresholdGrad as number], [expected], error);
    }
  });
});
