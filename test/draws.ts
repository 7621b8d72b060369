// What property tests draw: numbers of any bits, lengths around every boundary, options that go
// together. The arrays are made of a few words, so that a failure shrinks to something short.
import fc from 'fast-check';
import type { Call } from './calls.ts';
import type { Form, Layout } from './oracle.ts';

/** Lengths around the vector, the iteration and the leaf. */
export const SHORT = [0, 1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 1023, 1024, 1025, 2047, 2048, 2049];
/** Lengths around the piece. */
export const LONG = [8191, 8192, 8193, 24577];
/** Lengths that threads share. */
export const SHARED = [65535, 65536, 65537, 131073];

/** Zeros, ones, subnormals, the smallest, the largest, infinities, and several NaN. */
const SPECIAL = [
  0, 0x80000000, 0x3f800000, 0xbf800000, 1, 0x80000001, 0x007fffff, 0x00800000, 0x7f7fffff,
  0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0x7fc12345,
];
const INFINITY = 0x7f800000;

const fromBits = (words: Uint32Array): Float32Array => new Float32Array(words.buffer);
const number = (word: number): number => fromBits(Uint32Array.of(word))[0] as number;

const word = fc.integer({ min: 0, max: 0xffffffff });
const list = (words: fc.Arbitrary<number>) => fc.array(words, { minLength: 1, maxLength: 48 });

export const form = fc.constantFrom<Form>('smoothL1', 'huber', 'l1', 'quantileHuber');
/** Not 0 or 1, which make NaN of an infinite residual. */
const tau = fc.constantFrom(0.125, 0.25, 0.5, 0.875);
export const shortLength = fc.oneof(fc.integer({ min: 0, max: 70 }), fc.constantFrom(...SHORT));
export const anyLength = fc.oneof(
  { weight: 60, arbitrary: shortLength },
  { weight: 1, arbitrary: fc.constantFrom(...LONG) },
);

/** How numbers are drawn: of any bits, or tame, so that no product of some overflows. */
export interface Style {
  words: fc.Arbitrary<number[]>;
  threshold: fc.Arbitrary<number>;
  numbers(words: Uint32Array, bound: number): Float32Array;
}

export const anyBits: Style = {
  words: list(fc.oneof(word, fc.constantFrom(...SPECIAL))),
  threshold: fc.oneof(
    fc.constantFrom(0, 1, 1 / 9, Infinity).map(Math.fround),
    fc
      .oneof(
        fc.integer({ min: 0, max: INFINITY }),
        fc.constantFrom(...SPECIAL.filter((w) => w <= INFINITY)),
      )
      .map(number),
  ),
  numbers: fromBits,
};

export const tame: Style = {
  words: list(word),
  threshold: fc.oneof(
    fc.constantFrom(0, 0.5, 1, 2, 4, Infinity),
    fc.double({ min: 0.01, max: 10, noNaN: true }).map(Math.fround),
  ),
  numbers: (words, bound) => Float32Array.from(words, (w) => ((w | 0) / 2 ** 31) * bound),
};

/** Finite, and over so many powers of two that f64 rounds their sums: their order shows. */
export const wide: Style = {
  ...anyBits,
  threshold: fc.constantFrom(2 ** -40, 1, 2 ** 40),
  numbers: (words) =>
    fromBits(words.map((w) => (w & 0x807fffff) | ((97 + ((w >>> 23) % 60)) << 23))),
};

/** An array of any length from a few words, in an order of no period that could fit the kernel's. */
export function mix(words: number[], role: number, length: number): Uint32Array {
  const mixed = new Uint32Array(length);
  for (let i = 0; i < length; i++) {
    const x = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(role, 0x85ebca6b);
    mixed[i] = words[(Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) >>> 8) % words.length] as number;
  }
  return mixed;
}

/** A pair of arrays, without any option. */
export function pair(style: Style, length: fc.Arbitrary<number>): fc.Arbitrary<Call> {
  return fc
    .record({ form, threshold: style.threshold, tau, words: style.words, n: length })
    .map(({ form, threshold, tau, words, n }) => ({
      form,
      threshold,
      tau,
      input: style.numbers(mix(words, 1, n), 4),
      target: style.numbers(mix(words, 2, n), 4),
    }));
}

const layout = fc.constantFrom('none', 'none', 'number', 'full', 'perRow', 'perColumn');

/** A call with options that go together. */
export const call = (style: Style, length: fc.Arbitrary<number>): fc.Arbitrary<Call> =>
  drawn(style, length).map((drawn) => callOf(style, drawn));

export type Drawn = ReturnType<typeof drawn> extends fc.Arbitrary<infer T> ? T : never;

/** What a call is made of: numbers, words and names. */
export const drawn = (style: Style, length: fc.Arbitrary<number>) =>
  fc.record({
    form,
    threshold: style.threshold,
    threshold_kind: fc.constantFrom('number', 'number', 'number', 'perColumn'),
    tau,
    tau_kind: fc.constantFrom('number', 'perColumn'),
    words: style.words,
    n: length,
    divisorOfN: fc.nat(),
    inside: layout,
    outside: layout,
    mask: fc.constantFrom('none', 'none', 'full', 'perRow', 'perColumn'),
    upstream: fc.constantFrom('none', 'none', 'number', 'full', 'perRow'),
    ignoreNaNTargets: fc.boolean(),
    ignoresValue: fc.constantFrom(false, false, true),
    reduction: fc.constantFrom<Call['reduction']>(
      'none',
      'sum',
      'mean',
      'mean',
      'rows',
      'rowMeans',
      'columns',
    ),
    divisor: fc.constantFrom<Call['divisor']>(
      undefined,
      'elements',
      'rows',
      'weights',
      'nonzeroWeights',
      'unmasked',
      'unmaskedRows',
      7.5,
      0,
    ),
    minDivisor: fc.constantFrom(undefined, undefined, 0, 1, 1000),
    onZeroDivisor: fc.constantFrom<Call['onZeroDivisor']>(undefined, 'nan', 'zero'),
    scale: fc.constantFrom(undefined, 1, -0.5, 3),
    accumulate: fc.boolean(),
    allGradients: fc.boolean(),
    foldsGradients: fc.boolean(),
    allElements: fc.constantFrom(false, false, true),
    old: fc.constantFrom(0, 0.75),
    isPlain: fc.constantFrom(true, false, false, false),
  });

/** The call that is made of it. */
export function callOf(style: Style, drawn: Drawn): Call {
  const { form, n, words, reduction } = drawn;
  const lengths = Array.from({ length: n || 3 }, (_, i) => i + 1).filter((k) => n % k === 0);
  const rowLength = lengths[drawn.divisorOfN % lengths.length] as number;
  const rows = n / rowLength;

  const values = (role: number, count: number, bound = 2) =>
    style.numbers(mix(words, role, count), bound);
  const positive = (role: number, count: number) =>
    values(role, count).map((x) => Math.abs(x) + 0.125);
  const bytes = (role: number, count: number) =>
    Uint8Array.from(mix(words, role, count), (w) => (w & 1 ? w >>> 24 : 0));
  const laidOut = <T extends Float32Array | Uint8Array>(
    kind: string,
    make: (role: number, count: number) => T,
    role: number,
  ): Layout | undefined => {
    if (kind === 'number') return make(role, 1)[0];
    if (kind === 'full') return make(role, n);
    if (kind === 'perRow') return { perRow: make(role, rows) };
    if (kind === 'perColumn') return { perColumn: make(role, rowLength) };
    return undefined;
  };

  const target = values(2, n, 4);
  const dividesRows = reduction === 'rowMeans';
  const isMean = reduction === 'mean' || dividesRows;
  const divisor = isMean ? divisorOf(drawn, dividesRows) : undefined;
  const needsWeights = divisor === 'weights' || divisor === 'nonzeroWeights';
  const outside = needsWeights && drawn.outside === 'none' ? 'full' : drawn.outside;
  const isPerColumn = form !== 'l1' && drawn.threshold_kind === 'perColumn';
  const hasTaus = form === 'quantileHuber' && drawn.tau_kind === 'perColumn';
  const whole: Call = {
    form,
    threshold: isPerColumn ? values(0, rowLength).map(asThreshold) : drawn.threshold,
    tau: hasTaus ? Float32Array.from(bytes(8, rowLength), (byte) => (byte + 0.5) / 256) : drawn.tau,
    input: values(1, n, 4),
    target,
    insideWeights: laidOut(drawn.inside, values, 3),
    // Weights of both signs may have a sum of almost 0, by which nothing can be divided well.
    outsideWeights: laidOut(outside, divisor === 'weights' ? positive : values, 4),
    mask: laidOut(drawn.mask, bytes, 5),
    gradOutput: laidOut(upstreamOf(drawn), values, 6),
    gradGradInput: values(7, n),
    rowLength,
    ignoreNaNTargets: drawn.ignoreNaNTargets,
    ignoreValue: drawn.ignoresValue ? sentinelOf(target) : undefined,
    reduction,
    divisor,
    minDivisor: isMean ? drawn.minDivisor : undefined,
    onZeroDivisor: isMean ? drawn.onZeroDivisor : undefined,
    scale: drawn.scale,
    accumulate: drawn.accumulate,
    allGradients: drawn.allGradients,
    foldsGradients: drawn.foldsGradients,
    allElements: drawn.allElements,
    old: drawn.old,
  };
  if (drawn.isPlain) return plainOf({ ...whole, tau: drawn.tau }, drawn.threshold);
  const parts = [whole.insideWeights, whole.outsideWeights, whole.mask, whole.gradOutput];
  const needsRows =
    isPerColumn ||
    hasTaus ||
    reduction === 'rows' ||
    dividesRows ||
    reduction === 'columns' ||
    divisor === 'rows' ||
    divisor === 'unmaskedRows' ||
    parts.some((part) => typeof part === 'object' && ('perRow' in part || 'perColumn' in part));
  return needsRows ? whole : { ...whole, rowLength: undefined };
}

/** What a call is left with that takes the shortest way. */
function plainOf(call: Call, threshold: number): Call {
  const { form, tau, input, target, gradGradInput, scale, gradOutput } = call;
  return {
    form,
    threshold,
    tau,
    input,
    target,
    gradGradInput,
    scale,
    reduction: call.reduction === 'sum' ? 'sum' : 'mean',
    gradOutput: typeof gradOutput === 'number' ? gradOutput : undefined,
  };
}

/** A row has no number of rows to be divided by. */
function divisorOf({ divisor }: Drawn, dividesRows: boolean): Call['divisor'] {
  if (!dividesRows) return divisor;
  return divisor === 'rows' ? 'elements' : divisor === 'unmaskedRows' ? 'unmasked' : divisor;
}

/** There is an upstream gradient for each mean of a row, and for each column. */
function upstreamOf({ upstream, reduction }: Drawn): string {
  if (upstream === 'none' || upstream === 'number') return upstream;
  if (reduction === 'columns') return 'perColumn';
  return reduction === 'rowMeans' ? 'perRow' : upstream;
}

function asThreshold(x: number): number {
  return Number.isNaN(x) ? 1 : Math.abs(x);
}

/** A number that some of the targets are. */
function sentinelOf(target: Float32Array): number | undefined {
  return target.find((y) => !Number.isNaN(y));
}
