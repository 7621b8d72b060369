// All options at once: losses, types, layouts, masks, aliasings, offsets, exact sums, accumulators, threads and
// backends. `npm run fuzz` searches for a call that goes wrong; the corpus has calls that are tried each time.
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { beforeAll, expect, test, vi } from 'vitest';
import { backends, fresh, type Package } from './backends.ts';
import {
  ARRAYS,
  type Call,
  foldOf,
  INPUTS,
  inPlain,
  isFolded,
  OUTPUTS,
  optionsOf,
  type Results,
  rolesOf,
} from './calls.ts';
import {
  anyBits,
  callOf,
  type Drawn,
  drawn,
  LONG,
  SHARED,
  type Style,
  shortLength,
  tame,
  wide,
} from './draws.ts';
import { names, type Role } from './functions.ts';
import { rounded, type Type } from './halves.ts';
import { type Layout, oracle, side } from './oracle.ts';
import { elsewhere, expectNear, expectRight, expectSame, outcome, type Where } from './outcomes.ts';
import { exactSum, sumInOrder } from './sums.ts';
import { parse, stringify } from './vectors/format.ts';

const styles = { anyBits, tame, wide } as const;

/** A call, and where and how it is made. It can be written as JSON. */
interface Case {
  style: keyof typeof styles;
  drawn: Drawn;
  types: [input: Type, target: Type];
  sum: 'fast' | 'exact';
  backend: Package['backend'] | 'threads';
  /** The arrays that are in the kernel's memory. */
  there: readonly string[];
  /** The elements by which they start beside an address that a vector fits. */
  shift: number;
  /** Results, and the inputs in whose place they are. */
  shared: [output: string, input: string][];
  /** Where an accumulator's chunks end. */
  cuts: number[];
}

const type = fc.constantFrom<Type>('float32', 'float32', 'float16', 'bfloat16');
const someNames = (names: readonly string[]) => fc.shuffledSubarray([...names]);
/** Mostly short; with threads, long enough for them. */
const length = (isLong: boolean) =>
  fc.oneof(
    { weight: isLong ? 1 : 60, arbitrary: shortLength },
    { weight: 1, arbitrary: fc.constantFrom(...LONG, ...SHARED) },
  );

const anyCase: fc.Arbitrary<Case> = fc
  .tuple(
    fc.constantFrom('tame', 'anyBits', 'anyBits', 'wide'),
    fc.constantFrom<Case['backend']>(
      ...new Array(9).fill(['wasm-shared', 'wasm', 'js']).flat(),
      'threads',
    ),
  )
  .chain(([style, backend]) =>
    fc.record({
      style: fc.constant(style as keyof typeof styles),
      drawn: drawn(styles[style as keyof typeof styles] as Style, length(backend === 'threads')),
      types: fc.tuple(type, type),
      sum: fc.constantFrom('fast', 'exact'),
      backend: fc.constant(backend),
      there: fc.oneof(fc.constant(ARRAYS), someNames(ARRAYS)),
      shift: fc.nat({ max: 3 }),
      shared: fc
        .tuple(someNames(INPUTS), someNames(OUTPUTS))
        .map(([inputs, outputs]) =>
          inputs.flatMap((input, i): [string, string][] =>
            outputs[i] === undefined ? [] : [[outputs[i], input]],
          ),
        ),
      cuts: fc.array(fc.nat({ max: 5000 }), { maxLength: 3 }),
    }),
  );

const packages = new Map<Case['backend'], Package>(backends);
vi.spyOn(os, 'availableParallelism').mockReturnValue(8);
beforeAll(async () => {
  const smooth = fresh();
  await smooth.setNumThreads(3, {
    createWorker: () => new Worker(new URL('../dist/worker.js', import.meta.url)),
  });
  packages.set('threads', smooth);
  return () => smooth.setNumThreads(1);
});

/** Throws unless a case goes as it should. */
function check({ style, drawn, types, sum, backend, there, shift, shared, cuts }: Case): void {
  const smooth = packages.get(backend) as Package;
  const plain = packages.get('js') as Package;
  const whole = callOf(styles[style], drawn);
  const isSum = whole.reduction === 'sum' || whole.reduction === 'mean';
  const target = rounded(types[1], whole.target);
  const call: Call = {
    ...whole,
    input: rounded(types[0], whole.input),
    target,
    // One that its type has.
    ignoreValue: whole.ignoreValue && target.find(Number.isFinite),
    ...(isSum && sum === 'exact' && { allElements: false }),
  };
  const options = isSum ? { sum } : {};
  const sharedOf = (role: Role): [string, string][] =>
    shared.filter(([output, input]) => {
      const values = call[input as keyof Call];
      const isHalf =
        (input === 'input' && types[0] !== 'float32') ||
        (input === 'target' && types[1] !== 'float32');
      // What is added to an array cannot be in another's place; a sum by row or column is shorter.
      const isOther = call.accumulate && output.startsWith('grad');
      const isShorter =
        (output === 'out' && isFolded(call) && role !== 'backward') || foldOf(call, output);
      return values instanceof Float32Array && !isHalf && !isOther && !isShorter;
    });

  const results = new Map<Role, Results>();
  for (const role of rolesOf(call)) {
    // Plain JavaScript, with floats, copies of all arrays, and each result apart.
    const expected = outcome(plain, role, call, { ...elsewhere, options });
    results.set(role, expected);
    const where: Where = {
      inKernel: (name) => there.includes(name),
      shift,
      shared: Object.fromEntries(sharedOf(role)),
      types: { input: types[0], target: types[1] },
      options,
    };
    expectSame(outcome(smooth, role, call, where), expected, `${role} `);
  }
  const n = call.input.length;
  if (n < 3000) {
    // Sums of numbers of all sizes are right only if they are exact; checkSum is about those.
    if (style === 'tame') expectRight(call, Object.fromEntries(results));
    else checkElements(call, results);
  }
  if (isSum) checkSum(call, sum, results.get('forward')?.loss as number);
  if (isSum && typeof call.threshold === 'number' && typeof call.tau !== 'object')
    checkAccumulator(smooth, call, cuts);
}

/** Whether a result that these go into is promised to be right. */
const isOrdinary = (x: number): boolean =>
  x === 0 || Number.isNaN(x) || (Math.abs(x) >= 2 ** -126 && Math.abs(x) < 2 ** 127);

/** The results of single elements, of any bits: docs/edge-cases.md says which numbers must be normal. */
function checkElements(call: Call, results: Map<Role, Results>): void {
  const { fround } = Math;
  const { input, target, threshold, reduction, scale = 1 } = call;
  const n = input.length;
  const { rowLength = Math.max(n, 1) } = call;
  // A divisor of f32 weights is a sum.
  if (call.divisor === 'weights') return;
  const upstream = typeof call.gradOutput === 'number' ? call.gradOutput : 1;
  // A residual is an f32: beyond the largest it is infinite.
  const residuals = input.map((x, i) => x - (target[i] as number));
  /** 0, but for a target that may be ignored. */
  const like = (y: number): number => (Number.isNaN(y) ? NaN : y === call.ignoreValue ? 1 : 0);
  const right = oracle({
    ...call,
    threshold: typeof threshold === 'number' ? fround(threshold) : threshold,
    input: residuals,
    target: target.map(like),
    ignoreValue: call.ignoreValue === undefined ? undefined : 1,
  });
  const at = (layout: Layout | undefined, i: number): number => {
    if (layout === undefined) return 1;
    if (typeof layout === 'number') return fround(layout);
    if ('perRow' in layout) return layout.perRow[Math.floor(i / rowLength)] as number;
    if ('perColumn' in layout) return layout.perColumn[i % rowLength] as number;
    return layout[i] as number;
  };
  const losses = results.get('forward')?.loss as Float32Array;
  const gradInput = results.get('backward')?.gradInput as Float32Array;
  for (let i = 0; i < n; i++) {
    const d = residuals[i] as number;
    const inside = at(call.insideWeights, i);
    const outside = at(call.outsideWeights, i);
    const divisor = right.rowDivisors[Math.floor(i / rowLength)] as number;
    const pull = (upstream * scale) / divisor;
    const e = inside * d;
    const t = at(typeof threshold === 'number' ? threshold : { perColumn: threshold }, i);
    const slope = call.form === 'smoothL1' ? Math.abs(e) / t : e;
    const each = typeof call.gradOutput === 'object' ? at(call.gradOutput, i) : 1;
    // An upstream gradient is divided first where rows are.
    const outer = fround((upstream * each) / divisor);
    const pulls = [pull, outer, fround(pull) * each, fround(pull) * each * outside];
    const inner = pulls[3] as number;
    const { tau = 0.5 } = call;
    const part = side(call.form, at(typeof tau === 'number' ? tau : { perColumn: tau }, i), e);
    const slopes = [slope, t, slope * part, t * part];
    const numbers = [d, e, ...slopes, t / 2, ...pulls, inner * inside, inner * slope * inside];
    if (!numbers.every(isOrdinary)) continue;
    const gradient = right.gradInput[i] as number;
    const near = (output: string, actual: number, expected: number) => {
      if (isOrdinary(expected)) expectNear(`${output}[${i}]`, actual, expected, 16);
    };
    const old = call.accumulate ? (call.old ?? 0) : 0;
    if (old === 0) near('gradInput', gradInput[i] as number, gradient);
    if (reduction !== 'none') continue;
    const loss = (right.loss as number[])[i] as number;
    // What a loss is before its weight; a Huber slope goes up to its threshold.
    const steepest = { smoothL1: Math.min(1, slope), l1: 1 };
    const huber = Math.min(t, Math.abs(e));
    const size = Math.abs(e) * (steepest[call.form as 'l1'] ?? huber);
    if ([size, size * part, size * part * outside].every(isOrdinary))
      near('loss', losses[i] as number, loss);
  }
}

/** A sum, from the losses of the elements. */
function checkSum(call: Call, sum: Case['sum'], actual: number): void {
  const plain = packages.get('js') as Package;
  const { scale = 1, minDivisor = -Infinity, onZeroDivisor } = call;
  const own = { scale: 1, divisor: undefined, minDivisor: undefined, onZeroDivisor: undefined };
  const each: Call = { ...call, ...own, reduction: 'none', allElements: false };
  const losses = outcome(plain, 'forward', each, elsewhere).loss as Float32Array;
  const isExact = sum === 'exact';
  // Sums of f32 weights are those of the losses of constants.
  if (call.reduction === 'mean' && call.divisor === 'weights') return;
  const total = isExact ? specialSum(losses) : sumInOrder(losses);
  const count = call.reduction === 'sum' ? 1 : oracle({ ...call, minDivisor: undefined }).divisor;
  const divisor = call.reduction === 'sum' ? 1 : Math.max(count, minDivisor);
  const zero = onZeroDivisor === 'zero' ? 0 : NaN;
  expect(actual, 'the loss').toBe(divisor === 0 ? zero : (total * Math.fround(scale)) / divisor);
}

/** An exact sum, of numbers that need not be finite. */
function specialSum(values: Float32Array): number {
  const rest = values.filter((x) => !Number.isFinite(x));
  return rest.length > 0 ? rest.reduce((a, b) => a + b) : exactSum(values);
}

/** What an accumulator makes of chunks, merged in another order: the bits of one call with an exact sum. */
function checkAccumulator(smooth: Package, call: Call, cuts: number[]): void {
  const n = call.input.length;
  const { rowLength = 1 } = call;
  const rows = n / rowLength;
  const whole: Call = { ...call, allElements: false };
  const exact = { sum: 'exact' };
  const expected = outcome(smooth, 'forward', whole, { ...elsewhere, options: exact }).loss;
  const { insideWeights, outsideWeights, mask, ...own } = whole;
  const options = optionsOf(own, inPlain);
  // A count of weights needs some, which the chunks replace.
  if (outsideWeights !== undefined) options.outsideWeights = 1;
  // biome-ignore lint/suspicious/noExplicitAny: any loss object
  const loss = new smooth[names[call.form].loss](options as any) as any;
  const ends = [...cuts.map((cut) => cut % (rows + 1)).sort((a, b) => a - b), rows];
  let sum = new smooth.LossAccumulator(loss);
  for (const [i, end] of ends.entries()) {
    const begin = ends[i - 1] ?? 0;
    const part = <T extends Float32Array>(values: T): T =>
      values.subarray(begin * rowLength, end * rowLength) as T;
    const cut = (layout: Layout | undefined): Layout | undefined => {
      if (typeof layout !== 'object' || 'perColumn' in layout) return layout;
      if ('perRow' in layout)
        return { perRow: (layout.perRow as Float32Array).subarray(begin, end) };
      return part(layout as Float32Array);
    };
    const chunk = {
      ...own,
      insideWeights: cut(insideWeights),
      outsideWeights: cut(outsideWeights),
      mask: cut(mask),
    };
    const { insideWeights: a, outsideWeights: b, mask: c } = optionsOf(chunk, inPlain);
    const one = new smooth.LossAccumulator(loss);
    one.add(part(call.input), part(call.target), {
      insideWeights: a,
      outsideWeights: b,
      mask: c,
    } as never);
    sum = i % 2 === 0 ? one.merge(sum) : sum.merge(one.toBytes());
  }
  expect(sum.value(), 'the accumulator').toBe(expected);
}

const corpus = parse(
  readFileSync(new URL('./fuzz/corpus.json', import.meta.url), 'utf8'),
) as Case[];

/** What `npm run fuzz` asks for. */
const wanted: { seconds?: number; seed?: number; case?: Case } = parse(
  process.env.FUZZ ?? '{}',
) as object;

test.runIf(process.env.FUZZ === undefined)('the corpus', () => {
  for (const one of corpus) {
    try {
      check(one);
    } catch (error) {
      throw new Error(`${lineFor(one)}\n${(error as Error).message}`, { cause: error });
    }
  }
});

test.runIf(wanted.case)('the case', () => check(wanted.case as Case));

const lineFor = (one: Case): string => `npm run fuzz -- --case '${stringify(one)}'`;

test.runIf(wanted.seconds)('a search', { timeout: 0 }, () => {
  const { seconds = 0, seed = 0 } = wanted;
  const search = (more: object) => fc.check(fc.property(anyCase, check), { seed, ...more });
  const found = search({ numRuns: 2 ** 31 - 1, interruptAfterTimeLimit: 1000 * seconds });
  console.log(`${found.numRuns} cases`);
  if (!found.failed) return;
  // Where it failed, with time to shrink it.
  const path = found.counterexamplePath?.split(':')[0] as string;
  const shrunk = search({ path, interruptAfterTimeLimit: 60_000 });
  const [one] = (shrunk.counterexample ?? found.counterexample) as [Case];
  const error = (shrunk.errorInstance ?? found.errorInstance) as Error;
  throw new Error(`${error.message}\nThis repeats it:\n${lineFor(one)}`, { cause: error });
});
