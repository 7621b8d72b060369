// Every function of the package as a table: its arguments, its options, and the arrays of a call.
import type { Package } from './backends.ts';

/** The losses: what the package calls their classes, functions and thresholds. */
export const names = {
  smoothL1: {
    loss: 'SmoothL1Loss',
    threshold: 'beta',
    forward: 'smoothL1Loss',
    backward: 'smoothL1LossBackward',
    withGrad: 'smoothL1LossWithGrad',
    hessian: 'smoothL1LossHessian',
    doubleBackward: 'smoothL1LossDoubleBackward',
    thresholdGrad: 'smoothL1LossBetaGrad',
  },
  huber: {
    loss: 'HuberLoss',
    threshold: 'delta',
    forward: 'huberLoss',
    backward: 'huberLossBackward',
    withGrad: 'huberLossWithGrad',
    hessian: 'huberLossHessian',
    doubleBackward: 'huberLossDoubleBackward',
    thresholdGrad: 'huberLossDeltaGrad',
  },
  l1: {
    loss: 'L1Loss',
    threshold: undefined,
    forward: 'l1Loss',
    backward: 'l1LossBackward',
    withGrad: 'l1LossWithGrad',
  },
  quantileHuber: {
    loss: 'QuantileHuberLoss',
    threshold: 'delta',
    forward: 'quantileHuberLoss',
    backward: 'quantileHuberLossBackward',
    withGrad: 'quantileHuberLossWithGrad',
  },
} as const;
export type Role = Exclude<keyof (typeof names)['huber'], 'loss' | 'threshold'>;

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
    'gradP',
    'gradTarget',
    'gradInsideWeights',
    'gradOutsideWeights',
  ];
  return {
    // Two elements are below a threshold of 1: without them, second derivatives are 0 everywhere.
    input: make(f32(1, 2, 3, 4, 5, 6)),
    target: make(f32(6, 5, 3.5, 3.75, 2, 1)),
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
export const ELEMENTS = ['outLosses', 'outRobustWeights'];
export const GRADS = ['gradTarget', 'gradInsideWeights', 'gradOutsideWeights'];
/** In the order of their places in a job, in which errors name two of them. */
export const RESULTS = ['out', 'outLosses', 'gradInput', 'gradP', ...GRADS, 'outRobustWeights'];
export const functions = new Map<string, Fn>();
const backwardArgs = ['gradOutput', 'input', 'target'];
const withGradArgs = ['input', 'target', 'gradInput'];
const gradOptions = [...GRADS, 'accumulate'];
/** The arguments and the options of its own that each of a loss's functions has. */
const signatures: { [role in Role]: [args: string[], more: string[]] } = {
  forward: [
    ['input', 'target'],
    ['out', ...ELEMENTS],
  ],
  backward: [backwardArgs, ['out', ...gradOptions]],
  withGrad: [withGradArgs, ['out', ...ELEMENTS, ...gradOptions]],
  thresholdGrad: [['input', 'target'], ['gradOutput']],
  hessian: [['input', 'target'], ['out']],
  doubleBackward: [['gradGradInput', ...backwardArgs], ['out']],
};
for (const { loss, threshold, ...own } of Object.values(names)) {
  const isQuantile = loss === 'QuantileHuberLoss';
  const add = (name: string, role: Role | undefined, call: Fn['call'], says = name) => {
    const [args, more] = role ? signatures[role] : [[], []];
    functions.set(name, { call, says, args, threshold, isQuantile, more });
  };
  const argsOf = (role: Role, a: Arrays): Any[] => signatures[role][0].map((arg) => a[arg]);
  for (const [role, name] of Object.entries(own) as [Role, keyof Package][])
    add(name, role, (s, a, o) => (s[name] as Any)(...argsOf(role, a), o));
  add(`new ${loss}`, undefined, (s, _, o) => new s[loss](o), loss);
  for (const role of ['forward', 'backward', 'withGrad'] as const)
    add(
      `${loss}.${role}`,
      role,
      (s, a, o) => (new s[loss]() as Any)[role](...argsOf(role, a), o),
      loss,
    );
}
for (const [name, args, more] of [
  ['l1Distance', ['p', 'q'], []],
  ['smoothL1OfDistance', ['p', 'q'], []],
  ['smoothL1OfDistanceBackward', ['gradOutput', 'p', 'q'], ['out']],
  ['smoothL1OfDistanceWithGrad', ['p', 'q', 'gradP'], []],
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
  'sum',
  'scale',
  'insideWeights',
  'outsideWeights',
  'weight',
  'mask',
  'ignoreNaNTargets',
  'ignoreValue',
  'rowLength',
  'divisor',
  'minDivisor',
  'onZeroDivisor',
  'copy',
  'inputType',
  'targetType',
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
