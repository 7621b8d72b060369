// What a function of the package gives for a call, and comparing it: with the same elsewhere to the
// bit, with the oracle within the errors of f32.
import { expect } from 'vitest';
import type { Package } from './backends.ts';
import { type Call, foldOf, type Put, type Results, rolesOf, run } from './calls.ts';
import type { Role } from './functions.ts';
import { GuardedArrays } from './guarded.ts';
import { type Type, wordsOf } from './halves.ts';
import { byColumn, byRow, oracle, type Result } from './oracle.ts';
import { matches } from './vectors/format.ts';

const isNaNWord = (word: number): boolean => (word & 0x7fffffff) > 0x7f800000;

/** Fails unless all outputs have the same bits. Which NaN it is, is up to the engine. */
export function expectSame(actual: Results, expected: Results, label = ''): void {
  for (const [output, theirs] of Object.entries(expected)) {
    const mine = actual[output];
    if (typeof theirs === 'number' || typeof mine !== 'object') {
      expect(mine, label + output).toBe(theirs);
      continue;
    }
    // The long way only where the short one fails: there may be several NaN.
    const [c, d] = [mine, theirs].map((x) => Buffer.from(x.buffer, x.byteOffset, x.byteLength));
    if (c && d?.equals(c)) continue;
    const [a, b] = [mine, theirs].map((x) => new Uint32Array(x.buffer, x.byteOffset, x.length));
    if (!a || !b) continue;
    expect(a.length, label + output).toBe(b.length);
    const i = a.findIndex((word, i) => {
      const other = b[i] as number;
      return word !== other && !(isNaNWord(word) && isNaNWord(other));
    });
    if (i >= 0)
      expect.fail(`${label}${output}[${i}] is ${shown(mine[i])}, expected ${shown(theirs[i])}`);
  }
}

const shown = (x: number | undefined): string => (Object.is(x, -0) ? '-0' : String(x));

/** Fails unless an output is right within some units in the last place, or within `absolute`. */
export function expectNear(
  output: string,
  actual: number | Float32Array,
  expected: number | number[],
  ulp: number,
  absolute = 0,
): void {
  const [mine, theirs] = [actual, expected].map((x) => (typeof x === 'number' ? [x] : x));
  const rule = { tolerance: { ulp, absolute: { loss: absolute } } };
  const isRight = (right: number, i: number) => matches(mine?.[i] ?? NaN, right, 'loss', rule);
  expect(mine?.length, output).toBe(theirs?.length);
  const i = (theirs as number[]).findIndex((right, i) => !isRight(right, i));
  if (i >= 0) expect.fail(`${output}[${i}] is ${mine?.[i]}, expected ${theirs?.[i]}`);
}

interface Right extends Result {
  /** The largest loss of an element, which the error of a sum is measured against. */
  largest: number;
  doubleBackward: number[];
}

const known = new WeakMap<Call, Right>();

/** What the oracle says of a call: once for all backends. */
function rightOf(call: Call): Right {
  const found = known.get(call);
  if (found) return found;
  const { gradOutput, gradGradInput, threshold } = call;
  const job = {
    ...call,
    threshold: typeof threshold === 'number' ? Math.fround(threshold) : threshold,
  };
  const result = oracle(job);
  const each = job.reduction === 'none' ? result : oracle({ ...job, reduction: 'none' });
  const bare = gradOutput === undefined ? result : oracle({ ...job, gradOutput: undefined });
  const right = {
    ...result,
    hessian: bare.hessian,
    doubleBackward: result.hessian.map((h, i) => h * (gradGradInput?.[i] ?? 1)),
    largest: (each.loss as number[]).reduce((most, loss) => Math.max(most, Math.abs(loss)), 0),
  };
  known.set(call, right);
  return right;
}

/**
 * All that a call gave, against the oracle. 64 terms at most are added up in f32, and may all be
 * rounded the same way.
 */
export function expectRight(
  call: Call,
  results: { [role in Role]?: Results },
  error = 64 * 2 ** -24,
): void {
  const right = rightOf(call);
  const { reduction, rowLength, divisor, accumulate, old = 0 } = call;
  const isOfRows = reduction === 'rows' || reduction === 'rowMeans';
  const terms = reduction === 'none' ? 0 : isOfRows ? (rowLength as number) : call.input.length;
  const divisors = right.rowDivisors.filter((x) => x !== 0).map(Math.abs);
  const share = error / Math.min(Math.abs(right.divisor || 1), ...divisors);
  const absolute: { [output: string]: number } = {
    loss: share * right.largest * terms,
    // Its terms are at most a residual, times an upstream gradient, a weight and a scale.
    thresholdGrad: share * 16 * 2 * 2 * 3 * call.input.length,
    gradOutsideWeights: divisor === 'weights' ? share * Math.max(right.largest, 1) : 0,
  };
  // A sum of weights is such a sum, and a factor of everything.
  const ulp = divisor === 'weights' ? 8 + error * 2 ** 24 : 8;
  for (const [role, outputs] of Object.entries(results))
    for (const [output, actual] of Object.entries(outputs)) {
      const isAdded = accumulate && output.startsWith('grad') && old !== 0;
      const full = right[output as keyof Right] as number | number[];
      const fold = foldOf(call, output);
      const folded = (xs: number[]) =>
        (fold === 'perRow' ? byRow : byColumn)(xs, rowLength as number);
      const expected = fold ? folded(full as number[]) : full;
      // Its terms may cancel.
      const size = fold ? Math.max(0, ...folded((full as number[]).map(Math.abs))) : 0;
      const sum = isAdded ? (expected as number[]).map((g) => old + g) : expected;
      const terms = fold ? call.input.length * (absolute[output] ?? 0) + size * 2 ** -20 : 0;
      const allowed = Math.max(absolute[output] ?? 0, terms, isAdded ? old * 2 ** -20 : 0);
      expectNear(`${role} ${output}`, actual, sum, ulp, allowed);
    }
}

export interface Where {
  inKernel: boolean | ((name: string) => boolean);
  shift?: number;
  /** Results in the place of inputs. */
  shared?: { [output: string]: string };
  /** What type the elements of `input` and `target` have; their values must have it. */
  types?: { [input: string]: Type };
  /** Options beside those of the call. */
  options?: Record<string, unknown>;
}
export const inKernel: Where = { inKernel: true };
export const elsewhere: Where = { inKernel: false };

/** What one function gives for a call. Fails if it touches anything beside its results. */
export function outcome(smooth: Package, role: Role, call: Call, where: Where): Results {
  using arrays = new GuardedArrays(smooth, where.inKernel, where.shift);
  const put = arrays.sharing(where.shared ?? {});
  const { types = {} } = where;
  const typed: Put = (name, values, isOutput) => {
    const type = types[name] ?? 'float32';
    return put(
      name,
      type === 'float32' ? values : (wordsOf(type, values as Float32Array) as never),
      isOutput,
    );
  };
  const options = { ...where.options };
  for (const [name, type] of Object.entries(types)) options[`${name}Type`] = type;
  const results = run(smooth, role, call, typed, options);
  arrays.check();
  return Object.fromEntries(
    Object.entries(results).map(([output, x]) => [output, typeof x === 'number' ? x : x.slice()]),
  );
}

export function outcomes(smooth: Package, call: Call, where: Where): { [role in Role]?: Results } {
  return Object.fromEntries(
    rolesOf(call).map((role) => [role, outcome(smooth, role, call, where)]),
  );
}
