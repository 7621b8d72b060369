// Binds the arrays of a call to its plan: each is checked to be of its type and length, apart from the
// results, and located, before anything is written.
//
// User code can run while arrays are asked for their stamps (an array's prototype may be a proxy),
// and nowhere after that. The other facts of each array are read once, by the engine's own getters.
import { homeOf, ownBytes, reserve, sharesHome } from './attach.ts';
import {
  bufferOf,
  byteOffsetOf,
  checkAttached,
  describe,
  elements,
  isArrayOf,
  isOrdinary,
  type Values,
} from './check.ts';
import { CURVE_FLOATS, checkParameters, type Parameters, writePiece } from './curves.ts';
import { layout, PIECE } from './generated/job.ts';
import { isHalf, rounded } from './half.ts';
import type { Home } from './heap.ts';
import type { Job } from './job.ts';
import { attachedKernels, type Kernel } from './kernel.ts';
import { type ElementType, type Given, NONE } from './options.ts';
import { isResult, type Plan, SLOTS, slot } from './plan.ts';
import { SHORT, type Stage } from './stage.ts';
import { type ArrayType, releases, Stamp, WIDTHS } from './stamp.ts';

/** The most elements of an array: the kernel numbers them in 32 bits. */
const LONGEST = 2 ** 32 - 1;

/** An array of a call. */
export class Bound {
  readonly slot: number;
  readonly isResult: boolean;
  /** What its elements are; it changes for `input` and `target` alone. */
  type: ArrayType;
  bytesPerElement: number;
  /** Its layout if it has one value for each element. */
  full: number = layout.FULL;
  /** Whether it is an array that the kernel did not make, and has to be asked for everything. */
  isOther = false;
  /** The array until the call ends, if the kernel did not make it. */
  array: Values | undefined = undefined;
  /** Its length, as it was checked; -1 if it is not there yet. */
  length = 0;
  layout: number = layout.FULL;
  /** The buffer that it is on, if that is not the kernel's memory. */
  buffer: ArrayBufferLike | undefined = undefined;
  /** Its byte offset there. */
  start = 0;
  /** Where the kernel finds it: at `start`, or where it is copied to. */
  place = 0;
  /** Whether it is copied piece by piece, though it goes by column: rows are longer than a piece. */
  isLongRow = false;
  /** Whether the call makes it of other arrays: curves, and upstream gradients of row means. */
  isDerived = false;
  /** Whether it is a result of sums; see fold.ts. */
  isFolded = false;
  /** These, and the elements that they are of, where those are not in the kernel's memory. */
  sums: Float64Array | undefined = undefined;
  piece: Float32Array | undefined = undefined;

  constructor(at: number) {
    this.slot = at;
    this.isResult = isResult(at);
    this.type = at === slot.MASK ? 'uint8' : 'float32';
    this.bytesPerElement = WIDTHS[this.type];
  }

  setType(type: ElementType): void {
    if (this.type === type) return;
    this.type = type;
    this.bytesPerElement = WIDTHS[type];
    this.full =
      type === 'float16' ? layout.FLOAT16 : type === 'bfloat16' ? layout.BFLOAT16 : layout.FULL;
  }
}

/** The arrays of a job. They are kept: a call with the same arrays as the last one has nothing to check. */
export class Binding {
  /** By slot. */
  readonly bounds: readonly Bound[] = Array.from({ length: SLOTS }, (_, at) => new Bound(at));
  /** Those that have an array, in the order of their slots. */
  list: readonly Bound[] = [];
  /** The number of elements. */
  n = 0;
  /** Whether an array has to be copied through the staging buffer. */
  isStaged = false;
  /** Whether a result is written over an input. */
  isInPlace = false;
  /** Whether a result is made of sums. */
  hasFolds = false;
  /** Whether any of them was not made by the kernel. */
  hasOthers = false;
  /** Whether arrays that the kernel did not make may be kept for the next call: short ones, as they are, of which nothing was copied yet. */
  #mayKeep = true;
  /** The slots that have an array, as bits, and those of the list. */
  #taken = 0;
  #listed = 0;
  /** Calls so far: it tells whether user code has called in between. */
  #calls = 0;
  // The arguments of the call that was checked last, and how many arrays had been released then.
  #released = -1;
  #given: Given = NONE;
  #input: unknown;
  #target: unknown;
  #upstream: unknown;
  #direction: unknown;
  #gradInput: unknown;
  #out: unknown;

  /** True if these are the arguments that were checked last, and none of their arrays can have changed. */
  isSame(
    given: Given,
    input: unknown,
    target: unknown,
    upstream: unknown,
    direction: unknown,
    gradInput: unknown,
    out: unknown,
  ): boolean {
    return (
      this.#released === releases &&
      this.#input === input &&
      this.#target === target &&
      this.#gradInput === gradInput &&
      this.#out === out &&
      (this.#given === given || given.hasArraysOf(this.#given)) &&
      this.#upstream === (typeof upstream === 'number' ? undefined : upstream) &&
      this.#direction === direction &&
      (!this.hasOthers || this.#areOthersSame())
    );
  }

  /** True if none of the arrays that the kernel did not make was detached or resized. */
  #areOthersSame(): boolean {
    for (const bound of this.list)
      if (bound.isOther && elements(bound.array as Values) !== bound.length) return false;
    return true;
  }

  /** Makes the next call bind again: it must copy what this call has copied. */
  mustRepeat(): void {
    this.#mayKeep = false;
  }

  /** Keeps a plain view in place of an array that has to be cut, or may grow. */
  view(bound: Bound): void {
    const { buffer, start, length, bytesPerElement } = bound;
    const type =
      bytesPerElement === 4 ? Float32Array : bytesPerElement === 2 ? Uint16Array : Uint8Array;
    bound.array = new type(buffer as ArrayBuffer, start, length);
    this.#mayKeep = false;
  }

  /** Remembers arguments that were checked. */
  settle(
    given: Given,
    input: unknown,
    target: unknown,
    upstream: unknown,
    direction: unknown,
    gradInput: unknown,
    out: unknown,
  ): void {
    if (this.hasOthers && (!this.#mayKeep || this.n > PIECE)) return;
    this.#released = releases;
    this.#given = given;
    this.#input = input;
    this.#target = target;
    // A number has no place in memory: one is as good as another.
    this.#upstream = typeof upstream === 'number' ? undefined : upstream;
    this.#direction = direction;
    this.#gradInput = gradInput;
    this.#out = out;
  }

  /** Forgets what was checked. */
  forget(): void {
    this.#released = -1;
    this.#calls++;
  }

  /** Begins to take the arrays of a call; returns its number. */
  begin(): number {
    this.forget();
    // What the last call left.
    if (this.hasOthers) this.end();
    this.#taken = 0;
    this.hasOthers = false;
    this.#mayKeep = true;
    this.isStaged = false;
    this.isInPlace = false;
    this.hasFolds = false;
    return this.#calls;
  }

  /** Takes `input` or `target`, of the type that an option says, or else the array itself. */
  takeInput(at: number, array: unknown, home: Home, given: ElementType | undefined): void {
    const stamp = Stamp.of(array);
    const type = given ?? stamp?.type;
    (this.bounds[at] as Bound).setType(type === undefined || type === 'uint8' ? 'float32' : type);
    this.#takeWith(at, array, home, stamp);
  }

  /** Takes an array. */
  take(at: number, array: unknown, home: Home): void {
    this.#takeWith(at, array, home, Stamp.of(array));
  }

  /** The same, with its stamp. An array that the kernel made says at once how long it is, and where. */
  #takeWith(at: number, array: unknown, home: Home, stamp: Stamp | undefined): void {
    const bound = this.bounds[at] as Bound;
    this.#taken |= 1 << at;
    bound.isDerived = false;
    bound.isFolded = false;
    if (stamp !== undefined && stamp.length >= 0 && stamp.isOf(home) && stamp.type === bound.type) {
      bound.length = stamp.length;
      bound.start = stamp.offset;
      bound.place = stamp.offset;
      bound.isOther = false;
      return;
    }
    bound.isOther = true;
    bound.array = array as Values;
    bound.length = -1;
    this.hasOthers = true;
  }

  /** Takes an array that the call makes itself, once it is checked. */
  make(at: number): void {
    this.#taken |= 1 << at;
    const bound = this.bounds[at] as Bound;
    bound.isOther = false;
    bound.length = -1;
    this.hasOthers = true;
    this.#mayKeep = false;
  }

  /** Takes an operand that each call makes of other arrays. */
  derive(at: number, is: number): void {
    const bound = this.bounds[at] as Bound;
    this.#taken |= 1 << at;
    bound.isDerived = true;
    bound.isLongRow = false;
    bound.isOther = false;
    bound.array = undefined;
    bound.buffer = undefined;
    bound.length = 0;
    bound.layout = is;
  }

  /** Lists what was taken, for the checks; throws if another call has begun since `call`. */
  collect(fn: string, call: number): void {
    if (this.#calls !== call) {
      // That call may have been remembered, and its arrays have been replaced since.
      this.forget();
      throw new Error(`${fn}: an array's prototype called this package during the call`);
    }
    if (this.#listed === this.#taken) return;
    this.list = this.bounds.filter((_, at) => this.#taken & (1 << at));
    this.#listed = this.#taken;
  }

  /** Lets go of the arrays that the kernel did not make, unless the call is remembered. */
  end(): void {
    if (this.#released >= 0) return;
    // A call that was refused early has taken arrays that are in no list.
    const taken = this.#listed === this.#taken ? this.list : this.bounds;
    for (const bound of taken) {
      bound.array = undefined;
      bound.buffer = undefined;
    }
  }
}

/**
 * Binds the arrays of a call to its job. An `upstream` that is an array, a `direction`, and the places
 * for results are arguments of some functions; a result that has no place is made.
 *
 * @returns the kernel; or another, to which nothing is bound yet, if all arrays lie in its memory.
 */
export function bind(
  kernel: Kernel,
  plan: Plan,
  job: Job,
  given: Given,
  input: unknown,
  target: unknown,
  upstream: unknown,
  direction: unknown,
  gradInput: unknown,
  out: unknown,
): Kernel {
  for (const attached of attachedKernels)
    if (
      attached !== kernel &&
      attached.jobOf(plan).binding.isSame(given, input, target, upstream, direction, gradInput, out)
    )
      return attached;
  const { home } = kernel;
  const { binding } = job;
  const released = releases;
  const call = binding.begin();
  job.forget();
  binding.takeInput(slot.INPUT, input, home, plan.inputType);
  binding.takeInput(slot.TARGET, target, home, plan.targetType);
  if (plan.hasArrays) takeOptions(binding, plan, given, home);
  if (typeof upstream !== 'number')
    binding.take(plan.makesUpstream ? slot.ROW_UPSTREAM : slot.UPSTREAM, upstream, home);
  if (plan.makesUpstream) binding.derive(slot.UPSTREAM, layout.ROW);
  if (direction !== undefined) binding.take(slot.DIRECTION, direction, home);
  if (out !== undefined) {
    if (!plan.isLossArray) throw uselessOut(plan, out);
    binding.take(slot.OUT, out, home);
  } else if (plan.isLossArray) binding.make(slot.OUT);
  if (gradInput !== undefined) binding.take(slot.GRAD_INPUT, gradInput, home);
  else if (plan.makesArray) {
    if (plan.addsToOut) throw nothingToAddTo(plan);
    binding.make(slot.GRAD_INPUT);
  }
  if (plan.hasColumns) binding.derive(slot.CURVES, layout.COLUMN);
  binding.collect(plan.fn, call);
  const other = homeOf(kernel, binding);
  if (other !== undefined) {
    const bytes = ownBytes(plan, binding.bounds);
    binding.end();
    if (bytes > 0) reserve(other, plan, bytes);
    return other;
  }
  check(kernel, plan, binding, released);
  if (plan.ignoreValue !== undefined)
    job.ignore(ignoredBy(plan, binding.bounds[slot.TARGET] as Bound));
  if (binding.isStaged) placeStaged(kernel, plan, binding);
  binding.settle(given, input, target, upstream, direction, gradInput, out);
  return kernel;
}

/** Checks the arrays that were taken. */
function check(kernel: Kernel, plan: Plan, binding: Binding, released: number): void {
  const { bounds, list } = binding;
  if (binding.hasOthers) {
    for (const bound of list) if (bound.isOther) measure(kernel, plan, binding, bound);
    // While stamps were looked for, user code may have released an array that was taken before.
    if (releases !== released)
      throw new Error(
        `${plan.fn}: an array's prototype released an array, detached a memory or called unload() during the call`,
      );
  }
  const n = (bounds[slot.INPUT] as Bound).length;
  if ((bounds[slot.TARGET] as Bound).length !== n) throw lengthsDiffer(plan, bounds);
  const rows = plan.rowLength === 0 ? 0 : rowsOf(plan, n);
  for (const bound of list)
    if (bound.isDerived) continue;
    else if (bound.length < 0) makeArray(kernel, plan, binding, bound, n, rows);
    else lay(plan, binding, bound, n, rows);
  for (const bound of list) if (bound.isResult) checkOverlaps(plan, binding, bound);
  binding.n = n;
}

/** What a target equals that the option `ignoreValue` says is missing. */
function ignoredBy({ fn, ignoreValue }: Plan, { type }: Bound): number {
  const value = ignoreValue as number;
  const nearest = rounded(type as ElementType, value);
  if (Number.isFinite(value) && !Number.isFinite(nearest))
    throw new RangeError(
      `${fn}: ignoreValue must be within the range of target, which is ${type}, got ${value}`,
    );
  return nearest;
}

/** Takes the arrays of the options. */
function takeOptions(binding: Binding, plan: Plan, given: Given, home: Home): void {
  const { insideWeights, mask, outLosses, outRobustWeights } = given;
  const { gradTarget, gradInsideWeights, gradOutsideWeights } = given;
  const outside = given.weight === undefined ? given.outsideWeights : given.weight;
  if (typeof insideWeights === 'object') binding.take(slot.INSIDE, insideWeights, home);
  if (typeof outside === 'object') binding.take(slot.OUTSIDE, outside, home);
  if (mask !== undefined) binding.take(slot.MASK, mask, home);
  if (outLosses !== undefined) binding.take(slot.OUT, outLosses, home);
  if (outRobustWeights !== undefined) binding.take(slot.ROBUST_WEIGHTS, outRobustWeights, home);
  if (gradTarget !== undefined) binding.take(slot.GRAD_TARGET, gradTarget, home);
  if (gradInsideWeights !== undefined) binding.take(slot.GRAD_INSIDE, gradInsideWeights, home);
  if (gradOutsideWeights !== undefined) binding.take(slot.GRAD_OUTSIDE, gradOutsideWeights, home);
  if (plan.threshold === undefined) binding.take(slot.THRESHOLD, given[plan.thresholdName], home);
  if (plan.tau === undefined) binding.take(slot.TAU, given.tau, home);
}

/** Finds out how long an array is that the kernel did not make, and where. */
function measure(kernel: Kernel, plan: Plan, binding: Binding, bound: Bound): void {
  const { fn } = plan;
  const at = bound.slot;
  const array = bound.array as Values;
  if (at <= slot.TARGET) bound.setType(typeOfInput(plan, at, array));
  else if (!isArrayOf(at === slot.MASK ? 'Uint8Array' : 'Float32Array', array))
    plan.checkType(at, array);
  if (Stamp.of(array)?.isReleased)
    throw new TypeError(
      `${fn}: ${plan.nameOf(at)} was released by free() or unload(); make a new array`,
    );
  const length = elements(array);
  if (length === 0) checkAttached(fn, plan.nameOf(at), array);
  if (length > LONGEST)
    throw new RangeError(
      `${fn}: ${plan.nameOf(at)} has length ${length}; an array may have ${LONGEST} elements at most`,
    );
  const start = byteOffsetOf(array);
  const buffer = bufferOf(array);
  bound.length = length;
  bound.start = start;
  bound.place = start;
  const isHome = kernel.home.has(buffer);
  if (!isHome && plan.forbidsCopy) throw copyForbidden(plan, binding, bound);
  const { isPlain } = kernel;
  if (!isPlain && isHome) return;
  bound.buffer = buffer;
  // To JavaScript, 16 bits are an integer.
  const isFloat16 = bound.bytesPerElement === 2 && !isArrayOf('Uint16Array', array);
  if (isFloat16) binding.view(bound);
  if (isPlain) return;
  // Curves are made of thresholds, which are not copied themselves.
  if (at < slot.THRESHOLD) binding.isStaged = true;
  // What is cut into pieces, or may grow meanwhile, needs a plain view of the checked length. An array
  // that is copied at once goes without: a view would be a good part of a short call.
  if (!isFloat16 && (length > PIECE || (length > SHORT && !isOrdinary(buffer))))
    binding.view(bound);
}

/** What the elements of `input` or `target` are: an option says so, or the array. */
function typeOfInput(plan: Plan, at: number, array: Values): ElementType {
  const { fn } = plan;
  const name = plan.nameOf(at);
  const given = plan.typeOf(at);
  const made = Stamp.of(array)?.type;
  const own =
    made !== undefined && made !== 'uint8'
      ? made
      : isArrayOf('Float32Array', array)
        ? 'float32'
        : isArrayOf('Float16Array', array)
          ? 'float16'
          : undefined;
  if (own !== undefined) {
    if (given !== undefined && given !== own)
      throw new TypeError(
        `${fn}: ${name}Type is "${given}", but ${name} is ${made ? `an array of ${own}()` : describe(array)}`,
      );
    return own;
  }
  if (!isArrayOf('Uint16Array', array)) plan.checkType(at, array);
  if (given !== undefined && isHalf(given)) return given;
  throw new TypeError(
    `${fn}: ${name} is a Uint16Array; ` +
      (plan.isDistance
        ? 'float16() and bfloat16() make arrays of 16-bit floats that are known'
        : `${name}Type must say what it holds, "float16" or "bfloat16"`),
  );
}

function lengthsDiffer(plan: Plan, bounds: readonly Bound[]): RangeError {
  const [a, b] = [slot.INPUT, slot.TARGET].map(
    (at) => `${plan.nameOf(at)} has length ${bounds[at]?.length}`,
  );
  return new RangeError(`${plan.fn}: ${a} and ${b}; they must be equal`);
}

function rowsOf({ fn, rowLength }: Plan, n: number): number {
  const rows = n / rowLength;
  if (!Number.isInteger(rows))
    throw new RangeError(`${fn}: rowLength ${rowLength} does not divide ${n}, the length of input`);
  return rows;
}

function uselessOut(plan: Plan, out: unknown): TypeError {
  const { fn, reduction } = plan;
  plan.checkType(slot.OUT, out);
  return new TypeError(
    `${fn}: out has a use only with reduction "none", "rows", "rowMeans" or "columns", got "${reduction}"`,
  );
}

function nothingToAddTo({ fn }: Plan): TypeError {
  return new TypeError(
    `${fn}: accumulate has a use only with an array that gradients are added to; give out`,
  );
}

function copyForbidden(plan: Plan, binding: Binding, bound: Bound): TypeError {
  const { slot: at, type } = bound;
  const name = plan.nameOf(at).split('.')[0];
  const stranger = binding.list.find((other) => !sharesHome(bound, other));
  if (stranger !== undefined)
    return new TypeError(
      `${plan.fn}: ${name} is in an attached memory, ${plan.nameOf(stranger.slot).split('.')[0]} is not, and copy: "throw" forbids copying; all arrays of a call must be in one memory`,
    );
  return new TypeError(
    `${plan.fn}: ${name} is not in the kernel's memory, and copy: "throw" forbids copying it; ${type}() makes arrays there`,
  );
}

/** Finds out what the elements of an array belong to, by its length where the options do not say. */
function lay(plan: Plan, binding: Binding, bound: Bound, n: number, rows: number): void {
  const { length } = bound;
  bound.isLongRow = false;
  let is = plan.layoutOf(bound.slot);
  const weights = weightsOf(binding, bound.slot);
  if (weights !== undefined && length !== n) is = weights.layout;
  if (bound.isResult && (is === layout.COLUMN || (is === layout.ROW && weights !== undefined))) {
    bound.isFolded = true;
    binding.hasFolds = true;
  }
  const wanted =
    is === layout.FULL || is === layout.NUMBER ? n : is === layout.ROW ? rows : plan.rowLength;
  if (length === wanted)
    bound.layout = is === layout.NUMBER || is === layout.FULL ? bound.full : is;
  else if (is === layout.NUMBER) bound.layout = layoutByLength(plan, bound.slot, length, n, rows);
  else {
    const input = plan.nameOf(slot.INPUT);
    const each = is === layout.FULL ? `element of ${input}` : is === layout.ROW ? 'row' : 'column';
    const full =
      weights === undefined || is === layout.FULL ? '' : `, or ${n}, one for each element`;
    throw new RangeError(
      `${plan.fn}: ${plan.nameOf(bound.slot)} has length ${length}; it must be ${wanted}, one for each ${each}${full}`,
    );
  }
}

/** The weights that a gradient is of, if there are several. */
function weightsOf({ list, bounds }: Binding, at: number): Bound | undefined {
  const of = at === slot.GRAD_INSIDE ? slot.INSIDE : at === slot.GRAD_OUTSIDE ? slot.OUTSIDE : -1;
  return of >= 0 && list.includes(bounds[of] as Bound) ? bounds[of] : undefined;
}

function layoutByLength(plan: Plan, at: number, length: number, n: number, rows: number): number {
  const columns = at === slot.INSIDE || at === slot.OUTSIDE ? plan.rowLength : 0;
  const isPerRow = rows > 0 && length === rows;
  const isPerColumn = columns > 0 && length === columns;
  const start = `${plan.fn}: ${plan.nameOf(at)} has length ${length}`;
  if (isPerRow && isPerColumn)
    throw new RangeError(
      `${start}, which fits the rows as well as the columns; say which: { perRow: ... } or { perColumn: ... }`,
    );
  if (isPerRow) return layout.ROW;
  if (isPerColumn) return layout.COLUMN;
  const choices = [`${n} (one for each element)`];
  if (rows > 0) choices.push(`${rows} (one for each row)`);
  if (columns > 0) choices.push(`${columns} (one for each column)`);
  const hint = rows > 0 ? '' : ', unless rowLength says that there are rows';
  throw new RangeError(`${start}; it must be ${choices.join(' or ')}${hint}`);
}

/** A result may be exactly where a full-size operand of floats is; any other overlap is an error. */
function checkOverlaps(plan: Plan, binding: Binding, own: Bound): void {
  const { buffer, start } = own;
  const end = start + 4 * own.length;
  for (const other of binding.list) {
    if (other === own || other.buffer !== buffer) continue;
    if (end <= other.start || other.start + other.bytesPerElement * other.length <= start) continue;
    if (other.isDerived) continue;
    if (!isReplaceable(other) || other.start !== start || other.length !== own.length)
      throw overlap(plan, own.slot, other);
    binding.isInPlace = true;
  }
}

/** Whether a result may lie exactly in the place of this operand: it is read before the result is written. */
const isReplaceable = (other: Bound): boolean =>
  other.slot < slot.MASK && other.layout === layout.FULL;

function overlap(plan: Plan, at: number, other: Bound): RangeError {
  const name = (at: number): string => plan.nameOf(at).split('.')[0] as string;
  const rule = other.isResult
    ? 'results must be apart'
    : other.bytesPerElement === 2
      ? 'it must be apart from it, since its elements take 32 bits'
      : `it must be apart from it${isReplaceable(other) ? ', or exactly in its place' : ''}`;
  return new RangeError(`${plan.fn}: ${name(at)} overlaps ${name(other.slot)}; ${rule}`);
}

/**
 * Finds a place for the arrays that are copied, and copies those that each piece needs in full. Of a row that
 * is longer than a piece, each piece is given its own part, as if there were a number for each element.
 */
function placeStaged(kernel: Kernel, plan: Plan, binding: Binding): void {
  const stage = kernel.stage as Stage;
  stage.open(plan.fn);
  for (const bound of binding.list) {
    if (bound.buffer === undefined || bound.slot >= slot.THRESHOLD || bound.isFolded) continue;
    bound.place = stage.placeOf(bound.slot);
    const isByColumn = bound.layout === layout.COLUMN;
    bound.isLongRow = isByColumn && bound.length > PIECE;
    if (bound.isLongRow) bound.layout = layout.FULL;
    else if (isByColumn) {
      if (bound.slot === slot.MASK) stage.copyBytesIn(bound, 0, bound.length);
      else stage.copyFloatsIn(bound, 0, bound.length);
      // Other calls use that place too, and the values may change.
      binding.mustRepeat();
    }
  }
}

/** Makes the curves of all columns, and finds a place for them; of long rows, a place for those of a piece. */
export function placeCurves(kernel: Kernel, plan: Plan, job: Job): void {
  const { binding } = job;
  const own = binding.bounds[slot.CURVES] as Bound;
  const given = parametersOf(kernel, binding);
  if (plan.hasLongCurves) {
    // Pieces are written before the last threshold is looked at.
    checkParameters(plan, given);
    if (kernel.isPlain) {
      own.array = new Float32Array(CURVE_FLOATS);
      own.isLongRow = true;
    } else placeLongRows(kernel, plan, job);
    return;
  }
  const curves = plan.curvesOf(given);
  if (kernel.isPlain) {
    own.array = curves;
    return;
  }
  const { stage, views } = kernel;
  stage?.open(plan.fn);
  const place = placeFor(kernel, plan, slot.CURVES, curves.length, binding.n);
  if (place !== own.place) job.forget();
  own.place = place;
  write(views.f32, curves, place / 4);
  for (const at of [slot.THRESHOLD, slot.TAU]) countRead(kernel, binding, at, plan.rowLength);
}

/** Where thresholds and quantiles of columns are. */
function parametersOf({ views }: Kernel, { bounds }: Binding): Parameters {
  const [thresholds, taus] = [bounds[slot.THRESHOLD], bounds[slot.TAU]] as [Bound, Bound];
  return {
    thresholds: (thresholds.array as Float32Array) ?? views.f32,
    firstThreshold: thresholds.array ? 0 : thresholds.start / 4,
    taus: (taus.array as Float32Array) ?? views.f32,
    firstTau: taus.array ? 0 : taus.start / 4,
  };
}

/** Counts thresholds or quantiles of columns that are not in the kernel's memory as copied. */
function countRead({ stage }: Kernel, { bounds }: Binding, at: number, n: number): void {
  if (bounds[at]?.buffer) stage?.countRead(n);
}

/** A place for the curves of a piece, and for its part of each operand by column that is not copied anyway. */
function placeLongRows(kernel: Kernel, plan: Plan, job: Job): void {
  const { list, bounds } = job.binding;
  const columns = list.filter(isColumnInPlace);
  const start = kernel.take(4 * (CURVE_FLOATS + columns.length * PIECE), plan.fn);
  (bounds[slot.CURVES] as Bound).place = start;
  for (const [i, bound] of columns.entries()) {
    bound.place = start + 4 * (CURVE_FLOATS + i * PIECE);
    bound.isLongRow = true;
    bound.layout = layout.FULL;
  }
  job.forget();
}

/** Whether it is an operand by column in the kernel's memory. A call before may have made it one of long rows. */
function isColumnInPlace({ slot: at, isDerived, buffer, layout: is, isLongRow }: Bound): boolean {
  const isOperand = at < slot.OUT && !isDerived && buffer === undefined;
  return isOperand && (is === layout.COLUMN || isLongRow);
}

/**
 * Makes the curves of the `n` elements of a piece, from column `column` on, of which the kernel numbers the
 * first `place`. To plain JavaScript it is the first.
 */
export function fillCurves(
  kernel: Kernel,
  plan: Plan,
  { binding }: Job,
  column: number,
  n: number,
  place: number,
): void {
  const own = binding.bounds[slot.CURVES] as Bound;
  const given = parametersOf(kernel, binding);
  if (kernel.isPlain) writePiece(plan, given, column, n, own.array as Float32Array, 0, 0);
  else writePiece(plan, given, column, n, kernel.views.f32, own.place / 4, place);
  for (const at of [slot.THRESHOLD, slot.TAU]) countRead(kernel, binding, at, n);
}

/** Writes floats from `at` on. */
function write(f32: Float32Array, values: Float32Array, at: number): void {
  if (values.length > SHORT) f32.set(values, at);
  else for (let i = 0; i < values.length; i++) f32[at + i] = values[i] as number;
}

/**
 * A place for an operand that the call makes, which all pieces and threads read. Threads that are given up
 * may still read that of a long call, which therefore has memory of its own.
 */
function placeFor(kernel: Kernel, plan: Plan, at: number, floats: number, n: number): number {
  const { stage } = kernel;
  if (stage !== undefined && n <= PIECE && floats <= PIECE) return stage.placeOf(at);
  return kernel.take(4 * floats, plan.fn);
}

/** Makes the array of a result that was given no place. */
function makeArray(
  kernel: Kernel,
  plan: Plan,
  binding: Binding,
  bound: Bound,
  n: number,
  rows: number,
): void {
  if (plan.forbidsCopy)
    throw new TypeError(
      `${plan.fn}: out is missing, and copy: "throw" forbids a new array outside of the kernel's memory`,
    );
  bound.layout = plan.layoutOf(bound.slot);
  bound.isFolded = bound.layout === layout.COLUMN;
  if (bound.isFolded) binding.hasFolds = true;
  bound.length = bound.isFolded ? plan.rowLength : bound.layout === layout.ROW ? rows : n;
  bound.array = new Float32Array(bound.length);
  bound.buffer = bound.array.buffer;
  bound.start = 0;
  bound.place = 0;
  if (kernel.stage && !bound.isFolded) binding.isStaged = true;
}

/** Makes the upstream gradients of all rows, each divided as its row is, and finds a place for them. */
export function placeUpstream(
  kernel: Kernel,
  plan: Plan,
  job: Job,
  upstream: number | Float32Array,
  divisors: Float64Array,
): void {
  const { stage, views } = kernel;
  const { bounds, n } = job.binding;
  const [own, given] = [bounds[slot.UPSTREAM], bounds[slot.ROW_UPSTREAM]] as [Bound, Bound];
  const isNumber = typeof upstream === 'number';
  const grads = isNumber ? [] : (given.array ?? views.f32.subarray(given.start / 4));
  const values = new Float32Array(divisors.length);
  for (let row = 0; row < values.length; row++) {
    const divisor = divisors[row] as number;
    const grad = isNumber ? upstream : (grads[row] as number);
    values[row] = divisor !== 0 ? grad / divisor : plan.zeroOnZero ? 0 : Number.NaN;
  }
  if (kernel.isPlain) {
    own.array = values;
    return;
  }
  stage?.open(plan.fn);
  own.place = placeFor(kernel, plan, slot.UPSTREAM, values.length, n);
  job.forget();
  write(views.f32, values, own.place / 4);
  if (!isNumber && given.buffer) stage?.countRead(given.length);
}
