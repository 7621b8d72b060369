// Every function of the package as a table: its arguments, its options, and the arrays of a call.
import type { Package } from './backends.ts';

// biome-ignore lint/suspicious/noExplicitAny: wrong calls have wrong types
export type Any = any;
export type Arrays = { [name: string]: Any };
export type Make = (values: Float32Array | Uint8Array) => Float32Array | Uint8Array;

export const f32 = (...values: number[]): Float32Array => Float32Array.from(values);

/** The arrays of a call over two rows of three columns. Those for results hold sevens. */
export function arraysFor(make: Make): Arrays {
  const results = [
    'out',
    ...ELEMENTS,
    'gradInput',
    'gradTarget',
    'gradInsideWeights',
    'gradOutsideWeights',
  ];
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
    taus: make(f32(0, 0.25, 1)),
    mask: make(Uint8Array.of(1, 1, 0, 1, 1, 0)),
    ...Object.fromEntries(results.map((name) => [name, make(f32(7, 7, 7, 7, 7, 7))])),
  };
}

export const inKernel = (smooth: Package, values: Float32Array | Uint8Array) =>
  values.BYTES_PER_ELEMENT === 4 ? smooth.float32(values) : smooth.uint8(values);

export const places: [string, (smooth: Package) => Make][] = [
  ['arrays of the kernel', (smooth) => (values) => inKernel(smooth, values)],
  ['arrays elsewhere', () => (values) => values.slice()],
];

export interface Fn {
  call: (smooth: Package, a: Arrays, options?: Any) => unknown;
  /** What messages call it. */
  says: string;
  args: string[];
  threshold: 'beta' | 'delta' | undefined;
  /** Whether it has the option `tau`. */
  isQuantile?: boolean;
  /** The options beside the threshold and those that all losses have. */
  more: string[];
  isDistance?: boolean;
}

/** Options for what is stored of the elements beside a loss. */
export const ELEMENTS = ['outLosses'];
export const GRADS = ['gradTarget', 'gradInsideWeights', 'gradOutsideWeights'];
export const functions = new Map<string, Fn>();
for (const [stem, object, threshold] of [
  ['smoothL1Loss', 'SmoothL1Loss', 'beta'],
  ['huberLoss', 'HuberLoss', 'delta'],
  ['l1Loss', 'L1Loss', undefined],
  ['quantileHuberLoss', 'QuantileHuberLoss', 'delta'],
] as const) {
  const isQuantile = stem === 'quantileHuberLoss';
  const add = (name: string, args: string[], more: string[], call: Fn['call'], says = name) =>
    functions.set(name, { call, says, args, threshold, isQuantile, more });
  const backwardArgs = ['gradOutput', 'input', 'target'];
  const withGradArgs = ['input', 'target', 'gradInput'];
  add(stem, ['input', 'target'], ['out', ...ELEMENTS], (s, a, o) => s[stem](a.input, a.target, o));
  add(`${stem}Backward`, backwardArgs, ['out', ...GRADS, 'accumulate'], (s, a, o) =>
    s[`${stem}Backward`](a.gradOutput, a.input, a.target, o),
  );
  const withGradOptions = ['out', ...ELEMENTS, ...GRADS, 'accumulate'];
  add(`${stem}WithGrad`, withGradArgs, withGradOptions, (s, a, o) =>
    s[`${stem}WithGrad`](a.input, a.target, a.gradInput, o),
  );
  add(`new ${object}`, [], [], (s, _, o) => new s[object](o), object);
  add(
    `${object}.forward`,
    ['input', 'target'],
    ['out', ...ELEMENTS],
    (s, a, o) => new s[object]().forward(a.input, a.target, o),
    object,
  );
  add(
    `${object}.backward`,
    backwardArgs,
    ['out', ...GRADS, 'accumulate'],
    (s, a, o) => new s[object]().backward(a.gradOutput, a.input, a.target, o),
    object,
  );
  add(
    `${object}.withGrad`,
    withGradArgs,
    withGradOptions,
    (s, a, o) => new s[object]().withGrad(a.input, a.target, a.gradInput, o),
    object,
  );
  if (stem === 'l1Loss' || stem === 'quantileHuberLoss') continue;
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
export const COMMON = [
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
/** The options that may be one number for each column, and are no weights. */
export const thresholdsOf = ({ threshold, isQuantile }: Fn): string[] =>
  threshold === 'beta'
    ? ['beta', 'sigma']
    : [...(threshold ? [threshold] : []), ...(isQuantile ? ['tau'] : [])];

/** What `fn` takes beside its arguments, in the order of its messages. */
export const optionsOf = (fn: Fn): string[] => [
  ...thresholdsOf(fn),
  ...(fn.isDistance ? [] : COMMON),
  ...fn.more,
];

/** Places for all results of a function that is not given them as arguments. */
export function results(fn: Fn, arrays: Arrays): Arrays {
  const names = fn.args.includes('gradInput') ? GRADS : ['out', ...GRADS];
  return Object.fromEntries(
    names
      .filter((name) => fn.more.includes(name) && !isForward(fn))
      .map((name) => [name, arrays[name]]),
  );
}

/** Whether `out` receives losses, and not gradients. */
export const isForward = ({ args, more }: Fn): boolean =>
  args.join() === 'input,target' && more.includes('outLosses');

/** All the arrays that a function takes, as arguments and in options. */
export function operandsOf(fn: Fn): string[] {
  if (fn.isDistance) return [...fn.args.filter((name) => name !== 'gradOutput'), ...fn.more];
  const weights = ['insideWeights', 'outsideWeights', 'weight.perRow', 'weight.perColumn', 'mask'];
  const more = fn.more.filter((name) => name !== 'accumulate');
  // Their derivative is that of one number.
  const thresholds = fn.more.includes('gradOutput') ? [] : thresholdsOf(fn);
  return [...fn.args, ...more, ...weights, ...thresholds];
}

/** Which of the arrays are right as an operand. */
export const bases: { [operand: string]: string } = {
  gradOutput: 'weights',
  insideWeights: 'weights',
  outsideWeights: 'weights',
  'weight.perRow': 'perRow',
  'weight.perColumn': 'perColumn',
  beta: 'perColumn',
  sigma: 'perColumn',
  delta: 'perColumn',
  tau: 'taus',
};
export const baseOf = (operand: string): string => bases[operand] ?? operand;

/** Calls a function with these operands, where they have a use. */
export function callWith(
  smooth: Package,
  fn: Fn,
  arrays: Arrays,
  operands: Arrays,
  more = {},
): unknown {
  const args = { ...arrays };
  const options: Arrays = { ...results(fn, arrays), ...more };
  for (const [operand, array] of Object.entries(operands)) {
    const [name, layout] = operand.split('.') as [string, string | undefined];
    if (fn.args.includes(name)) args[name] = array;
    else options[name] = layout ? { [layout]: array } : array;
    const isLosses = name === 'out' && (isForward(fn) || fn.args.includes('gradInput'));
    if (isLosses) options.reduction = 'none';
    if (/^(per|taus)/.test(baseOf(operand))) options.rowLength = 3;
  }
  return fn.call(smooth, args, options);
}

export const withArguments = [...functions].filter(([, { args }]) => args.length > 0);
export const withOptions = [...functions].filter(([name]) => name !== 'l1Distance');

/** What is thrown, and whether an array changed before. */
export function thrown(call: () => unknown, arrays: Arrays = {}): string {
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
