// What a call computes, as far as its options tell: worked out once, kept by a loss object, and found
// again by a function whose options are like those of its last call.
import { checkArray, checkNumber, describe } from './check.ts';
import { areLong, Columns, type Parameters } from './curves.ts';
import {
  count,
  field,
  ignore,
  JOB_WORDS,
  layout,
  OPERAND_WORDS,
  OPERANDS,
  operand,
  result,
  want,
} from './generated/job.ts';
import { LARGEST, type Loss, type ThresholdName } from './loss.ts';
import {
  type Divisor,
  type ElementType,
  type Given,
  optionNames,
  type Reduction,
  type Role,
  unknownOption,
} from './options.ts';

/** The arrays of a call: the operands of the job, then its results, then what operands are made of. */
export const slot = {
  ...operand,
  OUT: operand.MASK + 1 + result.OUT,
  GRAD_INPUT: operand.MASK + 1 + result.GRAD_INPUT,
  GRAD_TARGET: operand.MASK + 1 + result.GRAD_TARGET,
  GRAD_INSIDE: operand.MASK + 1 + result.GRAD_INSIDE,
  GRAD_OUTSIDE: operand.MASK + 1 + result.GRAD_OUTSIDE,
  ROBUST_WEIGHTS: operand.MASK + 1 + result.ROBUST_WEIGHTS,
  THRESHOLD: operand.MASK + 1 + result.ROBUST_WEIGHTS + 1,
  TAU: operand.MASK + 1 + result.ROBUST_WEIGHTS + 2,
  /** Upstream gradients of row means; `UPSTREAM` is made of them. */
  ROW_UPSTREAM: operand.MASK + 1 + result.ROBUST_WEIGHTS + 3,
} as const;
export const SLOTS = slot.ROW_UPSTREAM + 1;

export const isResult = (at: number): boolean => at >= slot.OUT && at <= slot.ROBUST_WEIGHTS;

/** What has a result written: a set of `want`. */
export function wantsOf(at: number): number {
  if (at === slot.OUT) return want.STORE | want.ROWS;
  return at === slot.ROBUST_WEIGHTS ? want.ROBUST : want.GRAD | want.CURVATURE;
}

const REDUCTIONS = ['none', 'sum', 'mean', 'rows', 'rowMeans', 'columns'] as const;
/** Those that divide. */
const MEANS: readonly string[] = ['mean', 'rowMeans'];
const DIVISORS = [
  'elements',
  'rows',
  'weights',
  'nonzeroWeights',
  'unmasked',
  'unmaskedRows',
] as const;
const SUMS = ['fast', 'exact'] as const;
const ON_ZERO = ['nan', 'zero'] as const;
const COPY = ['allow', 'throw'] as const;
const ELEMENT_TYPES = ['float32', 'float16', 'bfloat16'] as const;

const RESULT_OPTIONS = [
  'out',
  'outLosses',
  'outRobustWeights',
  'gradTarget',
  'gradInsideWeights',
  'gradOutsideWeights',
] as const;

const NUMBER_OR_ARRAY = 'a number or a Float32Array';
const INPUT = 'a Float32Array, a Float16Array or a Uint16Array';
const WEIGHTS = 'a number, a Float32Array, { perRow: Float32Array } or { perColumn: Float32Array }';

/** What each role makes, beside the loss. */
const ROLE_WANTS: Readonly<Partial<Record<Role, number>>> = {
  backward: want.GRAD,
  withGrad: want.GRAD,
  addWithGrad: want.GRAD,
  distanceBackward: want.GRAD,
  distanceWithGrad: want.GRAD,
  hessian: want.CURVATURE,
  doubleBackward: want.CURVATURE,
};

/** The next plan's number: plans that are used in turn have jobs of their own. */
let nextId = 0;

/** A function's options, checked, and the words that they make of a job. */
export class Plan {
  readonly id = nextId++;
  readonly fn: string;
  readonly loss: Loss;
  readonly role: Role;
  /** The options, without their arrays. */
  readonly given: Given;
  /** Words of a job that are the same for each call; pointers are 0. */
  readonly words = new Uint32Array(JOB_WORDS);

  readonly reduction: Reduction;
  /** Whether the call divides: what {@link Role} `add` computes is divided later. */
  readonly isMean: boolean;
  /** What has losses added up: `SUM` or `EXACT`. */
  readonly adds: number;
  readonly scale: number;
  /** 0: the arrays are no rows. */
  readonly rowLength: number;
  readonly hasMask: boolean;
  readonly ignoresNaN: boolean;
  /** What a target equals that is missing; it is rounded to the type of the targets of a call. */
  readonly ignoreValue: number | undefined;
  readonly divisor: Divisor;
  readonly minDivisor: number;
  readonly zeroOnZero: boolean;
  readonly forbidsCopy: boolean;
  readonly accumulates: boolean;
  /** Whether `out` is the only array that gradients could be added to. */
  readonly addsToOut: boolean;
  /** The threshold, beta where sigma is given, unless there is one for each column. */
  readonly threshold: number | undefined;
  readonly thresholdName: ThresholdName;
  /** The quantile, unless there is one for each column. */
  readonly tau: number | undefined;
  readonly outsideName: 'outsideWeights' | 'weight';
  /** What the elements of `input` and `target` are, unless that is left to the arrays. */
  readonly inputType: ElementType | undefined;
  readonly targetType: ElementType | undefined;
  /** Whether it is a function of a distance, whose arrays are `p` and `q`. */
  readonly isDistance: boolean;
  /** Whether the options have an array beside `out`, or `gradOutput`. */
  readonly hasArrays: boolean;
  /** Whether thresholds or quantiles are one for each column. */
  readonly hasColumns: boolean;
  /** Whether the curves that are made of them are made piece by piece. */
  readonly hasLongCurves: boolean;

  /** What is computed, without `UPSTREAM`. */
  readonly want: number;
  /** Whether something else than losses is computed, which is divided as they are. */
  readonly isGradient: boolean;
  /** Whether the result is the derivative to the threshold. */
  readonly isThresholdGrad: boolean;
  /** Whether the losses are one sum, or one mean, for each row. */
  readonly hasRows: boolean;
  /** Whether each row is divided by a number of its own. */
  readonly dividesRows: boolean;
  /** Whether that makes an upstream gradient for each row. */
  readonly makesUpstream: boolean;
  /** Whether the losses are an array. */
  readonly isLossArray: boolean;
  /** Whether the result is an array of gradients or curvatures. */
  readonly makesArray: boolean;
  /** What is added up for the divisor. */
  readonly counted: number;
  /** Whether rows that are not masked are counted, which the kernel does not. */
  readonly countsRows: boolean;
  /** Whether that must be known before anything is written, since gradients are divided by it. */
  readonly countsFirst: boolean;
  /** Whether the gradient to the outside weights has a share of the mean, which these divide. */
  readonly shifts: boolean;
  #columns: Columns | undefined;

  constructor(fn: string, loss: Loss, role: Role, given: Given) {
    this.fn = fn;
    this.loss = loss;
    this.role = role;
    this.given = given.withoutArrays();
    this.#checkNames(given);

    if (given.beta !== undefined && given.sigma !== undefined)
      throw new TypeError(
        `${fn}: beta (${describe(given.beta)}) and sigma (${describe(given.sigma)}) both set the threshold, beta = 1 / sigma^2; give one of them`,
      );
    const [first = 'beta', second = first] = loss.thresholds;
    this.thresholdName = given[second] !== undefined ? second : first;
    this.threshold = this.#parameter(given, this.thresholdName, 1);
    this.tau = loss.isQuantile ? this.#parameter(given, 'tau', 0.5) : 0.5;
    this.hasColumns = this.threshold === undefined || this.tau === undefined;

    this.isDistance = role.startsWith('distance');
    this.inputType = this.#elementType('inputType', given.inputType);
    this.targetType = this.#elementType('targetType', given.targetType);
    const reduction = this.#oneOf('reduction', REDUCTIONS, given.reduction, 'mean');
    this.reduction = this.isDistance ? 'sum' : reduction;
    const isAdd = role === 'add' || role === 'addWithGrad';
    this.isMean = this.reduction === 'mean' && !isAdd;
    const isExact = this.#oneOf('sum', SUMS, given.sum, 'fast') === 'exact';
    this.adds = isExact ? want.EXACT : want.SUM;
    this.scale = this.#number('scale', given.scale) ?? 1;
    this.outsideName = given.weight !== undefined ? 'weight' : 'outsideWeights';
    const outsideWeights = given[this.outsideName];
    const inside = this.#weights('insideWeights', given.insideWeights, given, given.insideLayout);
    const outside = this.#weights(this.outsideName, outsideWeights, given, given.outsideLayout);
    if (given.mask !== undefined) {
      checkArray(fn, this.nameOf(slot.MASK), given.mask, 'Uint8Array', maskText(given.maskLayout));
      if (given.maskLayout !== layout.NUMBER && given.rowLength === undefined)
        throw new TypeError(`${fn}: ${this.nameOf(slot.MASK)} needs rowLength, which is missing`);
    }
    this.hasMask = given.mask !== undefined;
    this.ignoresNaN = this.#flag('ignoreNaNTargets', given.ignoreNaNTargets);
    this.ignoreValue = this.#number('ignoreValue', given.ignoreValue);
    if (Number.isNaN(this.ignoreValue))
      throw new RangeError(
        `${fn}: ignoreValue must not be NaN, which equals nothing; ignoreNaNTargets: true leaves out the targets that are NaN`,
      );
    this.rowLength = this.#number('rowLength', given.rowLength) ?? 0;
    this.hasLongCurves = this.hasColumns && areLong(this.rowLength);
    this.divisor =
      typeof given.divisor === 'number'
        ? given.divisor
        : this.#oneOf('divisor', DIVISORS, given.divisor, 'elements');
    const minDivisor = this.#number('minDivisor', given.minDivisor);
    this.minDivisor = minDivisor ?? -Infinity;
    this.zeroOnZero = this.#oneOf('onZeroDivisor', ON_ZERO, given.onZeroDivisor, 'nan') === 'zero';
    this.forbidsCopy = this.#oneOf('copy', COPY, given.copy, 'allow') === 'throw';
    for (const name of RESULT_OPTIONS)
      if (given[name] !== undefined) checkArray(fn, name, given[name], 'Float32Array');
    this.accumulates = this.#flag('accumulate', given.accumulate);
    if (given.gradOutput !== undefined && typeof given.gradOutput !== 'number')
      checkArray(fn, 'gradOutput', given.gradOutput, 'Float32Array', NUMBER_OR_ARRAY);
    this.addsToOut =
      this.accumulates &&
      given.gradTarget === undefined &&
      given.gradInsideWeights === undefined &&
      given.gradOutsideWeights === undefined;
    this.#checkTogether(given, minDivisor);

    this.hasArrays =
      inside === undefined ||
      outside === undefined ||
      this.hasMask ||
      given.outLosses !== undefined ||
      given.outRobustWeights !== undefined ||
      given.gradTarget !== undefined ||
      given.gradInsideWeights !== undefined ||
      given.gradOutsideWeights !== undefined ||
      this.hasColumns;
    const { isMean } = this;
    const makesLoss = role === 'forward' || role === 'withGrad' || role === 'distance' || isAdd;
    this.dividesRows = this.reduction === 'rowMeans';
    this.hasRows = makesLoss && (this.reduction === 'rows' || this.dividesRows);
    this.isLossArray = makesLoss && this.reduction !== 'mean' && this.reduction !== 'sum';
    this.want = ROLE_WANTS[role] ?? 0;
    if (role === 'thresholdGrad') this.want = loss.thresholdGrad | (isExact ? want.EXACT : 0);
    if (makesLoss)
      this.want |= !this.isLossArray ? this.adds : this.hasRows ? want.ROWS : want.STORE;
    if (given.outLosses !== undefined) this.want |= want.STORE;
    if (given.outRobustWeights !== undefined) this.want |= want.ROBUST;
    this.isThresholdGrad = (this.want & (want.BETA | want.DELTA)) !== 0;
    this.makesArray = this.want !== 0 && role !== 'thresholdGrad' && !makesLoss;
    const counts = this.reduction === 'mean';
    this.counted = counts ? countOf(this.divisor, isExact) : count.NOTHING;
    this.isGradient = (this.want & ~(this.adds | want.STORE | want.ROWS | want.ROBUST)) !== 0;
    this.makesUpstream = this.dividesRows && this.isGradient;
    if (this.makesUpstream) this.want |= want.UPSTREAM;
    this.countsRows = counts && this.divisor === 'unmaskedRows';
    this.countsFirst =
      this.countsRows || (isMean && this.counted !== count.NOTHING && this.isGradient);
    this.shifts =
      isMean &&
      this.divisor === 'weights' &&
      (this.want & want.GRAD) !== 0 &&
      given.gradOutsideWeights !== undefined;
    this.#write(inside, outside);
  }

  /** How an array lies: `NUMBER` where its length decides. */
  layoutOf(at: number): number {
    if (at === slot.INSIDE) return this.given.insideLayout;
    if (at === slot.OUTSIDE) return this.given.outsideLayout;
    if (at === slot.MASK) return this.given.maskLayout;
    const isByColumn = this.reduction === 'columns';
    if (at === slot.UPSTREAM) return isByColumn ? layout.COLUMN : layout.NUMBER;
    if (at === slot.ROW_UPSTREAM || (at === slot.OUT && this.hasRows)) return layout.ROW;
    if (at >= slot.THRESHOLD || (at === slot.OUT && isByColumn)) return layout.COLUMN;
    return layout.FULL;
  }

  /** What the options say that the elements of `input` or `target` are. */
  typeOf(at: number): ElementType | undefined {
    return at === slot.INPUT ? this.inputType : this.targetType;
  }

  /** Whether the options have an array for this gradient to weights. */
  hasGradient(at: number): boolean {
    const { gradInsideWeights, gradOutsideWeights } = this.given;
    return (at === slot.GRAD_INSIDE ? gradInsideWeights : gradOutsideWeights) !== undefined;
  }

  /** What an array is called in errors. */
  nameOf(at: number): string {
    const { given, role, isDistance } = this;
    const side = (name: string, is: number): string =>
      is === layout.ROW ? `${name}.perRow` : is === layout.COLUMN ? `${name}.perColumn` : name;
    switch (at) {
      case slot.INPUT:
        return isDistance ? 'p' : 'input';
      case slot.TARGET:
        return isDistance ? 'q' : 'target';
      case slot.INSIDE:
        return side('insideWeights', given.insideLayout);
      case slot.OUTSIDE:
        return side(this.outsideName, given.outsideLayout);
      case slot.UPSTREAM:
      case slot.ROW_UPSTREAM:
        return 'gradOutput';
      case slot.DIRECTION:
        return 'gradGradInput';
      case slot.MASK:
        return side('mask', given.maskLayout);
      case slot.GRAD_INPUT:
        if (role === 'distanceWithGrad') return 'gradP';
        return this.makesArray ? 'out' : 'gradInput';
      case slot.GRAD_TARGET:
        return 'gradTarget';
      case slot.GRAD_INSIDE:
        return 'gradInsideWeights';
      case slot.GRAD_OUTSIDE:
        return 'gradOutsideWeights';
      case slot.ROBUST_WEIGHTS:
        return 'outRobustWeights';
      case slot.THRESHOLD:
        return this.thresholdName;
      case slot.TAU:
        return 'tau';
      default:
        return given.outLosses === undefined ? 'out' : 'outLosses';
    }
  }

  /** Throws for a value that is no array of the type of this slot. */
  checkType(at: number, value: unknown): void {
    const is = this.layoutOf(at);
    const wanted =
      at === slot.MASK
        ? maskText(is)
        : (at === slot.INSIDE || at === slot.OUTSIDE) && is === layout.NUMBER
          ? WEIGHTS
          : at === slot.UPSTREAM || at >= slot.THRESHOLD
            ? NUMBER_OR_ARRAY
            : at <= slot.TARGET
              ? INPUT
              : undefined;
    const type = at === slot.MASK ? 'Uint8Array' : 'Float32Array';
    checkArray(this.fn, this.nameOf(at), value, type, wanted);
  }

  /** What the sum is divided by, for `n` elements and what was counted: 1 unless it is a mean. */
  divisorFor(n: number, counted: number): number {
    if (!this.isMean) return 1;
    const { divisor } = this;
    const value =
      this.counted !== count.NOTHING || this.countsRows
        ? counted
        : typeof divisor === 'number'
          ? divisor
          : divisor === 'rows'
            ? n / this.rowLength
            : n;
    return Math.max(value, this.minDivisor);
  }

  /** What an option's value makes of a threshold or quantile, or that of a column. Throws for a wrong one. */
  parameterOf(name: ThresholdName | 'tau', value: number, column = -1): number {
    const { fn } = this;
    if (name === 'tau' && !(value >= 0 && value <= 1))
      throw new RangeError(
        `${fn}: ${labelOf(name, column)} must be a number from 0 to 1, got ${value}`,
      );
    if (!(value >= 0))
      throw new RangeError(`${fn}: ${labelOf(name, column)} must be a number from 0, got ${value}`);
    if (column < 0) checkFloat(fn, name, value);
    if (name !== 'sigma') return value;
    const beta = 1 / (value * value);
    if (value > 0 && beta > LARGEST)
      throw new RangeError(
        `${fn}: ${labelOf(name, column)} must give a beta, 1 / sigma^2, within the range of float32 (3.4028e38), got ${value}`,
      );
    return beta;
  }

  /** Options that come from a prototype are not listed by `for in`; all must be known all the same. */
  #checkNames(given: Given): void {
    const names = optionNames(this.loss, this.role);
    for (const [name, value] of Object.entries(given))
      if (value !== undefined && !names.includes(name) && !name.endsWith('Layout'))
        throw unknownOption(this.fn, name, names);
  }

  /** A threshold or quantile; undefined if there is one for each column. */
  #parameter(given: Given, name: ThresholdName | 'tau', fallback: number): number | undefined {
    const value = given[name] === undefined ? fallback : given[name];
    if (typeof value === 'number') return this.parameterOf(name, value);
    if (!optionNames(this.loss, this.role).includes('rowLength')) checkNumber(this.fn, name, value);
    checkArray(this.fn, name, value, 'Float32Array', NUMBER_OR_ARRAY);
    if (given.rowLength === undefined)
      throw new TypeError(`${this.fn}: ${name} for each column needs rowLength, which is missing`);
    if (this.role === 'thresholdGrad')
      throw new TypeError(`${this.fn}: ${name} must be one number, not one for each column`);
    return undefined;
  }

  /** Weights that are a number, 1 by default; undefined for an array. */
  #weights(name: string, value: unknown, given: Given, is: number): number | undefined {
    if (value === undefined) return 1;
    if (is === layout.NUMBER) {
      if (typeof value === 'number') {
        checkFloat(this.fn, name, value);
        return value;
      }
      checkArray(this.fn, name, value, 'Float32Array', WEIGHTS);
      return undefined;
    }
    const full = `${name}.${is === layout.ROW ? 'perRow' : 'perColumn'}`;
    checkArray(this.fn, full, value, 'Float32Array');
    if (given.rowLength === undefined)
      throw new TypeError(`${this.fn}: ${full} needs rowLength, which is missing`);
    return undefined;
  }

  #oneOf<T extends string>(name: string, values: readonly T[], value: unknown, fallback: T): T {
    if (value === undefined) return fallback;
    if ((values as readonly unknown[]).includes(value)) return value as T;
    const error = typeof value === 'string' ? RangeError : TypeError;
    const choices = name === 'divisor' ? 'a number or one of' : 'one of';
    throw new error(
      `${this.fn}: ${name} must be ${choices} ${values.map(describe).join(', ')}, got ${describe(value)}`,
    );
  }

  #elementType(name: string, value: unknown): ElementType | undefined {
    return value === undefined ? undefined : this.#oneOf(name, ELEMENT_TYPES, value, 'float32');
  }

  #flag(name: string, value: unknown): boolean {
    if (value === undefined || typeof value === 'boolean') return value ?? false;
    throw new TypeError(`${this.fn}: ${name} must be true or false, got ${describe(value)}`);
  }

  #number(name: string, value: unknown): number | undefined {
    if (value === undefined) return undefined;
    checkNumber(this.fn, name, value);
    if (name === 'scale' || name === 'ignoreValue') checkFloat(this.fn, name, value);
    return value;
  }

  /** Checks what depends on more than one option. */
  #checkTogether(given: Given, minDivisor: number | undefined): void {
    const { fn, reduction, rowLength, divisor } = this;
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
    for (const name of ['divisor', 'minDivisor', 'onZeroDivisor'] as const)
      if (given[name] !== undefined && !MEANS.includes(reduction))
        throw new TypeError(
          `${fn}: ${name} has a use only with reduction "mean" or "rowMeans", got "${reduction}"`,
        );
    if (reduction === 'rowMeans') {
      if (divisor === 'rows' || divisor === 'unmaskedRows')
        throw new TypeError(
          `${fn}: divisor "${divisor}" has a use only with reduction "mean"; "rowMeans" divides each row by a number of its own`,
        );
      if (divisor === 'weights' && given.gradOutsideWeights !== undefined)
        throw new TypeError(
          `${fn}: gradOutsideWeights does not go with reduction "rowMeans" and divisor "weights"`,
        );
    }
    if (this.adds === want.EXACT && given.outLosses !== undefined)
      throw new TypeError(
        `${fn}: sum "exact" does not go with outLosses; reduction "none" gives the losses`,
      );
    if (this.adds === want.EXACT && reduction !== 'sum' && reduction !== 'mean')
      throw new TypeError(
        `${fn}: sum "exact" has a use only with reduction "sum" or "mean", got "${reduction}"`,
      );
    if (
      (divisor === 'weights' || divisor === 'nonzeroWeights') &&
      given[this.outsideName] === undefined
    )
      throw new TypeError(`${fn}: divisor "${divisor}" needs outsideWeights, which are missing`);
    if (given.outLosses !== undefined && reduction !== 'mean' && reduction !== 'sum')
      throw new TypeError(
        `${fn}: outLosses has a use only with reduction "mean" or "sum", got "${reduction}"`,
      );
    if ((divisor === 'rows' || divisor === 'unmaskedRows') && rowLength === 0)
      throw new TypeError(`${fn}: divisor "${divisor}" needs rowLength, which is missing`);
    if (['rows', 'rowMeans', 'columns'].includes(reduction) && rowLength === 0)
      throw new TypeError(`${fn}: reduction "${reduction}" needs rowLength, which is missing`);
  }

  #write(inside: number | undefined, outside: number | undefined): void {
    const { words } = this;
    const floats = new Float32Array(words.buffer);
    words[field.want] = this.want;
    words[field.accumulate] = Number(this.accumulates);
    words[field.ignore] =
      (this.ignoresNaN ? ignore.NAN : 0) | (this.ignoreValue === undefined ? 0 : ignore.VALUE);
    floats[field.ignore_value] = Number.NaN;
    words[field.row_length] = this.rowLength;
    floats[field.scale] = this.scale;
    floats[field.grad_scale] = 1;
    this.writeCurve(this.threshold ?? 1, this.tau ?? 0.5, floats, field.pre, 1);
    for (let at = operand.INPUT; at <= operand.MASK; at++)
      floats[OPERANDS + OPERAND_WORDS * at + 2] = 1;
    floats[OPERANDS + OPERAND_WORDS * operand.INSIDE + 2] = inside ?? 1;
    floats[OPERANDS + OPERAND_WORDS * operand.OUTSIDE + 2] = outside ?? 1;
  }

  /** The curves of all columns, as long as these are not too many. */
  curvesOf(given: Parameters): Float32Array {
    this.#columns ??= new Columns(this);
    return this.#columns.update(given);
  }

  /** Writes the numbers of a curve in the job's order, `stride` apart: pre, inv, lim, half, below, above. */
  writeCurve(threshold: number, tau: number, into: Float32Array, at: number, stride: number): void {
    const { loss, want: wanted } = this;
    const { pre, inv, lim, half, kink, bend } = loss.curve(threshold);
    const isCurvature = (wanted & want.CURVATURE) !== 0;
    into[at] = pre;
    into[at + stride] = isCurvature ? bend : inv;
    into[at + 2 * stride] = lim;
    into[at + 3 * stride] = isCurvature ? kink : half;
    into[at + 4 * stride] = loss.isQuantile ? tau : 1;
    into[at + 5 * stride] = loss.isQuantile ? 1 - tau : 1;
  }
}

/** What a mask must be. */
function maskText(is: number): string {
  const values = 'a Uint8Array, a Uint8ClampedArray';
  return is === layout.NUMBER
    ? `${values}, a list of booleans, { perRow: ... } or { perColumn: ... }`
    : `${values} or a list of booleans`;
}

function countOf(divisor: Divisor, isExact: boolean): number {
  if (divisor === 'weights') return isExact ? count.EXACT_WEIGHTS : count.WEIGHTS;
  if (divisor === 'nonzeroWeights') return count.NONZERO;
  if (divisor === 'unmasked') return count.UNMASKED;
  return count.NOTHING;
}

/** What errors call an option's value, or that of a column. */
function labelOf(name: string, column: number): string {
  return column < 0 ? name : `${name}[${column}]`;
}

/** Throws for a finite number that would become infinite as f32. */
function checkFloat(fn: string, name: string, value: number): void {
  if (Number.isFinite(value) && !Number.isFinite(Math.fround(value)))
    throw new RangeError(
      `${fn}: ${name} must be within the range of float32 (3.4028e38), got ${value}`,
    );
}

/** The plans of one function: that of a call without options, and that of its last call with some. */
export class Plans {
  readonly #fn: string;
  readonly #loss: Loss;
  readonly #role: Role;
  readonly #base: Given;
  #plain: Plan | undefined;
  #last: Plan | undefined;

  constructor(fn: string, loss: Loss, role: Role, base: Given) {
    this.#fn = fn;
    this.#loss = loss;
    this.#role = role;
    this.#base = base;
  }

  /** The plan for these options. */
  for(given: Given): Plan {
    if (given === this.#base) {
      this.#plain ??= this.#make(given);
      return this.#plain;
    }
    if (!this.#last?.given.isLike(given)) this.#last = this.#make(given);
    return this.#last as Plan;
  }

  #make(given: Given): Plan {
    return new Plan(this.#fn, this.#loss, this.#role, given);
  }
}
