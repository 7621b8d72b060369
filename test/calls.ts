// The package called with a job of the oracle: the same options, the arrays wherever they are put.
import type { Package } from './backends.ts';
import { names, type Role } from './functions.ts';
import type { Job, Layout } from './oracle.ts';

/** The names of a call's arrays of floats that are read, of those that are written, and of all arrays. */
export const INPUTS = [
  'input',
  'target',
  'insideWeights',
  'outsideWeights',
  'gradOutput',
  'gradGradInput',
] as const;
export const OUTPUTS = [
  'out',
  'outLosses',
  'outRobustWeights',
  'gradInput',
  'gradTarget',
  'gradInsideWeights',
  'gradOutsideWeights',
];
export const ARRAYS = [...INPUTS, 'mask', ...OUTPUTS];

/** A job whose arrays are such that the package takes them, and more that only it needs. */
export interface Call extends Job {
  input: Float32Array;
  target: Float32Array;
  accumulate?: boolean | undefined;
  /** Whether the gradients to the target and to the weights are asked for. */
  allGradients?: boolean | undefined;
  /** Whether the gradients to weights by row or by column have the length of the weights. */
  foldsGradients?: boolean | undefined;
  /** Whether the weights of robust fitting are asked for, and the losses of the elements where they are added up. */
  allElements?: boolean | undefined;
  /** Multiplies the Hessian in the backward of the backward. */
  gradGradInput?: Float32Array | undefined;
  /** What the arrays for results hold before. */
  old?: number | undefined;
}

/** Puts an array of that name where the call shall find it. A result is `isOutput`. */
export type Put = <T extends Float32Array | Uint8Array>(
  name: string,
  values: T,
  isOutput?: boolean,
) => T;

export type Results = { [output: string]: number | Float32Array };

type Values = Float32Array | Uint8Array;

/** Leaves arrays as they are, and makes a copy of each array for results. */
export const inPlain: Put = (_, values, isOutput) =>
  (isOutput ? values.slice() : values) as typeof values;

function placed(name: string, layout: Layout | undefined, put: Put): unknown {
  if (layout === undefined || typeof layout === 'number') return layout;
  if ('perRow' in layout) return { perRow: put(name, layout.perRow as Float32Array) };
  if ('perColumn' in layout) return { perColumn: put(name, layout.perColumn as Float32Array) };
  return put(name, layout as Float32Array);
}

/** A mask for each row, and an upstream gradient for each row or column, are told by their length. */
function placedByLength(name: string, layout: Layout | undefined, put: Put): unknown {
  if (layout === undefined || typeof layout === 'number') return layout;
  if ('perColumn' in layout) return put(name, layout.perColumn as Values);
  return put(name, ('perRow' in layout ? layout.perRow : layout) as Values);
}

/** A mask for each row may be told by its length, too. */
function placedMask(layout: Layout | undefined, put: Put): unknown {
  const isColumn = typeof layout === 'object' && 'perColumn' in layout;
  return (isColumn ? placed : placedByLength)('mask', layout, put);
}

export function optionsOf(call: Call, put: Put): Record<string, unknown> {
  const { form, threshold } = call;
  const options: Record<string, unknown> = {
    insideWeights: placed('insideWeights', call.insideWeights, put),
    outsideWeights: placed('outsideWeights', call.outsideWeights, put),
    mask: placedMask(call.mask, put),
  };
  const option = names[form].threshold;
  if (option) options[option] = threshold;
  if (form === 'quantileHuber') options.tau = call.tau;
  for (const name of [
    'reduction',
    'scale',
    'ignoreNaNTargets',
    'ignoreValue',
    'rowLength',
    'divisor',
    'minDivisor',
    'onZeroDivisor',
  ] as const)
    options[name] = call[name];
  return options;
}

/** Calls one function of the package, with `more` options; what it returns and writes. */
export function run(
  smooth: Package,
  role: Role,
  call: Call,
  put: Put,
  more: Record<string, unknown> = {},
): Results {
  const { form } = call;
  const n = call.input.length;
  const name = (names[form] as (typeof names)['huber'])[role];
  // biome-ignore lint/suspicious/noExplicitAny: the functions differ in their arguments
  const fn = smooth[name] as (...args: any[]) => number | Float32Array;
  const input = put('input', call.input);
  const target = put('target', call.target);
  const options = Object.assign(optionsOf(call, put), more);
  const result = (name: string, length = n): Float32Array =>
    put(name, new Float32Array(length).fill(call.old ?? 0), true);
  const upstream = placedByLength('gradOutput', call.gradOutput, put) ?? 1;

  if (role === 'forward') {
    if (call.reduction === 'none') options.out = result('out');
    if (isFolded(call)) options.out = result('out', lossesOf(call));
    const outputs = elementOutputs(call, options, result);
    return { ...outputs, loss: fn(input, target, options) };
  }
  if (role === 'thresholdGrad') {
    options.gradOutput = upstream;
    return { thresholdGrad: fn(input, target, options) };
  }
  if (role === 'hessian') {
    options.out = result('out');
    return { hessian: fn(input, target, options) };
  }
  if (role === 'doubleBackward') {
    const direction = put('gradGradInput', call.gradGradInput ?? new Float32Array(n).fill(1));
    options.out = result('out');
    return { doubleBackward: fn(direction, upstream, input, target, options) };
  }
  const results: Results = {};
  for (const more of ['gradTarget', 'gradInsideWeights', 'gradOutsideWeights']) {
    if (!call.allGradients) break;
    // The mean is then part of the gradient, and needs one upstream number.
    const isMean = more === 'gradOutsideWeights' && call.divisor === 'weights';
    if (isMean && (typeof upstream !== 'number' || call.reduction === 'rowMeans')) continue;
    results[more] = result(more, lengthOf(call, more));
    options[more] = results[more];
  }
  if (call.accumulate) options.accumulate = true;
  if (role === 'backward') {
    options.out = result('gradInput');
    results.gradInput = fn(upstream, input, target, options);
    return results;
  }
  if (call.reduction === 'none') options.out = result('out');
  if (isFolded(call)) options.out = result('out', lossesOf(call));
  Object.assign(results, elementOutputs(call, options, result));
  results.gradInput = result('gradInput');
  results.loss = fn(input, target, results.gradInput, options);
  return results;
}

/** Whether there is one loss for each row or column. */
export const isFolded = ({ reduction }: Call): boolean =>
  reduction === 'rows' || reduction === 'rowMeans' || reduction === 'columns';

/** The number of losses where there is one for each row or column. */
const lossesOf = ({ input, rowLength = 1, reduction }: Call): number =>
  reduction === 'columns' ? rowLength : input.length / rowLength;

/** By what the gradient to weights is folded. */
export function foldOf(call: Call, gradient: string): 'perRow' | 'perColumn' | undefined {
  const weights =
    gradient === 'gradInsideWeights'
      ? call.insideWeights
      : gradient === 'gradOutsideWeights'
        ? call.outsideWeights
        : undefined;
  if (!call.foldsGradients || typeof weights !== 'object') return undefined;
  return 'perRow' in weights ? 'perRow' : 'perColumn' in weights ? 'perColumn' : undefined;
}

function lengthOf(call: Call, gradient: string): number {
  const fold = foldOf(call, gradient);
  const { rowLength = 1, input } = call;
  if (fold === undefined) return input.length;
  return fold === 'perRow' ? input.length / rowLength : rowLength;
}

/** Asks for what can be stored of the elements; what receives it. */
function elementOutputs(
  { allElements, reduction }: Call,
  options: Record<string, unknown>,
  result: (name: string) => Float32Array,
): Results {
  if (!allElements) return {};
  const isArray = reduction !== 'mean' && reduction !== 'sum' && reduction !== undefined;
  const names = [...(isArray ? [] : ['outLosses']), 'outRobustWeights'];
  const outputs = Object.fromEntries(names.map((name) => [name, result(name)]));
  Object.assign(options, outputs);
  return outputs;
}

/** The functions that a call makes sense for. */
export function rolesOf({ form, threshold, gradOutput }: Call): Role[] {
  const roles: Role[] = ['forward', 'backward'];
  if (gradOutput === undefined) roles.push('withGrad');
  const isSmooth = form === 'smoothL1' || form === 'huber';
  if (isSmooth) roles.push('hessian', 'doubleBackward');
  if (isSmooth && typeof threshold === 'number') roles.push('thresholdGrad');
  return roles;
}
