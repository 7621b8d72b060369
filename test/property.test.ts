// Facts that hold for any bits, lengths, places and options. With SEED and RUNS, two numbers, the
// same tests search elsewhere, and longer.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Backend, backends, type Package } from './backends.ts';
import { type Call, names, type Results, type Role, rolesOf, run } from './calls.ts';
import { anyBits, anyLength, call, LONG, mix, pair, SHORT, shortLength, tame } from './draws.ts';
import { type Layout, oracle, type Result } from './oracle.ts';
import { matches } from './vectors/format.ts';
import { Yard } from './yard.ts';

const seed = Number(process.env.SEED ?? 1);
const CHUNK = 65536;
const LEAF = 1024;

function check<T>(runs: number, drawn: fc.Arbitrary<T>, property: (value: T) => void): void {
  const numRuns = runs * Number(process.env.RUNS ?? 1);
  fc.assert(fc.property(drawn, property), { seed, numRuns, includeErrorInReport: true });
}

// ---- comparing --------------------------------------------------------------------------------
const isNaNWord = (word: number): boolean => (word & 0x7fffffff) > 0x7f800000;

/** Fails unless all outputs have the same bits. Which NaN it is, is up to the engine. */
function expectSame(actual: Results, expected: Results): void {
  for (const [output, theirs] of Object.entries(expected)) {
    const mine = actual[output];
    if (typeof theirs === 'number' || typeof mine !== 'object') {
      expect(mine, output).toBe(theirs);
      continue;
    }
    const [a, b] = [mine, theirs].map((x) => new Uint32Array(x.buffer, x.byteOffset, x.length));
    if (!a || !b) continue;
    expect(a.length, output).toBe(b.length);
    const i = a.findIndex((word, i) => {
      const other = b[i] as number;
      return word !== other && !(isNaNWord(word) && isNaNWord(other));
    });
    if (i >= 0) expect.fail(`${output}[${i}] is ${mine[i]}, expected ${theirs[i]}`);
  }
}

/** Fails unless an output is right within some units in the last place, or within `absolute`. */
function expectNear(
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
  const job = { ...call, threshold: typeof threshold === 'number' ? Math.fround(threshold) : threshold };
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
function expectRight(call: Call, results: { [role in Role]?: Results }, error = 64 * 2 ** -24): void {
  const right = rightOf(call);
  const { reduction, rowLength, divisor, accumulate, old = 0 } = call;
  const terms = reduction === 'none' ? 0 : reduction === 'rows' ? (rowLength as number) : call.input.length;
  const share = error / Math.abs(right.divisor || 1);
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
      const expected = right[output as keyof Right] as number | number[];
      const sum = isAdded ? (expected as number[]).map((g) => old + g) : expected;
      const allowed = Math.max(absolute[output] ?? 0, isAdded ? old * 2 ** -20 : 0);
      expectNear(`${role} ${output}`, actual, sum, ulp, allowed);
    }
}

// ---- calling ----------------------------------------------------------------------------------
interface Where {
  inKernel: boolean | ((name: string) => boolean);
  shift?: number;
  /** Results in the place of inputs. */
  shared?: { [output: string]: string };
}
const inKernel: Where = { inKernel: true };
const elsewhere: Where = { inKernel: false };

/** What one function gives for a call. Fails if it touches anything beside its results. */
function outcome(smooth: Package, role: Role, call: Call, where: Where): Results {
  using yard = new Yard(smooth, where.inKernel, where.shift);
  const results = run(smooth, role, call, yard.sharing(where.shared ?? {}));
  yard.check();
  return Object.fromEntries(
    Object.entries(results).map(([output, x]) => [output, typeof x === 'number' ? x : x.slice()]),
  );
}

function outcomes(smooth: Package, call: Call, where: Where): { [role in Role]?: Results } {
  return Object.fromEntries(rolesOf(call).map((role) => [role, outcome(smooth, role, call, where)]));
}

/** A tame call, the same for each length. */
function painted(n: number, more: Partial<Call> = {}): Call {
  const words = Array.from({ length: 251 }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 0);
  const numbers = (role: number): Float32Array => tame.numbers(mix(words, role, n), 4);
  const call: Call = {
    form: 'smoothL1',
    threshold: 1,
    input: numbers(1),
    target: numbers(2),
    gradGradInput: numbers(3),
  };
  return { ...call, ...more };
}

/** The same with everything that there is for each element. */
function paintedInFull(n: number): Call {
  const [a, b, c] = [painted(n), painted(n + 1), painted(n + 2)];
  return {
    ...a,
    threshold: 0.7,
    insideWeights: b.input.subarray(1),
    outsideWeights: b.target.subarray(1),
    mask: Uint8Array.from(c.input.subarray(2), (x) => (x < 2 ? 1 : 0)),
    gradOutput: c.target.subarray(2),
    allGradients: true,
    divisor: 'unmasked',
  };
}


const paintedCalls = new Map(
  [...SHORT, ...LONG].map((n) => [n, [painted(n), painted(n, { reduction: 'none' }), paintedInFull(n)]]),
);

describe.each(backends)('%s', (backend, smooth) => {
  test.each([...paintedCalls])('%i elements: right at every 4-byte offset', (_, calls) => {
    for (const call of calls) {
      const first = outcomes(smooth, call, inKernel);
      expectRight(call, first, 1e-6);
      for (let shift = 1; shift < 4; shift++)
        for (const [role, expected] of Object.entries(first) as [Role, Results][])
          expectSame(outcome(smooth, role, call, { inKernel: true, shift }), expected);
    }
  });

  test('any options: right', () => {
    check(150, call(tame, shortLength), (call) => {
      expectRight(call, outcomes(smooth, call, inKernel));
    });
  });

  test('any bits: losses and gradients are right', () => {
    check(150, pair(anyBits, shortLength), (call) => {
      for (const reduction of ['none', 'sum'] as const) {
        const each = { ...call, reduction };
        const { forward, backward } = outcomes(smooth, each, inKernel);
        // A residual is an f32 too: beyond the largest it is infinite.
        const input = call.input.map((x, i) => x - (call.target[i] as number));
        const right = oracle({ ...each, input, target: new Float32Array(input.length) });
        if (reduction === 'none') expectNear('loss', forward?.loss as Float32Array, right.loss, 4);
        expectNear('gradInput', backward?.gradInput as Float32Array, right.gradInput, 4);
      }
    });
  });
});
