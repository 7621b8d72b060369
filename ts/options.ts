// The options of all functions: their types, and how they are read. Each option is read once, by name,
// before any array is looked at: an option may be a getter, which may do anything.
import { describe, isRevoked } from './check.ts';
import { layout } from './generated/job.ts';
import type { Loss } from './loss.ts';

/** What the elements of an array are. */
export type ElementType = 'float32' | 'float16' | 'bfloat16';

/** A `Float16Array`, where a project's libraries know it. */
type Float16 = typeof globalThis extends { Float16Array: { prototype: infer Array } }
  ? Array
  : never;

/** 16-bit floats: a `Float16Array`, or a `Uint16Array` of their bits. */
export type HalfArray = Uint16Array | Float16;

/** An array of predictions or of targets. */
export type InputArray = Float32Array | HalfArray;

/**
 * `"none"`: one loss for each element; `"rows"`: one sum for each row of `rowLength` elements; `"rowMeans"`: the
 * same, each divided by its own `divisor`; `"columns"`: one sum for each column.
 */
export type Reduction = 'none' | 'sum' | 'mean' | 'rows' | 'rowMeans' | 'columns';

/** An array that a function made: it is on an `ArrayBuffer`, as `Blob` and others ask for. */
export type NewArray = Float32Array & { readonly buffer: ArrayBuffer };

/** The array that a function returns: the `out` that it is given, or a new one. */
export type ResultOf<Out extends Float32Array | undefined> = Out extends Float32Array
  ? NoInference<Out>
  : NewArray;

/** What a result is used for must not tell which `out` was given. */
type NoInference<T> = [T][T extends unknown ? 0 : never];

/** What a loss function returns: a number for the reductions `"mean"` and `"sum"`, otherwise an array. */
export type LossOf<
  R extends Reduction | undefined,
  Out extends Float32Array | undefined = Float32Array,
> = R extends 'mean' | 'sum' | undefined ? number : ResultOf<Out>;

/**
 * One number; a full-size array; or, with `rowLength` given, an array with one value for each row
 * or each column. An array whose length fits rows and columns alike must say which it is.
 */
export type Weights =
  | number
  | Float32Array
  | { perRow: Float32Array }
  | { perColumn: Float32Array };

/** Bytes, or booleans, which are copied. */
export type MaskValues = Uint8Array | Uint8ClampedArray | readonly boolean[];

/**
 * One value for each element; or, with `rowLength` given, one for each row or each column. An array of as many
 * values as there are rows is one for each row.
 */
export type Mask = MaskValues | { perRow: MaskValues } | { perColumn: MaskValues };

/** What the sum of the losses is divided by for the reduction `"mean"`, or that of a row for `"rowMeans"`. */
export type Divisor =
  | 'elements'
  | 'rows'
  | 'weights'
  | 'nonzeroWeights'
  | 'unmasked'
  | 'unmaskedRows'
  | number;

/** Options that every loss has. */
export interface LossOptions<R extends Reduction | undefined = Reduction | undefined> {
  /** Default `"mean"`. */
  reduction?: R | undefined;
  /** `"exact"`: sums, and the sum of the weights that a mean is divided by, are exact, and rounded once: no order, length of calls or backend changes a bit. Default `"fast"`. */
  sum?: 'fast' | 'exact' | undefined;
  /** Multiplies the loss: Caffe's `loss_weight`, the lambda of the papers. Default 1. */
  scale?: number | undefined;
  /** Multiplies the residual, before the loss (Caffe). It moves the kink. May be negative. */
  insideWeights?: Weights | undefined;
  /** Multiplies the loss of an element (Caffe). May be negative. */
  outsideWeights?: Weights | undefined;
  /** Another name of `outsideWeights`. */
  weight?: Weights | undefined;
  /** An element counts where its value is not 0 or false. What is masked contributes nothing, whatever it is. */
  mask?: Mask | undefined;
  /** Elements whose target is NaN are masked. */
  ignoreNaNTargets?: boolean | undefined;
  /** Elements whose target equals this number, rounded to what `target` holds, are masked. */
  ignoreValue?: number | undefined;
  /** The number of columns, if the arrays are rows of so many elements. */
  rowLength?: number | undefined;
  /** What `"mean"` divides by: a name, or a number (mmdetection's `avg_factor`). Default `"elements"`. Weights are the outside ones. For `"rowMeans"`, it is counted for each row. */
  divisor?: Divisor | undefined;
  /** The least that a mean is divided by: 1 for the `max(1, n)` of SSD. */
  minDivisor?: number | undefined;
  /** What a mean is if its divisor is 0. Default `"nan"`. */
  onZeroDivisor?: 'nan' | 'zero' | undefined;
  /** `"throw"`: an array outside of the kernel's memory is an error; `"allow"`: it is copied. Default `"allow"`. */
  copy?: 'allow' | 'throw' | undefined;
  /** What `input` holds. A `Uint16Array` that the package did not make needs it: `"float16"` or `"bfloat16"`. Default: what the array is. */
  inputType?: ElementType | undefined;
  /** What `target` holds, likewise. */
  targetType?: ElementType | undefined;
}

/** The threshold of smooth L1: where the parabola ends. */
export interface SmoothL1Threshold {
  /** From 0, which gives L1. With `rowLength`, an array has one for each column. Default 1. */
  beta?: number | Float32Array | undefined;
  /** Gives `beta` as `1 / sigma^2` (Caffe, MXNet). */
  sigma?: number | Float32Array | undefined;
}

/** The threshold of Huber. */
export interface HuberThreshold {
  /** From 0. `Infinity` gives half the squared error. With `rowLength`, an array has one for each column. Default 1. */
  delta?: number | Float32Array | undefined;
}

/** The threshold and the quantile of the quantile Huber loss. */
export interface QuantileHuberThreshold extends HuberThreshold {
  /** The quantile, from 0 to 1: the weight of elements whose input is below the target; that of the others is `1 - tau`. With `rowLength`, an array has one for each column. Default 0.5. */
  tau?: number | Float32Array | undefined;
}

/** Where results go. */
export interface OutOption<Out extends Float32Array | undefined = Float32Array | undefined> {
  /** The array for the result, which is returned. It may be `input` or `target` itself. Without it, a new `Float32Array` outside of the kernel's memory. */
  out?: Out | undefined;
}

/** What the pass that computes a loss can store of its elements. */
export interface ElementOptions {
  /** Receives the losses of the elements beside a `"mean"` or a `"sum"`: those of the reduction `"none"`. */
  outLosses?: Float32Array | undefined;
  /**
   * Receives the weights of robust fitting: an element's slope divided by its residual `d`, so that the
   * gradient of the `"sum"` is the weight times `d`. Without weights, `1 / max(beta, |d|)` for smooth L1, and
   * `min(1, delta / |d|)` for Huber.
   */
  outRobustWeights?: Float32Array | undefined;
}

/** The gradients beside that to the input, and how they are written. */
export interface GradOptions {
  /** Receives the gradient to the target. */
  gradTarget?: Float32Array | undefined;
  /** Receives the gradient to the inside weights: one for each element, or as many as there are weights by row or by column, which are sums. */
  gradInsideWeights?: Float32Array | undefined;
  /** Receives the gradient to the outside weights, likewise. */
  gradOutsideWeights?: Float32Array | undefined;
  /** Gradients are added to what their arrays hold. */
  accumulate?: boolean | undefined;
}

/** The derivative to a threshold can have an upstream gradient. */
export interface GradOutputOption {
  /** A number, or one number for each row or element. Default 1. */
  gradOutput?: number | Float32Array | undefined;
}

/** The name of any option. */
type OptionName = Exclude<
  keyof Given,
  'insideLayout' | 'outsideLayout' | 'maskLayout' | 'isLike' | 'withoutArrays'
>;

/** What a function does; it decides which options there are. */
export type Role =
  | 'forward'
  | 'backward'
  | 'withGrad'
  | 'hessian'
  | 'doubleBackward'
  | 'thresholdGrad'
  | 'distance'
  | 'distanceBackward'
  | 'distanceWithGrad'
  /** A share of a sum: what the whole is divided by is not known yet. */
  | 'add'
  | 'addWithGrad'
  /** The constructor of a loss object. */
  | 'object';

const COMMON = [
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
] as const;
const ELEMENTS = ['outLosses', 'outRobustWeights'] as const;
const GRADS = ['gradTarget', 'gradInsideWeights', 'gradOutsideWeights', 'accumulate'] as const;

/** The options of each role, beside those of the loss. */
const ROLE_OPTIONS: Readonly<Record<Role, readonly string[]>> = {
  object: COMMON,
  forward: [...COMMON, 'out', ...ELEMENTS],
  backward: [...COMMON, 'out', ...GRADS],
  withGrad: [...COMMON, 'out', ...ELEMENTS, ...GRADS],
  add: [...COMMON, ...ELEMENTS],
  addWithGrad: [...COMMON, ...ELEMENTS, ...GRADS],
  hessian: [...COMMON, 'out'],
  doubleBackward: [...COMMON, 'out'],
  thresholdGrad: [...COMMON, 'gradOutput'],
  distance: [],
  distanceBackward: ['out'],
  distanceWithGrad: [],
};

/** The names of the options that a function takes. */
export function optionNames({ thresholds, isQuantile }: Loss, role: Role): string[] {
  return [...thresholds, ...(isQuantile ? ['tau'] : []), ...ROLE_OPTIONS[role]];
}

type Untyped = { readonly [Name in OptionName]?: unknown };

/** Stands for an array in a {@link Given} that is kept: a plan holds no array. */
const ARRAY: object = Object.freeze({});

/**
 * The options of a call as they were given, each read once. The names stand one by one here and in
 * `isLike`: in a loop, V8 takes four times as long.
 */
export class Given {
  beta: unknown = undefined;
  sigma: unknown = undefined;
  delta: unknown = undefined;
  tau: unknown = undefined;
  reduction: unknown = undefined;
  sum: unknown = undefined;
  scale: unknown = undefined;
  insideWeights: unknown = undefined;
  outsideWeights: unknown = undefined;
  weight: unknown = undefined;
  mask: unknown = undefined;
  ignoreNaNTargets: unknown = undefined;
  ignoreValue: unknown = undefined;
  rowLength: unknown = undefined;
  divisor: unknown = undefined;
  minDivisor: unknown = undefined;
  onZeroDivisor: unknown = undefined;
  copy: unknown = undefined;
  inputType: unknown = undefined;
  targetType: unknown = undefined;
  out: unknown = undefined;
  outLosses: unknown = undefined;
  outRobustWeights: unknown = undefined;
  gradTarget: unknown = undefined;
  gradInsideWeights: unknown = undefined;
  gradOutsideWeights: unknown = undefined;
  accumulate: unknown = undefined;
  gradOutput: unknown = undefined;
  /** How `insideWeights` lie, if the options say so, otherwise `NUMBER`. */
  insideLayout: number = layout.NUMBER;
  /** The same for `outsideWeights` or `weight`. */
  outsideLayout: number = layout.NUMBER;
  /** The same for `mask`. */
  maskLayout: number = layout.NUMBER;

  /** Reads `options`. What they leave out is as in `base`. */
  read(options: Untyped, base: Given): Given {
    // An option with two names replaces the base's value under either name.
    const beta = options.beta;
    const sigma = options.sigma;
    const isThreshold = beta !== undefined || sigma !== undefined;
    this.beta = isThreshold ? beta : base.beta;
    this.sigma = isThreshold ? sigma : base.sigma;
    let inside = options.insideWeights;
    let outside = options.outsideWeights;
    let weight = options.weight;
    let insideLayout: number = layout.NUMBER;
    let outsideLayout: number = layout.NUMBER;
    if (isWrapped(inside)) [inside, insideLayout] = unwrap(inside);
    if (isWrapped(outside)) [outside, outsideLayout] = unwrap(outside);
    if (isWrapped(weight)) [weight, outsideLayout] = unwrap(weight);
    const isInside = inside !== undefined;
    this.insideWeights = isInside ? inside : base.insideWeights;
    this.insideLayout = isInside ? insideLayout : base.insideLayout;
    const isOutside = outside !== undefined || weight !== undefined;
    this.outsideWeights = isOutside ? outside : base.outsideWeights;
    this.weight = isOutside ? weight : base.weight;
    this.outsideLayout = isOutside ? outsideLayout : base.outsideLayout;
    this.delta = or(options.delta, base.delta);
    this.tau = or(options.tau, base.tau);
    this.reduction = or(options.reduction, base.reduction);
    this.sum = or(options.sum, base.sum);
    this.scale = or(options.scale, base.scale);
    let mask = options.mask;
    let maskLayout: number = layout.NUMBER;
    if (isWrapped(mask)) {
      if (!Array.isArray(mask)) [mask, maskLayout] = unwrap(mask);
      mask = bytesOf(mask);
    }
    this.mask = or(mask, base.mask);
    this.maskLayout = mask === undefined ? base.maskLayout : maskLayout;
    this.ignoreNaNTargets = or(options.ignoreNaNTargets, base.ignoreNaNTargets);
    this.ignoreValue = or(options.ignoreValue, base.ignoreValue);
    this.rowLength = or(options.rowLength, base.rowLength);
    this.divisor = or(options.divisor, base.divisor);
    this.minDivisor = or(options.minDivisor, base.minDivisor);
    this.onZeroDivisor = or(options.onZeroDivisor, base.onZeroDivisor);
    this.copy = or(options.copy, base.copy);
    this.inputType = or(options.inputType, base.inputType);
    this.targetType = or(options.targetType, base.targetType);
    this.out = or(options.out, base.out);
    this.outLosses = or(options.outLosses, base.outLosses);
    this.outRobustWeights = or(options.outRobustWeights, base.outRobustWeights);
    this.gradTarget = or(options.gradTarget, base.gradTarget);
    this.gradInsideWeights = or(options.gradInsideWeights, base.gradInsideWeights);
    this.gradOutsideWeights = or(options.gradOutsideWeights, base.gradOutsideWeights);
    this.accumulate = or(options.accumulate, base.accumulate);
    this.gradOutput = or(options.gradOutput, base.gradOutput);
    return this;
  }

  /** True if a call with these options and one with `other` differ at most in their arrays. */
  isLike(other: Given): boolean {
    return (
      this.reduction === other.reduction &&
      this.sum === other.sum &&
      this.scale === other.scale &&
      this.ignoreNaNTargets === other.ignoreNaNTargets &&
      this.ignoreValue === other.ignoreValue &&
      this.rowLength === other.rowLength &&
      this.divisor === other.divisor &&
      this.minDivisor === other.minDivisor &&
      this.onZeroDivisor === other.onZeroDivisor &&
      this.copy === other.copy &&
      this.inputType === other.inputType &&
      this.targetType === other.targetType &&
      this.accumulate === other.accumulate &&
      isAlike(this.beta, other.beta) &&
      isAlike(this.sigma, other.sigma) &&
      isAlike(this.delta, other.delta) &&
      isAlike(this.tau, other.tau) &&
      isAlike(this.insideWeights, other.insideWeights) &&
      isAlike(this.outsideWeights, other.outsideWeights) &&
      isAlike(this.weight, other.weight) &&
      isAlike(this.mask, other.mask) &&
      isAlike(this.outLosses, other.outLosses) &&
      isAlike(this.outRobustWeights, other.outRobustWeights) &&
      isAlike(this.gradTarget, other.gradTarget) &&
      isAlike(this.gradInsideWeights, other.gradInsideWeights) &&
      isAlike(this.gradOutsideWeights, other.gradOutsideWeights) &&
      isAlike(this.gradOutput, other.gradOutput) &&
      this.insideLayout === other.insideLayout &&
      this.outsideLayout === other.outsideLayout &&
      this.maskLayout === other.maskLayout
    );
  }

  /** True if these options have the same arrays as `other`, beside `out` and `gradOutput`. */
  hasArraysOf(other: Given): boolean {
    return (
      this.beta === other.beta &&
      this.sigma === other.sigma &&
      this.delta === other.delta &&
      this.tau === other.tau &&
      this.insideWeights === other.insideWeights &&
      this.outsideWeights === other.outsideWeights &&
      this.weight === other.weight &&
      this.mask === other.mask &&
      this.outLosses === other.outLosses &&
      this.outRobustWeights === other.outRobustWeights &&
      this.gradTarget === other.gradTarget &&
      this.gradInsideWeights === other.gradInsideWeights &&
      this.gradOutsideWeights === other.gradOutsideWeights
    );
  }

  /** The same without its arrays, for a plan to keep. */
  withoutArrays(): Given {
    const copy = new Given();
    const values = copy as unknown as Record<string, unknown>;
    for (const [name, value] of Object.entries(this))
      values[name] = typeof value === 'object' && value !== null ? ARRAY : value;
    return copy;
  }
}

/** The options of a call that gives none. */
export const NONE = new Given();

function or(value: unknown, base: unknown): unknown {
  return value === undefined ? base : value;
}

function isAlike(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null);
}

function isWrapped(weights: unknown): weights is object {
  const isObject = typeof weights === 'object' && weights !== null;
  return isObject && !ArrayBuffer.isView(weights) && !isRevoked(weights);
}

/** A list of booleans as bytes. Anything else is left for the checks. */
function bytesOf(mask: unknown): unknown {
  if (isRevoked(mask) || !Array.isArray(mask)) return mask;
  const values = Array.from(mask as readonly unknown[]);
  return values.every((value) => typeof value === 'boolean')
    ? Uint8Array.from(values, Number)
    : mask;
}

/** The array in `{ perRow: array }` or `{ perColumn: array }`. Anything else is left for the checks. */
function unwrap(weights: object): [array: unknown, layout: number] {
  const [key, ...more] = Object.keys(weights);
  if (more.length > 0 || (key !== 'perRow' && key !== 'perColumn')) return [weights, layout.NUMBER];
  const array = (weights as Record<string, unknown>)[key];
  return [array ?? null, key === 'perRow' ? layout.ROW : layout.COLUMN];
}

/**
 * Reads the options of a call of `fn`, which takes those of `names`. Properties of a polluted
 * `Object.prototype` are not options.
 */
export function readOptions(
  fn: string,
  names: readonly string[],
  options: unknown,
  base: Given,
): Given {
  if (options === undefined) return base;
  checkNames(fn, options, names);
  return given(options, base);
}

/** Options whose names are known to be right. */
export function given(options: Untyped, base: Given = NONE): Given {
  return new Given().read(isClean() ? options : withoutPollution(options), base);
}

const { prototype } = Object;
// Some of the engines that this runs in lack Object.hasOwn.
const { hasOwnProperty: hasOwn, toString: tagOf } = prototype;

/** Throws unless the value is an object of options. An instance of a class may be one, a Map may not. */
function checkObject(fn: string, options: unknown): asserts options is object {
  if (typeof options === 'object' && options !== null && !isRevoked(options)) {
    if (Object.getPrototypeOf(options) === prototype) return;
    const tag = tagOf.call(options);
    if (tag === '[object Object]' || tag === '[object Module]') return;
  }
  throw new TypeError(`${fn}: options must be an object, got ${describe(options)}`);
}

/** True if a property comes from Object.prototype. */
function isPolluted(options: object, name: string): boolean {
  if (!(name in prototype)) return false;
  for (let at: object | null = options; at && at !== prototype; at = Object.getPrototypeOf(at))
    if (hasOwn.call(at, name)) return false;
  return true;
}

/** An object that has what Object.prototype has. */
const PROBE: Untyped = {};

/** True if Object.prototype has none of the options. The names stand one by one, as above. */
function isClean(): boolean {
  return (
    PROBE.beta === undefined &&
    PROBE.sigma === undefined &&
    PROBE.delta === undefined &&
    PROBE.tau === undefined &&
    PROBE.reduction === undefined &&
    PROBE.sum === undefined &&
    PROBE.scale === undefined &&
    PROBE.insideWeights === undefined &&
    PROBE.outsideWeights === undefined &&
    PROBE.weight === undefined &&
    PROBE.mask === undefined &&
    PROBE.ignoreNaNTargets === undefined &&
    PROBE.ignoreValue === undefined &&
    PROBE.rowLength === undefined &&
    PROBE.divisor === undefined &&
    PROBE.minDivisor === undefined &&
    PROBE.onZeroDivisor === undefined &&
    PROBE.copy === undefined &&
    PROBE.inputType === undefined &&
    PROBE.targetType === undefined &&
    PROBE.out === undefined &&
    PROBE.outLosses === undefined &&
    PROBE.outRobustWeights === undefined &&
    PROBE.gradTarget === undefined &&
    PROBE.gradInsideWeights === undefined &&
    PROBE.gradOutsideWeights === undefined &&
    PROBE.accumulate === undefined &&
    PROBE.gradOutput === undefined
  );
}

function withoutPollution(options: Untyped): Untyped {
  const own: Record<string, unknown> = Object.create(null);
  for (const name of Object.keys(NONE) as OptionName[])
    if (name in options && !isPolluted(options, name)) own[name] = options[name];
  return own;
}

/** The options of a call that takes no more than those, by name: what Object.prototype has is not among them. */
export function read<Options extends object>(
  fn: string,
  options: Options,
  known: readonly string[],
): Partial<Options> {
  checkNames(fn, options, known);
  const own: Partial<Options> = Object.create(null);
  for (const name of known)
    if (name in options && !isPolluted(options, name))
      own[name as keyof Options] = options[name as keyof Options];
  return own;
}

/** Throws unless the value is an object that has no options but those. */
function checkNames(
  fn: string,
  options: unknown,
  known: readonly string[],
): asserts options is object {
  checkObject(fn, options);
  for (const name in options)
    if (!known.includes(name) && !isPolluted(options, name)) throw unknownOption(fn, name, known);
}

/** Which loss a threshold is of. */
const OWNERS = new Map([
  ['beta', 'smoothL1Loss'],
  ['sigma', 'smoothL1Loss'],
  ['delta', 'huberLoss'],
]);

export function unknownOption(fn: string, name: string, known: readonly string[]): TypeError {
  const owner = OWNERS.get(name);
  const own = known.filter((name) => OWNERS.has(name)).join(' or ');
  const close = known.find((other) => isClose(name, other));
  const hint = owner
    ? `${name} is the threshold of ${owner}; ${own ? `here it is ${own}` : 'there is none here'}`
    : `${close ? `did you mean ${close}? There` : 'there'} are ${known.join(', ')}`;
  return new TypeError(`${fn}: there is no option "${name}"; ${hint}`);
}

/** True if two names differ by case, or by one letter more, less, changed or swapped. */
function isClose(a: string, b: string): boolean {
  const [x, y] = [a.toLowerCase(), b.toLowerCase()];
  let i = 0;
  while (i < x.length && x[i] === y[i]) i++;
  const [p, q] = [x.slice(i), y.slice(i)];
  return (
    p === q ||
    p.slice(1) === q ||
    p === q.slice(1) ||
    p.slice(1) === q.slice(1) ||
    (p.slice(2) === q.slice(2) && p[0] === q[1] && p[1] === q[0])
  );
}
