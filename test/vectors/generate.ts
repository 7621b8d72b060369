/**
 * Writes vectors.json; with `--check` only says whether it is up to date. First holds the oracle
 * against the values in outside.json, afterwards, where the interpreter $PYTHON (python3) has it,
 * against PyTorch.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Form, type Job, type Layout, oracle, type Result } from '../oracle.ts';
import {
  type Case,
  jobOf,
  matches,
  type Options,
  type Output,
  outputs,
  readCases,
  stringify,
} from './format.ts';

const vectors = new URL('vectors.json', import.meta.url);
const outside = new URL('outside.json', import.meta.url);
const torchCheck = fileURLToPath(new URL('check_torch.py', import.meta.url));

const about = [
  'Conformance vectors for smooth L1, Huber and L1 loss; README.md beside this file explains them.',
  'Numbers that JSON lacks are strings: "nan", "inf", "-inf", "-0". Inputs are exact f32 values.',
  'Written by: npx tsx test/vectors/generate.ts',
];

const FORMS: Form[] = ['smoothL1', 'huber', 'l1'];
const REDUCTIONS = ['none', 'sum', 'mean', 'rows'] as const;
const ZERO_POLICIES = ['nan', 'zero'] as const;
const SMALLEST = 2 ** -149;
const LARGEST = (2 - 2 ** -23) * 2 ** 127;

const cases: Case[] = [];

interface Extra {
  signedZeros?: true;
  /** The outputs to keep; without it, all that apply. */
  only?: Output[];
}

function add(
  name: string,
  form: Form,
  options: Options,
  input: number[],
  target: number[],
  { signedZeros, only = [...outputs] }: Extra = {},
): void {
  const job = jobOf({ form, options, input, target });
  const result = oracle(job);
  const kept = only.filter((output) => applies(output, job));
  cases.push({
    name,
    form,
    options,
    input,
    target,
    expected: Object.fromEntries(kept.map((output) => [output, result[output]])),
    tolerance: { ulp: 8, ...absoluteOf(job, result, kept) },
    ...(signedZeros && { signedZeros }),
  });
}

function applies(output: Output, job: Job): boolean {
  if (output === 'gradInsideWeights') return job.insideWeights !== undefined;
  if (output === 'gradOutsideWeights') return job.outsideWeights !== undefined;
  if (output === 'hessian') return job.form !== 'l1';
  if (output === 'thresholdGrad') return job.form !== 'l1' && typeof job.threshold === 'number';
  return true;
}

/** What rounding can make of a sum whose terms cancel: a bound from the size of the terms. */
function absoluteOf(job: Job, result: Result, kept: Output[]): Pick<Case['tolerance'], 'absolute'> {
  if (result.divisor === 0) return {};
  const divisor = Math.abs(result.divisor);
  const upstream = mapLayout(job.gradOutput ?? 1, Math.abs);
  const sizes = oracle({
    ...job,
    scale: Math.abs(job.scale ?? 1),
    outsideWeights: mapLayout(job.outsideWeights ?? 1, Math.abs),
    gradOutput: upstream,
    divisor,
    minDivisor: undefined,
  });
  const loss = Math.max(0, ...[sizes.loss].flat());
  const size: { [output in Output]?: number } = { thresholdGrad: Math.abs(sizes.thresholdGrad) };
  if (job.reduction !== 'none') size.loss = loss;
  if (job.divisor === 'weights' && typeof upstream === 'number') {
    size.gradOutsideWeights =
      Math.max(0, ...sizes.gradOutsideWeights) + (loss * upstream) / divisor;
  }
  const roundings = (8 + job.input.length / 16) * 2 ** -24;
  const bounds = Object.entries(size)
    .filter(([output, x]) => kept.includes(output as Output) && Number.isFinite(x) && x > 0)
    .map(([output, x]) => [output, Number((x * roundings).toPrecision(2))]);
  return bounds.length > 0 ? { absolute: Object.fromEntries(bounds) } : {};
}

function mapLayout(layout: Layout, f: (x: number) => number): Layout {
  if (typeof layout === 'number') return f(layout);
  if ('perRow' in layout) return { perRow: Array.from(layout.perRow, f) };
  if ('perColumn' in layout) return { perColumn: Array.from(layout.perColumn, f) };
  return Array.from(layout, f);
}

// Data. Only the full-mantissa numbers round when they are subtracted or weighted.

let state = 1;

/** A whole number below `bound`, the same ones at each run (a 32-bit LCG, its high bits). */
function random(bound: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * bound);
}

function pick<T>(from: readonly T[], i = random(from.length)): T {
  return from[i % from.length] as T;
}

function repeat<T>(n: number, f: (i: number) => T): T[] {
  return Array.from({ length: n }, (_, i) => f(i));
}

const coarse = (n: number) => repeat(n, () => (random(513) - 256) / 64);
const fine = (n: number) => repeat(n, () => (random(2 ** 24) - 2 ** 23) / 2 ** 21);
const weights = (n: number) => repeat(n, () => (random(33) - 16) / 8);
const bits = (n: number) => repeat(n, () => random(2));
const zeros = (n: number) => repeat(n, () => 0);

/** The neighbour of a positive f32, `step` numbers further. */
function neighbour(x: number, step: number): number {
  const float = new Float32Array([x]);
  const int = new Int32Array(float.buffer);
  int[0] = (int[0] as number) + step;
  return float[0] as number;
}

function thresholdOption(form: Form, threshold: number | number[]): Options {
  if (form === 'l1') return {};
  return form === 'huber' ? { delta: threshold } : { beta: threshold };
}

// The cases.

const named = (x: number) => String(Number(x.toPrecision(3)));

function kinks(): void {
  for (const form of ['smoothL1', 'huber'] as const) {
    for (const threshold of [0.5, 1 / 9, 0.7, 0.1, 1 / 3, 1]) {
      const t = Math.fround(threshold);
      const around = [t, neighbour(t, -1), neighbour(t, 1), t / 2, 2 * t];
      const input = [0, -0, ...around, ...around.map((x) => -x)];
      const options = { ...thresholdOption(form, threshold), reduction: 'none' } as const;
      add(`kink, ${form} at ${named(t)}`, form, options, input, zeros(12), { signedZeros: true });
      const sides = { ...thresholdOption(form, threshold), reduction: 'sum' } as const;
      add(`kink by difference, ${form} at ${named(t)}`, form, sides, [t, 2 * t], [2 * t, t]);
    }
  }
}

function extremes(): void {
  const small = [1e-30, SMALLEST, 1e-40, -5e-41].map(Math.fround);
  const plain = [0.25, -0.25, 0.5, -0.5, 1, -2];
  const input = [0, -0, ...plain, ...small, Math.fround(3e38), Infinity, -Infinity, NaN];
  for (const form of ['smoothL1', 'huber'] as const) {
    for (const threshold of [0, SMALLEST, 1e-40, 0.1, 1 / 9, 0.5, 1, 1e38, 3e38, Infinity]) {
      const t = Math.fround(threshold);
      const options = { ...thresholdOption(form, threshold), reduction: 'none' } as const;
      // Huber at delta = 0 is 0 everywhere, or 0 times infinity: nobody's promise.
      const these =
        form === 'huber' && t === 0 ? input.filter((x) => Math.abs(x) < Infinity) : input;
      const name = `${form} at ${named(threshold)}`;
      const extra: Extra = t > 0 && t < Infinity ? { signedZeros: true } : {};
      add(`extremes, ${name}`, form, options, these, zeros(these.length), extra);
      const near = [t / 2, t, 2 * t, neighbour(Math.min(t, LARGEST), -1), neighbour(t, 1)]
        .map(Math.fround)
        .filter((x) => x > 0 && x < Infinity);
      const both = [...near, ...near.map((x) => -x), 1e-3, 1e3].map(Math.fround);
      add(`finite extremes, ${name}`, form, options, both, zeros(both.length));
    }
  }
  add('extremes, l1', 'l1', { reduction: 'none' }, input, zeros(16));
  const tiny = [1e-23, -5e-24].map(Math.fround);
  const huge = [1e20, -5e20].map(Math.fround);
  add('d * d overflows', 'smoothL1', { beta: 1e21, reduction: 'none' }, huge, [0, 0]);
  add('d * d underflows', 'smoothL1', { beta: 1e-22, reduction: 'none' }, tiny, [0, 0]);
  add('d overflows', 'smoothL1', { reduction: 'none' }, [Math.fround(3e38)], [Math.fround(-3e38)]);
  for (const sigma of [0.5, 1, 2.4, 3, Infinity]) {
    const options = { sigma, reduction: 'none' } as const;
    add(`sigma ${sigma}`, 'smoothL1', options, [...coarse(11), 0], [...coarse(11), 0]);
  }
}

function notANumber(): void {
  const input = [NaN, 1, NaN, Infinity, -Infinity, 1, 0.25, Infinity];
  const target = [1, NaN, NaN, Infinity, -Infinity, Infinity, 0, 0];
  for (const form of FORMS) {
    for (const threshold of form === 'l1' ? [0] : [0, 1, Infinity]) {
      const options = { ...thresholdOption(form, threshold), reduction: 'none' } as const;
      const finite = form === 'huber' && threshold === 0 ? 5 : 8;
      const name = `not a number, ${form} at ${threshold}`;
      add(name, form, options, input.slice(0, finite), target.slice(0, finite));
    }
    for (const reduction of REDUCTIONS) {
      const options = { reduction, rowLength: 4 };
      const name = `not a number, ${form}, ${reduction}`;
      add(name, form, options, [...coarse(6), NaN, 1], coarse(8));
    }
    const common = { reduction: 'none' } as const;
    const insideWeights = [NaN, 1, 0, 0, 1];
    const outsideWeights = [1, NaN, 1, 0, 0];
    const data = [1, 1, Infinity, NaN, Infinity];
    const name = `not a number in or behind a weight, ${form}`;
    add(name, form, { ...common, insideWeights, outsideWeights }, data, zeros(5));
    const gradOutput = [NaN, Infinity, -Infinity, 2];
    add(`not a number upstream, ${form}`, form, { ...common, gradOutput }, [1, 1, 0, 3], zeros(4));
  }
}

function lengths(): void {
  for (let n = 1; n <= 40; n++) {
    const form = pick(FORMS, n);
    const reduction = pick(['mean', 'none', 'sum'] as const, Math.floor(n / 3));
    const options = { ...thresholdOption(form, pick([0.3, 1, 2.5])), reduction };
    add(`length ${n}, ${form}, ${reduction}`, form, options, fine(n), fine(n));
  }
  const only: Output[] = ['loss', 'gradInput', 'thresholdGrad'];
  add('length 1025, mean', 'smoothL1', { beta: 2 }, coarse(1025), coarse(1025), { only });
  const many: Options = {
    delta: 1.5,
    reduction: 'sum',
    rowLength: 5,
    insideWeights: { perColumn: weights(5) },
    outsideWeights: { perRow: weights(205) },
    mask: { perRow: bits(205) },
  };
  add('length 1025, weighted', 'huber', many, coarse(1025), coarse(1025), { only });
}

const ROWS = 3;
const COLUMNS = 4;
const SIZE = ROWS * COLUMNS;

function layouts(): { [name: string]: Layout | undefined } {
  return {
    absent: undefined,
    'a number': pick([-1.5, 0.5, 2]),
    full: weights(SIZE),
    'per row': { perRow: weights(ROWS) },
    'per column': { perColumn: weights(COLUMNS) },
  };
}

function given<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, x]) => x !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

function weightLayouts(): void {
  let i = 0;
  for (const [inside, insideWeights] of Object.entries(layouts())) {
    for (const [out, outsideWeights] of Object.entries(layouts())) {
      const form = pick(FORMS, i);
      const reduction = pick(REDUCTIONS, i++);
      const options: Options = given({
        ...thresholdOption(form, pick([0.5, 1, 3])),
        reduction,
        rowLength: COLUMNS,
        insideWeights,
        outsideWeights,
      });
      const name = `weights, inside ${inside}, outside ${out}, ${form}, ${reduction}`;
      add(name, form, options, coarse(SIZE), coarse(SIZE));
    }
  }
}

function thresholdsPerColumn(): void {
  for (const form of ['smoothL1', 'huber'] as const) {
    for (const reduction of REDUCTIONS) {
      const options: Options = {
        ...thresholdOption(form, [0.25, 1, 1 / 9, 3]),
        reduction,
        rowLength: COLUMNS,
        insideWeights: { perColumn: weights(COLUMNS) },
        outsideWeights: { perRow: weights(ROWS) },
      };
      const name = `thresholds per column, ${form}, ${reduction}`;
      add(name, form, options, coarse(SIZE), coarse(SIZE));
    }
    const options: Options = {
      ...thresholdOption(form, [0, SMALLEST, 1, Infinity]),
      reduction: 'none',
      rowLength: COLUMNS,
    };
    const input = [0, SMALLEST, 1, 1e30, 1, 1, -2, -1, -1, NaN, 0.5, 0].map(Math.fround);
    add(`extreme thresholds per column, ${form}`, form, options, input, zeros(SIZE));
  }
}

function masks(): void {
  const perRow = [1, 0, 1];
  const full = [1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1];
  const some = full.map((x, i) => (i === 0 || i === 5 ? 0 : x));
  // What stays, and how it is said. What goes is NaN or infinite wherever it can be.
  const kinds: { [name: string]: { stays: number[]; options: Options } } = {
    full: { stays: full, options: { mask: full } },
    'per row': { stays: repeat(SIZE, (i) => pick(perRow, i >> 2)), options: { mask: { perRow } } },
    'NaN targets': { stays: full, options: { ignoreNaNTargets: true } },
    both: { stays: some, options: { mask: full, ignoreNaNTargets: true } },
  };
  let i = 0;
  for (const reduction of REDUCTIONS) {
    for (const [kind, { stays, options }] of Object.entries(kinds)) {
      const form = pick(FORMS, i++);
      const spoil = (xs: number[], by: number[]) => xs.map((x, j) => (stays[j] ? x : pick(by)));
      const bad = [NaN, Infinity, -Infinity];
      const all: Options = {
        ...options,
        reduction,
        rowLength: COLUMNS,
        insideWeights: spoil(weights(SIZE), bad),
        outsideWeights: spoil(weights(SIZE), bad),
      };
      const target = spoil(coarse(SIZE), options.ignoreNaNTargets ? [NaN] : bad);
      add(`mask, ${kind}, ${form}, ${reduction}`, form, all, spoil(coarse(SIZE), bad), target);
    }
  }
  const onlyTargets: Options = { ignoreNaNTargets: true, divisor: 'unmasked' };
  add('mask, NaN in the input stays', 'smoothL1', onlyTargets, [NaN, 1, 2], [0, NaN, 0]);
}

const DIVISORS = ['elements', 'rows', 'weights', 'nonzeroWeights', 'unmasked', 2.5] as const;

function divisors(): void {
  let i = 0;
  for (const divisor of DIVISORS) {
    for (const minDivisor of [undefined, 0.5, 20]) {
      for (const onZeroDivisor of ZERO_POLICIES) {
        const form = pick(FORMS, i++);
        const options: Options = given({
          reduction: 'mean',
          rowLength: 2,
          divisor,
          minDivisor,
          onZeroDivisor,
          outsideWeights: [1, 0.5, 0, -0.25, 2, 4],
          mask: [1, 1, 1, 1, 0, 1],
          scale: onZeroDivisor === 'zero' ? 1.5 : undefined,
          gradOutput: onZeroDivisor === 'zero' ? -0.5 : undefined,
        });
        const name = `mean over ${divisor}, at least ${minDivisor ?? 'anything'}, ${form}`;
        add(`${name}, zero gives ${onZeroDivisor}`, form, options, coarse(6), coarse(6));
      }
    }
  }
  for (const [layout, outsideWeights] of Object.entries(layouts()).slice(1)) {
    for (const divisor of ['weights', 'nonzeroWeights'] as const) {
      const options: Options = given({ divisor, rowLength: COLUMNS, outsideWeights });
      const name = `mean over ${divisor}, ${layout}`;
      add(name, 'smoothL1', options, coarse(SIZE), coarse(SIZE));
    }
  }
}

function zeroDivisors(): void {
  const mask = zeros(4);
  const situations: { [name: string]: Options } = {
    'weights cancel': { divisor: 'weights', outsideWeights: [1, -0.5, -0.75, 0.25] },
    'weights are zero': { divisor: 'weights', outsideWeights: zeros(4) },
    'no weight is not zero': { divisor: 'nonzeroWeights', outsideWeights: 0 },
    'nothing is unmasked': { divisor: 'unmasked', mask },
    'no weight is unmasked': { divisor: 'weights', outsideWeights: [1, 2, 3, 4], mask },
    'one element is masked': { divisor: 0, mask: [1, 0, 1, 1] },
    'the number is zero': { divisor: 0 },
  };
  let i = 0;
  for (const [name, situation] of Object.entries(situations)) {
    for (const onZeroDivisor of ZERO_POLICIES) {
      for (const minDivisor of [undefined, 1]) {
        const options: Options = given({ ...situation, onZeroDivisor, minDivisor });
        const floor = minDivisor === undefined ? '' : ', at least 1';
        const title = `divisor 0, ${name}${floor}, gives ${onZeroDivisor}`;
        add(title, pick(FORMS, i++), options, [1, -2, 0.25, 3], [0.5, 0, 0, 4]);
      }
    }
  }
}

function empties(): void {
  for (const form of FORMS) {
    for (const reduction of REDUCTIONS) {
      add(`empty, ${form}, ${reduction}`, form, { reduction, rowLength: 4 }, [], []);
    }
  }
  for (const divisor of DIVISORS) {
    for (const onZeroDivisor of ZERO_POLICIES) {
      const options: Options = { divisor, onZeroDivisor, rowLength: 4, outsideWeights: [] };
      const name = `empty, mean over ${divisor}, zero gives ${onZeroDivisor}`;
      add(name, 'smoothL1', options, [], []);
    }
  }
  add('empty, mean of at least 1', 'smoothL1', { minDivisor: 1 }, [], []);
}

function upstreams(): void {
  for (const form of FORMS) {
    for (const [reduction, gradOutput] of [
      ['none', weights(SIZE)],
      ['none', -0.75],
      ['rows', { perRow: weights(ROWS) }],
      ['rows', 3],
      ['sum', 0.375],
      ['mean', -2],
    ] as const) {
      const options: Options = { reduction, gradOutput, rowLength: COLUMNS, scale: -1.25 };
      const kind = typeof gradOutput === 'number' ? 'a number' : 'an array';
      const name = `upstream is ${kind}, ${form}, ${reduction}`;
      add(name, form, options, coarse(SIZE), coarse(SIZE));
    }
  }
}

function everything(): void {
  for (const form of FORMS) {
    for (const reduction of REDUCTIONS) {
      const options: Options = {
        ...thresholdOption(form, 0.75),
        reduction,
        rowLength: 8,
        insideWeights: { perColumn: weights(8) },
        outsideWeights: weights(40),
        mask: bits(40),
        ignoreNaNTargets: true,
        scale: 0.5,
        gradOutput: 1.75,
        ...(reduction === 'mean' && { divisor: 'weights', minDivisor: 0.125 }),
      };
      const target = coarse(40).map((x, i) => (i % 7 === 3 ? NaN : x));
      add(`everything at once, ${form}, ${reduction}`, form, options, coarse(40), target);
    }
  }
}

// The command.

function checkOutside(): void {
  const wrong = readCases(outside).flatMap((c) => {
    const result = oracle(jobOf(c));
    return (Object.keys(c.expected) as Output[]).flatMap((output) => {
      const ours = [result[output]].flat();
      const theirs = [c.expected[output]].flat() as number[];
      const same =
        ours.length === theirs.length &&
        ours.every((x, i) => matches(x, theirs[i] as number, output, c));
      return same ? [] : `${c.name}: ${output} is ${stringify(theirs)}, oracle ${stringify(ours)}`;
    });
  });
  if (wrong.length > 0) throw new Error(`The oracle disagrees with\n${wrong.join('\n')}`);
}

function checkTorch(): void {
  const python = process.env.PYTHON ?? 'python3';
  if (spawnSync(python, ['-c', 'import torch']).status !== 0) {
    console.log(`Not checked against PyTorch: ${python} cannot import torch.`);
    return;
  }
  process.exitCode = spawnSync(python, [torchCheck], { stdio: 'inherit' }).status ?? 1;
}

for (const family of [
  kinks,
  extremes,
  notANumber,
  lengths,
  weightLayouts,
  thresholdsPerColumn,
  masks,
  divisors,
  zeroDivisors,
  empties,
  upstreams,
  everything,
]) {
  family();
}
checkOutside();

const text = `{"about": ${stringify(about)},\n"cases": [\n${cases.map(stringify).join(',\n')}\n]}\n`;
if (process.argv.includes('--check')) {
  if (readFileSync(vectors, 'utf8') !== text) {
    console.error('vectors.json is not what generate.ts writes.');
    process.exitCode = 1;
  }
} else {
  writeFileSync(vectors, text);
  console.log(`${cases.length} cases, ${Math.round(text.length / 1024)} KB`);
  checkTorch();
}
