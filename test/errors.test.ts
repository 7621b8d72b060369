// Wrong calls: the class and the whole text of each error, and that nothing was written.
import { describe, expect, test } from 'vitest';
import { backends, type Package } from './backends.ts';

// biome-ignore lint/suspicious/noExplicitAny: wrong calls have wrong types
type Any = any;
type Arrays = { [name: string]: Any };
type Make = (values: Float32Array | Uint8Array) => Float32Array | Uint8Array;

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);

/** The arrays of a call over two rows of three columns. Those for results hold sevens. */
function arraysFor(make: Make): Arrays {
  const results = ['out', 'gradInput', 'gradTarget', 'gradInsideWeights', 'gradOutsideWeights'];
  return {
    input: make(f32(1, 2, 3, 4, 5, 6)),
    target: make(f32(6, 5, 4, 3, 2, 1)),
    p: make(f32(1, 2, 3, 4, 5, 6)),
    q: make(f32(6, 5, 4, 3, 2, 1)),
    gradOutput: 1,
    gradGradInput: make(f32(1, 1, 1, 1, 1, 1)),
    weights: make(f32(1, 2, 1, 2, 1, 2)),
    perRow: make(f32(1, 2)),
    perColumn: make(f32(1, 2, 3)),
    mask: make(Uint8Array.of(1, 1, 0, 1, 1, 0)),
    ...Object.fromEntries(results.map((name) => [name, make(f32(7, 7, 7, 7, 7, 7))])),
  };
}

const places: [string, (smooth: Package) => Make][] = [
  [
    'arrays of the kernel',
    (smooth) => (values) =>
      values.BYTES_PER_ELEMENT === 4 ? smooth.float32(values) : smooth.uint8(values),
  ],
  ['arrays elsewhere', () => (values) => values.slice()],
];

/** What is thrown, and whether an array changed before. */
function thrown(call: () => unknown, arrays: Arrays = {}): string {
  const copies = Object.entries(arrays).map(
    ([name, array]) => [name, String(array), array] as const,
  );
  try {
    call();
  } catch (error) {
    const changed = copies.filter(([, before, array]) => String(array) !== before);
    return String(error) + changed.map(([name]) => `; ${name} changed`).join('');
  }
  return 'nothing was thrown';
}

// ---- the functions ----------------------------------------------------------------------------
interface Fn {
  call: (smooth: Package, a: Arrays, options?: Any) => unknown;
  /** What messages call it. */
  says: string;
  args: string[];
  threshold: 'beta' | 'delta' | undefined;
  /** The options beside the threshold and those that all losses have. */
  more: string[];
  isDistance?: boolean;
}

const GRADS = ['gradTarget', 'gradInsideWeights', 'gradOutsideWeights'];
const functions = new Map<string, Fn>();
for (const [stem, object, threshold] of [
  ['smoothL1Loss', 'SmoothL1Loss', 'beta'],
  ['huberLoss', 'HuberLoss', 'delta'],
  ['l1Loss', 'L1Loss', undefined],
] as const) {
  const add = (name: string, args: string[], more: string[], call: Fn['call'], says = name) =>
    functions.set(name, { call, says, args, threshold, more });
  const backwardArgs = ['gradOutput', 'input', 'target'];
  const withGradArgs = ['input', 'target', 'gradInput'];
  add(stem, ['input', 'target'], ['out'], (s, a, o) => s[stem](a.input, a.target, o));
  add(`${stem}Backward`, backwardArgs, ['out', 'accumulate', ...GRADS], (s, a, o) =>
    s[`${stem}Backward`](a.gradOutput, a.input, a.target, o),
  );
  add(`${stem}WithGrad`, withGradArgs, ['out', 'accumulate', ...GRADS], (s, a, o) =>
    s[`${stem}WithGrad`](a.input, a.target, a.gradInput, o),
  );
  add(`new ${object}`, [], [], (s, _, o) => new s[object](o), object);
  add(
    `${object}.forward`,
    ['input', 'target'],
    ['out'],
    (s, a, o) => new s[object]().forward(a.input, a.target, o),
    object,
  );
  add(
    `${object}.backward`,
    backwardArgs,
    ['out', 'accumulate', ...GRADS],
    (s, a, o) => new s[object]().backward(a.gradOutput, a.input, a.target, o),
    object,
  );
  add(
    `${object}.withGrad`,
    withGradArgs,
    ['out', 'accumulate', ...GRADS],
    (s, a, o) => new s[object]().withGrad(a.input, a.target, a.gradInput, o),
    object,
  );
  if (stem === 'l1Loss') continue;
  const derivative = stem === 'huberLoss' ? 'huberLossDeltaGrad' : 'smoothL1LossBetaGrad';
  add(derivative, ['input', 'target'], ['gradOutput'], (s, a, o) =>
    s[derivative](a.input, a.target, o),
  );
  add(`${stem}Hessian`, ['input', 'target'], ['out'], (s, a, o) =>
    s[`${stem}Hessian`](a.input, a.target, o),
  );
  add(
    `${stem}DoubleBackward`,
    ['gradGradInput', 'gradOutput', 'input', 'target'],
    ['out'],
    (s, a, o) => s[`${stem}DoubleBackward`](a.gradGradInput, a.gradOutput, a.input, a.target, o),
  );
}
for (const [name, args, more] of [
  ['l1Distance', ['p', 'q'], []],
  ['smoothL1OfDistance', ['p', 'q'], []],
  ['smoothL1OfDistanceBackward', ['gradOutput', 'p', 'q'], ['out']],
] as const)
  functions.set(name, {
    call: (smooth, a, options) => (smooth[name] as Any)(...args.map((arg) => a[arg]), options),
    says: name,
    args: [...args],
    threshold: name === 'l1Distance' ? undefined : 'beta',
    more: [...more],
    isDistance: true,
  });

// ---- values of a wrong type -------------------------------------------------------------------
/** Each under what messages call it. */
const values: { [described: string]: unknown } = {
  '"1"': '1',
  '1n': 1n,
  null: null,
  true: true,
  'a function': () => 1,
  'a symbol': Symbol('s'),
  'an Object': {},
  'an Array': [1, 2, 3, 4, 5, 6],
  'a Float64Array': new Float64Array(6),
  'an Int32Array': new Int32Array(6),
  'a Uint8ClampedArray': new Uint8ClampedArray(6),
  'a DataView': new DataView(new ArrayBuffer(24)),
};

const WEIGHTS = 'a number, a Float32Array, { perRow: Float32Array } or { perColumn: Float32Array }';
/** What an option must be. */
const types: { [option: string]: string } = {
  scale: 'must be a number',
  insideWeights: `must be ${WEIGHTS}`,
  outsideWeights: `must be ${WEIGHTS}`,
  weight: `must be ${WEIGHTS}`,
  mask: 'must be a Uint8Array',
  ignoreNaNTargets: 'must be true or false',
  accumulate: 'must be true or false',
  rowLength: 'must be a number',
  minDivisor: 'must be a number',
  reduction: 'must be one of "none", "sum", "mean", "rows"',
  divisor: 'must be a number or one of "elements", "rows", "weights", "nonzeroWeights", "unmasked"',
  onZeroDivisor: 'must be one of "nan", "zero"',
  copy: 'must be one of "allow", "throw"',
  beta: 'must be a number or a Float32Array',
  sigma: 'must be a number or a Float32Array',
  delta: 'must be a number or a Float32Array',
  gradOutput: 'must be a number or a Float32Array',
  out: 'must be a Float32Array',
  ...Object.fromEntries(GRADS.map((name) => [name, 'must be a Float32Array'])),
};
const COMMON = [
  'reduction',
  'scale',
  'insideWeights',
  'outsideWeights',
  'weight',
  'mask',
  'ignoreNaNTargets',
  'rowLength',
  'divisor',
  'minDivisor',
  'onZeroDivisor',
  'copy',
];
const thresholdsOf = ({ threshold }: Fn): string[] =>
  threshold === 'beta' ? ['beta', 'sigma'] : threshold ? [threshold] : [];

/** Compares texts, so that a failure shows all that differ. */
class Texts {
  readonly #wrong: string[] = [];
  #count = 0;

  add(label: string, found: string, wanted: string): void {
    this.#count++;
    if (found !== wanted) this.#wrong.push(`${label}\n  found  ${found}\n  wanted ${wanted}`);
  }

  check(): void {
    expect(this.#count).toBeGreaterThan(0);
    if (this.#wrong.length > 0) expect.fail(this.#wrong.join('\n'));
  }
}

describe.each(backends)('%s', (_, smooth) => {
  describe.each(places)('%s', (_, place) => {
    const make = place(smooth);

    test.each([...functions].filter(([, { args }]) => args.length > 0))(
      '%s: arguments of a wrong type',
      (_, fn) => {
        const texts = new Texts();
        for (const arg of fn.args)
          for (const [described, value] of Object.entries({ ...values, undefined })) {
            const isUpstream = arg === 'gradOutput';
            const must = !isUpstream
              ? 'must be a Float32Array'
              : fn.isDistance
                ? 'must be a number'
                : types.gradOutput;
            const arrays = arraysFor(make);
            const call = () => fn.call(smooth, { ...arrays, [arg]: value });
            texts.add(
              `${arg}: ${described}`,
              thrown(call, arrays),
              `TypeError: ${fn.says}: ${arg} ${must}, got ${described}`,
            );
          }
        texts.check();
      },
    );
  });
});
