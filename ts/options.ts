// The options of all functions: their types, and reading them, once and in full, before anything
// else is looked at: an option may be a getter, which may do anything.
import { checkArray, checkNumber, describe } from './check.ts';
import type { Form } from './curve.ts';

/** `"none"`: one loss for each element; `"rows"`: one sum for each row of `rowLength` elements. */
export type Reduction = 'none' | 'sum' | 'mean' | 'rows';

/** What a loss function returns: a number, or an array for the reductions `"none"` and `"rows"`. */
export type LossOf<R extends Reduction> = R extends 'none' | 'rows' ? Float32Array : number;

/**
 * One number; a full-size array; or, with `rowLength` given, an array with one value for each row
 * or each column. An array whose length fits rows and columns alike must say which it is.
 */
export type Weights =
  | number
  | Float32Array
  | { perRow: Float32Array }
  | { perColumn: Float32Array };

/** What the sum of the losses is divided by for the reduction `"mean"`. */
export type Divisor = 'elements' | 'rows' | 'weights' | 'nonzeroWeights' | 'unmasked' | number;

/** Options that every loss has. */
export interface LossOptions<R extends Reduction = Reduction> {
  /** Default `"mean"`. */
  reduction?: R;
  /** Multiplies the loss: Caffe's `loss_weight`, the lambda of the papers. Default 1. */
  scale?: number;
  /** Multiplies the residual, before the loss (Caffe). It moves the kink. May be negative. */
  insideWeights?: Weights;
  /** Multiplies the loss of an element (Caffe). May be negative. */
  outsideWeights?: Weights;
  /** Another name of `outsideWeights`. */
  weight?: Weights;
  /** One byte for each element, or for each row: an element counts where it is not 0. What is masked contributes nothing, whatever its value. */
  mask?: Uint8Array;
  /** Elements whose target is NaN are masked. */
  ignoreNaNTargets?: boolean;
  /** The number of columns, if the arrays are rows of so many elements. */
  rowLength?: number;
  /** What `"mean"` divides by: a name, or a number (mmdetection's `avg_factor`). Default `"elements"`. Weights are the outside ones. */
  divisor?: Divisor;
  /** The least that `"mean"` divides by: 1 for the `max(1, n)` of SSD. */
  minDivisor?: number;
  /** What `"mean"` is if its divisor is 0. Default `"nan"`. */
  onZeroDivisor?: 'nan' | 'zero';
  /** `"throw"`: an array outside of the kernel's memory is an error, where else it would be copied through. Default `"allow"`. */
  copy?: 'allow' | 'throw';
}

/** The threshold of smooth L1: where the parabola ends. */
export interface SmoothL1Threshold {
  /** From 0, which gives L1. With `rowLength`, an array has one for each column. Default 1. */
  beta?: number | Float32Array;
  /** Gives `beta` as `1 / sigma^2` (Caffe, MXNet). */
  sigma?: number | Float32Array;
}

/** The threshold of Huber. */
export interface HuberThreshold {
  /** From 0. `Infinity` gives half the squared error. With `rowLength`, an array has one for each column. Default 1. */
  delta?: number | Float32Array;
}

/** Where results go. */
export interface OutOption {
  /** The array for the result, which is returned. It may be `input` or `target` itself. Without it, a new `Float32Array` outside of the kernel's memory. */
  out?: Float32Array;
}

/** The gradients beside that to the input, and how they are written. */
export interface GradOptions {
  /** Receives the gradient to the target. */
  gradTarget?: Float32Array;
  /** Receives the gradient to the inside weights, full size. */
  gradInsideWeights?: Float32Array;
  /** Receives the gradient to the outside weights, full size. */
  gradOutsideWeights?: Float32Array;
  /** Gradients are added to what their arrays hold. */
  accumulate?: boolean;
}

/** The derivative to a threshold can have an upstream gradient. */
export interface GradOutputOption {
  /** A number, or one number for each row or element. Default 1. */
  gradOutput?: number | Float32Array;
}

/** All options, read and checked as far as can be without the arrays. */
export interface Settings {
  readonly form: Form;
  readonly threshold: number | Float32Array;
  readonly thresholdName: 'beta' | 'sigma' | 'delta';
  readonly reduction: Reduction;
  readonly scale: number;
  readonly insideWeights: Weights | undefined;
  readonly outsideWeights: Weights | undefined;
  /** The name that they were given by. */
  readonly outsideName: 'outsideWeights' | 'weight';
  readonly mask: Uint8Array | undefined;
  readonly ignoresNaN: boolean;
  /** 0: none. */
  readonly rowLength: number;
  readonly divisor: Divisor;
  readonly minDivisor: number | undefined;
  readonly zeroOnZero: boolean;
  readonly forbidsCopy: boolean;
  readonly out: Float32Array | undefined;
  readonly gradTarget: Float32Array | undefined;
  readonly gradInsideWeights: Float32Array | undefined;
  readonly gradOutsideWeights: Float32Array | undefined;
  readonly accumulates: boolean;
  readonly gradOutput: number | Float32Array;
  /** Nothing but a threshold, a scale, a reduction to a number, and `copy`. */
  readonly isPlain: boolean;
}

type Given = Readonly<Record<string, unknown>>;

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
const THRESHOLDS = { smoothL1: ['beta', 'sigma'], huber: ['delta'], l1: [] };
/** What the kinds of functions take beside their threshold. */
const KINDS = {
  object: COMMON,
  forward: [...COMMON, 'out'],
  backward: [
    ...COMMON,
    'out',
    'gradTarget',
    'gradInsideWeights',
    'gradOutsideWeights',
    'accumulate',
  ],
  second: [...COMMON, 'out'],
  threshold: [...COMMON, 'gradOutput'],
  distance: [],
  distanceBackward: ['out'],
};
export type Kind = keyof typeof KINDS;

/** Options that leave a pass plain. */
const PLAIN = ['beta', 'sigma', 'delta', 'reduction', 'scale', 'copy', 'out'];

const NUMBER_OR_ARRAY = 'a number or a Float32Array';
const WEIGHTS = 'a number, a Float32Array, { perRow: Float32Array } or { perColumn: Float32Array }';

const REDUCTIONS = ['none', 'sum', 'mean', 'rows'] as const;
const DIVISORS = ['elements', 'rows', 'weights', 'nonzeroWeights', 'unmasked'] as const;
const ON_ZERO = ['nan', 'zero'] as const;
const COPY = ['allow', 'throw'] as const;

/** Reads the options of function `fn`. */
export function readOptions(fn: string, form: Form, kind: Kind, options: unknown): Settings {
  checkOptions(fn, options);
  const given: Given = { ...options };
  let isPlain = true;
  for (const key in given) {
    if (
      !(KINDS[kind] as readonly string[]).includes(key) &&
      !(THRESHOLDS[form] as string[]).includes(key)
    )
      throw unknownOption(fn, key, [...THRESHOLDS[form], ...KINDS[kind]]);
    isPlain &&= given[key] === undefined || PLAIN.includes(key);
  }

  const [threshold, thresholdName] = thresholdOf(fn, form, kind, given);
  const reduction = oneOf(fn, 'reduction', REDUCTIONS, given, 'mean');
  const outsideName = given.weight !== undefined ? 'weight' : 'outsideWeights';
  const settings: Settings = {
    form,
    threshold,
    thresholdName,
    reduction,
    outsideName,
    scale: number(fn, 'scale', given) ?? 1,
    insideWeights: weightsOf(fn, 'insideWeights', given),
    outsideWeights: weightsOf(fn, outsideName, given),
    mask: array(fn, 'mask', 'Uint8Array', given) as Uint8Array | undefined,
    ignoresNaN: flag(fn, 'ignoreNaNTargets', given),
    rowLength: number(fn, 'rowLength', given) ?? 0,
    divisor:
      typeof given.divisor === 'number'
        ? given.divisor
        : oneOf(fn, 'divisor', DIVISORS, given, 'elements'),
    minDivisor: number(fn, 'minDivisor', given),
    zeroOnZero: oneOf(fn, 'onZeroDivisor', ON_ZERO, given, 'nan') === 'zero',
    forbidsCopy: oneOf(fn, 'copy', COPY, given, 'allow') === 'throw',
    out: array(fn, 'out', 'Float32Array', given) as Float32Array | undefined,
    gradTarget: array(fn, 'gradTarget', 'Float32Array', given) as Float32Array | undefined,
    gradInsideWeights: array(fn, 'gradInsideWeights', 'Float32Array', given) as
      | Float32Array
      | undefined,
    gradOutsideWeights: array(fn, 'gradOutsideWeights', 'Float32Array', given) as
      | Float32Array
      | undefined,
    accumulates: flag(fn, 'accumulate', given),
    gradOutput:
      typeof given.gradOutput === 'number'
        ? given.gradOutput
        : ((array(fn, 'gradOutput', 'Float32Array', given, NUMBER_OR_ARRAY) as
            | Float32Array
            | undefined) ?? 1),
    isPlain:
      isPlain &&
      typeof threshold === 'number' &&
      threshold < Infinity &&
      (reduction === 'sum' || reduction === 'mean'),
  };
  if (!isPlain || reduction === 'rows') checkTogether(fn, given, settings);
  return settings;
}

/** Throws for what is no object of options. */
export function checkOptions(fn: string, options: unknown): asserts options is object | undefined {
  const isObject = typeof options === 'object' && options !== null;
  if (options !== undefined && (!isObject || Array.isArray(options) || ArrayBuffer.isView(options)))
    throw new TypeError(`${fn}: options must be an object, got ${describe(options)}`);
}

/** Throws for what is no object of options, or has others than those. */
export function checkNames(fn: string, options: object, known: readonly string[]): void {
  checkOptions(fn, options);
  for (const key of Object.keys(options))
    if (!known.includes(key))
      throw new TypeError(`${fn}: there is no option "${key}"; there are ${known.join(', ')}`);
}

/** Checks what depends on more than one option. */
function checkTogether(fn: string, given: Given, settings: Settings): void {
  const { reduction, rowLength, divisor, minDivisor } = settings;
  if (given.weight !== undefined && given.outsideWeights !== undefined)
    throw new TypeError(
      `${fn}: weight and outsideWeights are two names of one option; give one of them`,
    );
  if (given.rowLength !== undefined && !(Number.isInteger(rowLength) && rowLength > 0))
    throw new RangeError(`${fn}: rowLength must be an integer from 1, got ${rowLength}`);
  if (typeof divisor === 'number' && !(divisor >= 0 && divisor < Infinity))
    throw new RangeError(`${fn}: divisor must be a finite number from 0, got ${divisor}`);
  if (minDivisor !== undefined && !(minDivisor >= 0 && minDivisor < Infinity))
    throw new RangeError(`${fn}: minDivisor must be a finite number from 0, got ${minDivisor}`);
  for (const name of ['divisor', 'minDivisor', 'onZeroDivisor'])
    if (given[name] !== undefined && reduction !== 'mean')
      throw new TypeError(
        `${fn}: ${name} has a use only with reduction "mean", got "${reduction}"`,
      );
  if (
    (divisor === 'weights' || divisor === 'nonzeroWeights') &&
    settings.outsideWeights === undefined
  )
    throw new TypeError(`${fn}: divisor "${divisor}" needs outsideWeights, which are missing`);
  if (divisor === 'rows' && rowLength === 0)
    throw new TypeError(`${fn}: divisor "rows" needs rowLength, which is missing`);
  if (reduction === 'rows' && rowLength === 0)
    throw new TypeError(`${fn}: reduction "rows" needs rowLength, which is missing`);
}

/** Which loss a threshold is of. */
const OWNERS = new Map([
  ['beta', 'smoothL1Loss'],
  ['sigma', 'smoothL1Loss'],
  ['delta', 'huberLoss'],
]);

function unknownOption(fn: string, key: string, known: string[]): TypeError {
  const owner = OWNERS.get(key);
  const own = known.filter((name) => OWNERS.has(name)).join(' or ');
  const hint = owner
    ? `${key} is the threshold of ${owner}; ${own ? `here it is ${own}` : 'there is none here'}`
    : `there are ${known.join(', ')}`;
  return new TypeError(`${fn}: there is no option "${key}"; ${hint}`);
}

function oneOf<T extends string>(
  fn: string,
  name: string,
  values: readonly T[],
  given: Given,
  fallback: T,
): T {
  const value = given[name];
  if (value === undefined) return fallback;
  if ((values as readonly unknown[]).includes(value)) return value as T;
  const error = typeof value === 'string' ? RangeError : TypeError;
  const choices = name === 'divisor' ? 'a number or one of' : 'one of';
  throw new error(
    `${fn}: ${name} must be ${choices} ${values.map(describe).join(', ')}, got ${describe(value)}`,
  );
}

function flag(fn: string, name: string, given: Given): boolean {
  const value = given[name];
  if (value === undefined || typeof value === 'boolean') return value ?? false;
  throw new TypeError(`${fn}: ${name} must be true or false, got ${describe(value)}`);
}

function number(fn: string, name: string, given: Given): number | undefined {
  const value = given[name];
  if (value !== undefined) checkNumber(fn, name, value);
  return value as number | undefined;
}

function array(
  fn: string,
  name: string,
  type: 'Float32Array' | 'Uint8Array',
  given: Given,
  wanted?: string,
): unknown {
  const value = given[name];
  if (value !== undefined) checkArray(fn, name, value, type, wanted);
  return value;
}

function thresholdOf(
  fn: string,
  form: Form,
  kind: Kind,
  given: Given,
): [number | Float32Array, 'beta' | 'sigma' | 'delta'] {
  if (given.beta !== undefined && given.sigma !== undefined)
    throw new TypeError(
      `${fn}: beta (${describe(given.beta)}) and sigma (${describe(given.sigma)}) both set the threshold, beta = 1 / sigma^2; give one of them`,
    );
  const name = form === 'huber' ? 'delta' : given.sigma !== undefined ? 'sigma' : 'beta';
  const value = given[name] === undefined ? 1 : given[name];
  if (typeof value === 'number') {
    checkThreshold(fn, name, value);
    return [name === 'sigma' ? 1 / (value * value) : value, name];
  }
  if (!(KINDS[kind] as readonly string[]).includes('rowLength')) checkNumber(fn, name, value);
  checkArray(fn, name, value, 'Float32Array', NUMBER_OR_ARRAY);
  if (given.rowLength === undefined)
    throw new TypeError(`${fn}: ${name} for each column needs rowLength, which is missing`);
  return [value as Float32Array, name];
}

/** Throws for a threshold that is no threshold. */
export function checkThreshold(fn: string, name: string, value: number): void {
  if (!(value >= 0)) throw new RangeError(`${fn}: ${name} must be a number from 0, got ${value}`);
}

function weightsOf(fn: string, name: string, given: Given): Weights | undefined {
  const value = given[name];
  if (value === undefined || typeof value === 'number') return value;
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    const keys = Object.keys(value);
    const [key] = keys;
    if (keys.length === 1 && (key === 'perRow' || key === 'perColumn')) {
      const array = (value as Record<string, unknown>)[key];
      checkArray(fn, `${name}.${key}`, array, 'Float32Array');
      if (given.rowLength === undefined)
        throw new TypeError(`${fn}: ${name}.${key} needs rowLength, which is missing`);
      return { [key]: array } as unknown as Weights;
    }
  }
  checkArray(fn, name, value, 'Float32Array', WEIGHTS);
  return value as Float32Array;
}
