// Losses of many calls, threads, processes or machines, added up exactly: in any order and cut they make the
// same 64 bits. docs/accumulators.md says what each byte is.
import { addUp } from './call.ts';
import { checkArray, describe, elements, isArrayOf, type Values } from './check.ts';
import { Exact } from './exact.ts';
import { Caller, type CallOptions, type LossObject, partsOf } from './functions.ts';
import { count as counts, EXACT_WORDS } from './generated/job.ts';
import { HUBER, L1, LARGEST, type Loss, QUANTILE_HUBER, SMOOTH_L1 } from './loss.ts';
import {
  type ElementOptions,
  type Given,
  type GradOptions,
  given,
  type InputArray,
  NONE,
} from './options.ts';
import { Plan } from './plan.ts';
import type { Sums } from './walk.ts';

const NAME = 'LossAccumulator';
const VERSION = 1;
const BYTES = 128;
const [FIRST, SECOND] = [0x53, 0x4c];
/** The digits of the sum of the weights that are written: the highest one has the sign alone. */
const WEIGHT_DIGITS = EXACT_WORDS - 2;
/** Where the loss's sum is, and what belongs to the divisor. */
const [SUM_AT, DIVISOR_AT, ROW_AT] = [36, 84, 92];

const LOSS_NAMES = ['smooth L1', 'Huber', 'L1', 'quantile Huber'];
const LOSSES: readonly Loss[] = [SMOOTH_L1, HUBER, L1, QUANTILE_HUBER];
/** What the sum is divided by, by its number in the bytes. */
const DIVISORS = [
  '',
  'elements',
  'rows',
  'weights',
  'nonzeroWeights',
  'unmasked',
  'number',
  'unmaskedRows',
];

/** Options of one call of {@link LossAccumulator.add}: those that do not change what the loss is. */
export type AddOptions = Omit<
  CallOptions,
  'sum' | 'scale' | 'divisor' | 'minDivisor' | 'onZeroDivisor'
> &
  Pick<ElementOptions, 'outRobustWeights'>;

/** What decides which loss it is, beside the length of rows that are counted; no call may change it. */
const FIXED = [
  'beta',
  'sigma',
  'delta',
  'tau',
  'reduction',
  'sum',
  'scale',
  'divisor',
  'minDivisor',
  'onZeroDivisor',
] as const;

/**
 * Adds losses up over any number of calls, exactly: the result has the same 64 bits for any order and cut of
 * the data, on any number of threads and machines, with every backend. It is that of one call over everything
 * with the option `sum: "exact"`.
 *
 * @example
 * ```ts
 * import { float32, LossAccumulator, SmoothL1Loss } from 'smooth-l1';
 * const loss = new SmoothL1Loss({ beta: 0.5 });
 * const [a, b] = [new LossAccumulator(loss), new LossAccumulator(loss)];
 * a.add(float32([0.25, 3]), float32(2));
 * b.add(float32([-1]), float32(1)).merge(a.toBytes());
 * console.log(b.value(), b.count); // 1.1875 3
 * ```
 */
export class LossAccumulator {
  readonly #plan: Plan;
  /** How to add; without them there is no loss object. */
  readonly #add: Caller | undefined;
  readonly #addWithGrad: Caller | undefined;
  readonly #base: Given;
  readonly #loss = new Exact();
  readonly #weights = new Exact();
  /** Weights that are not 0, or elements or rows that are not masked, where these divide. */
  #counted = 0;
  #count = 0;

  /**
   * @param loss a loss object with the reduction `"sum"` or `"mean"`, and one threshold for all elements.
   * @throws {TypeError} for anything else.
   */
  constructor(loss: LossObject<'sum' | 'mean'>);
  constructor(loss: unknown) {
    // One from bytes.
    if (loss instanceof Plan) {
      this.#plan = loss;
      this.#base = NONE;
      return;
    }
    const parts = partsOf(loss);
    if (!parts)
      throw new TypeError(
        `${NAME}: loss must be a loss object, such as new SmoothL1Loss(), got ${describe(loss)}`,
      );
    const base = given({ sum: 'exact' }, parts.base);
    if (![undefined, 'sum', 'mean'].includes(base.reduction as string | undefined))
      throw new TypeError(
        `${NAME}: loss must have reduction "sum" or "mean", got "${base.reduction}"`,
      );
    const plan = new Plan(NAME, parts.loss, 'object', base);
    for (const name of ['threshold', 'tau'] as const)
      if (plan[name] === undefined)
        throw new TypeError(
          `${NAME}: loss must have one ${name === 'tau' ? name : plan.thresholdName} for all elements, got one for each column`,
        );
    this.#plan = plan;
    this.#base = base;
    this.#add = new Caller(`${NAME}.add`, parts.loss, 'add', base);
    this.#addWithGrad = new Caller(`${NAME}.addWithGrad`, parts.loss, 'addWithGrad', base);
  }

  /**
   * Adds the losses of these elements. If it throws, nothing was added.
   *
   * @param options those of the loss object's `forward` that differ in this call: weights, masks and the like.
   * @returns this accumulator.
   * @example
   * ```ts
   * import { float32, L1Loss, LossAccumulator, uint8 } from 'smooth-l1';
   * const sum = new LossAccumulator(new L1Loss({ divisor: 'unmasked' }));
   * sum.add(float32([1, 2]), float32(2)).add(float32([9, 6]), float32(2), { mask: uint8([0, 1]) });
   * console.log(sum.value()); // 3
   * ```
   */
  add(input: InputArray, target: InputArray, options?: AddOptions): this {
    const caller = this.#callerOf(this.#add, 'add');
    const given = this.#check('add', caller.read(options));
    const sums = addUp(caller.plan(given), given, input, target, undefined);
    return this.#take('add', sums, elements(input as Values));
  }

  /**
   * The same, with the gradient of the sum of these losses, times `scale`, in `gradInput`: what a mean will
   * be divided by is not known yet.
   *
   * @returns this accumulator.
   * @example
   * ```ts
   * import { float32, L1Loss, LossAccumulator } from 'smooth-l1';
   * const [sum, grad] = [new LossAccumulator(new L1Loss({ scale: 2 })), float32(2)];
   * console.log(sum.addWithGrad(float32([1, -3]), float32(2), grad).value(), grad.join()); // 4 2,-2
   * ```
   */
  addWithGrad(
    input: InputArray,
    target: InputArray,
    gradInput: Float32Array,
    options?: AddOptions & GradOptions,
  ): this {
    const caller = this.#callerOf(this.#addWithGrad, 'addWithGrad');
    const given = this.#check('addWithGrad', caller.read(options));
    const plan = caller.plan(given);
    if (gradInput === undefined) checkArray(plan.fn, 'gradInput', gradInput, 'Float32Array');
    const sums = addUp(plan, given, input, target, gradInput);
    return this.#take('addWithGrad', sums, elements(input as Values));
  }

  /**
   * Adds what another accumulator of the same loss has added up, or its bytes.
   *
   * @returns this accumulator.
   * @throws {TypeError} if it is of another loss, and for what is no accumulator; {RangeError} for wrong bytes.
   * @example
   * ```ts
   * import { float32, L1Loss, LossAccumulator } from 'smooth-l1';
   * const sum = new LossAccumulator(new L1Loss({ reduction: 'sum' })).add(float32([1]), float32(1));
   * console.log(sum.merge(sum).merge(sum.toBytes()).value()); // 4
   * ```
   */
  merge(other: LossAccumulator | Uint8Array): this {
    const fn = `${NAME}.merge`;
    const isOther = other instanceof LossAccumulator;
    if (!isOther && !isArrayOf('Uint8Array', other))
      throw new TypeError(
        `${fn}: other must be a LossAccumulator, or the bytes of one as a Uint8Array, got ${describe(other)}`,
      );
    const from = isOther ? other : LossAccumulator.#restore(fn, other);
    const [mine, theirs] = [this.#identity(), from.#identity()];
    for (const [name, value] of Object.entries(mine))
      if (!Object.is(theirs[name], value))
        throw new TypeError(
          `${fn}: the losses differ in ${name}: it is ${describe(value)} here, and ${describe(theirs[name])} there`,
        );
    // First, since it may be this one.
    const [counted, count] = [from.#counted, this.#countWith('merge', from.#count)];
    this.#loss.join(from.#loss);
    this.#weights.join(from.#weights);
    this.#loss.carry();
    this.#weights.carry();
    this.#counted += counted;
    this.#count = count;
    return this;
  }

  /** The loss of everything that was added, as a call with `sum: "exact"` would return it. */
  value(): number {
    const plan = this.#plan;
    const counted = plan.counted === counts.EXACT_WEIGHTS ? this.#weights.value() : this.#counted;
    const divisor = plan.divisorFor(this.#count, counted);
    if (divisor === 0) return plan.zeroOnZero ? 0 : Number.NaN;
    return (this.#loss.value() * plan.scale) / divisor;
  }

  /** The number of elements that were added, masked ones included. */
  get count(): number {
    return this.#count;
  }

  /**
   * All of it in 128 bytes, whose layout is documented and stays: for files, messages and databases.
   *
   * @example
   * ```ts
   * import { float32, L1Loss, LossAccumulator } from 'smooth-l1';
   * const sum = new LossAccumulator(new L1Loss()).add(float32([1, 3]), float32(2));
   * const bytes = sum.toBytes();
   * console.log(bytes.length, LossAccumulator.from(bytes).value()); // 128 2
   * ```
   */
  toBytes(): Uint8Array & { readonly buffer: ArrayBuffer } {
    const plan = this.#plan;
    const bytes = new Uint8Array(BYTES);
    const view = new DataView(bytes.buffer);
    const words = new Uint32Array(2 * EXACT_WORDS);
    this.#loss.write(words, 0);
    this.#weights.write(words, EXACT_WORDS);
    const divisor = divisorOf(plan);
    bytes.set([FIRST as number, SECOND as number, VERSION]);
    bytes[3] =
      LOSSES.indexOf(plan.loss) | (DIVISORS.indexOf(divisor) << 2) | (Number(plan.zeroOnZero) << 5);
    view.setUint32(4, this.#count % 2 ** 32, true);
    view.setUint32(8, Math.floor(this.#count / 2 ** 32), true);
    bytes[11] = (words[EXACT_WORDS - 1] as number) | ((words[2 * EXACT_WORDS - 1] as number) << 3);
    const { threshold, tau } = thresholdsOf(plan);
    view.setFloat32(12, threshold, true);
    view.setFloat32(16, tau, true);
    view.setFloat64(20, plan.scale, true);
    view.setFloat64(28, plan.isMean ? plan.minDivisor : 0, true);
    for (let i = 0; i < EXACT_WORDS - 1; i++)
      view.setUint32(SUM_AT + 4 * i, words[i] as number, true);
    if (divisor === 'weights')
      for (let i = 0; i < WEIGHT_DIGITS; i++)
        view.setUint32(DIVISOR_AT + 4 * i, words[EXACT_WORDS + i] as number, true);
    else if (divisor === 'rows') view.setFloat64(DIVISOR_AT, plan.rowLength, true);
    else if (divisor === 'number') view.setFloat64(DIVISOR_AT, plan.divisor as number, true);
    else view.setFloat64(DIVISOR_AT, this.#counted, true);
    if (divisor === 'unmaskedRows') view.setFloat64(ROW_AT, plan.rowLength, true);
    return bytes;
  }

  /**
   * An accumulator from the bytes of another. It has no loss object, so nothing but other accumulators can be
   * added to it. To go on adding, merge the bytes into an accumulator that has one.
   *
   * @throws {TypeError} for what is no `Uint8Array`; {RangeError} for bytes that are truncated, of something
   *   else, of a newer version, or inconsistent.
   * @example
   * ```ts
   * import { float32, L1Loss, LossAccumulator } from 'smooth-l1';
   * const loss = new L1Loss();
   * const bytes = new LossAccumulator(loss).add(float32([1]), float32(1)).toBytes();
   * const goesOn = new LossAccumulator(loss).merge(bytes);
   * console.log(goesOn.add(float32([4]), float32(1)).value()); // 2.5
   * ```
   */
  static from(bytes: Uint8Array): LossAccumulator {
    checkArray(`${NAME}.from`, 'bytes', bytes, 'Uint8Array');
    return LossAccumulator.#restore(`${NAME}.from`, bytes);
  }

  static #restore(fn: string, bytes: Uint8Array): LossAccumulator {
    // A copy: nobody changes it meanwhile.
    const own = new Uint8Array(bytes);
    const view = new DataView(own.buffer);
    const { length } = own;
    if (length < BYTES)
      throw new RangeError(`${fn}: bytes are truncated: there are ${length} of ${BYTES}`);
    if (own[0] !== FIRST || own[1] !== SECOND)
      throw new RangeError(
        `${fn}: bytes are of something else: they begin with ${own[0]}, ${own[1]}, not with ${FIRST}, ${SECOND}`,
      );
    if ((own[2] as number) > VERSION)
      throw new RangeError(
        `${fn}: bytes are of version ${own[2]}, which is newer than this package knows, ${VERSION}`,
      );
    const inconsistent = (what: string) => new RangeError(`${fn}: bytes are inconsistent: ${what}`);
    if (length > BYTES) throw inconsistent(`there are ${length}, not ${BYTES}`);
    if (own[2] !== VERSION) throw inconsistent(`there is no version ${own[2]}`);
    let self: LossAccumulator;
    try {
      self = new (LossAccumulator as new (loss: unknown) => LossAccumulator)(planOf(view));
    } catch (error) {
      throw inconsistent((error as Error).message.replace(`${NAME}: `, ''));
    }
    const words = self.#read(view);
    // What means nothing is 0, and a number is written in one way.
    const again = self.toBytes();
    const wrong = again.findIndex((byte, i) => byte !== own[i]);
    if (wrong >= 0) throw inconsistent(`byte ${wrong} is ${own[wrong]}, not ${again[wrong]}`);
    const [count, counted] = [self.#count, self.#counted];
    if (!Number.isSafeInteger(count)) throw inconsistent(`there are ${count} elements`);
    if (isByRow(divisorOf(self.#plan)) && count % self.#plan.rowLength !== 0)
      throw inconsistent(`${count} elements are no rows of ${self.#plan.rowLength}`);
    const most = self.#plan.countsRows ? count / self.#plan.rowLength : count;
    if (!(Number.isInteger(counted) && counted >= 0 && counted <= most))
      throw inconsistent(`${counted} of ${most} count`);
    for (const at of [0, EXACT_WORDS])
      if (!isSumOf(count, words, at))
        throw inconsistent(`a sum is too large for ${count} elements`);
    return self;
  }

  /** Reads what {@link toBytes} wrote beside the options; returns both sums as the kernel writes them. */
  #read(view: DataView): Uint32Array {
    const words = new Uint32Array(2 * EXACT_WORDS);
    const divisor = divisorOf(this.#plan);
    this.#count = view.getUint32(4, true) + (view.getUint32(8, true) & 0xffffff) * 2 ** 32;
    const specials = view.getUint8(11);
    for (let i = 0; i < EXACT_WORDS - 1; i++) words[i] = view.getUint32(SUM_AT + 4 * i, true);
    words[EXACT_WORDS - 1] = specials & 7;
    if (divisor === 'weights') {
      for (let i = 0; i < WEIGHT_DIGITS; i++)
        words[EXACT_WORDS + i] = view.getUint32(DIVISOR_AT + 4 * i, true);
      // The sign goes on.
      const highest = words[EXACT_WORDS + WEIGHT_DIGITS - 1] as number;
      words[EXACT_WORDS + WEIGHT_DIGITS] = highest >>> 31 ? 0xffffffff : 0;
      words[2 * EXACT_WORDS - 1] = (specials >> 3) & 7;
    } else if (this.#plan.counted !== counts.NOTHING || this.#plan.countsRows)
      this.#counted = view.getFloat64(DIVISOR_AT, true);
    this.#loss.addWords(words, 0);
    this.#weights.addWords(words, EXACT_WORDS);
    return words;
  }

  #callerOf(caller: Caller | undefined, method: string): Caller {
    if (caller) return caller;
    throw new TypeError(
      `${NAME}.${method}: this accumulator is from bytes, and has no loss object; merge it into new ${NAME}(loss)`,
    );
  }

  /** The options of a call, which may not make another loss of it. */
  #check(method: string, given: Given): Given {
    const names = isByRow(divisorOf(this.#plan)) ? [...FIXED, 'rowLength' as const] : FIXED;
    for (const name of names)
      if (!Object.is(given[name], this.#base[name]))
        throw new TypeError(
          `${NAME}.${method}: ${name} is an option of the loss object; it cannot differ in a call`,
        );
    return given;
  }

  /** The number of elements with so many more. */
  #countWith(method: string, more: number): number {
    const count = this.#count + more;
    if (!Number.isSafeInteger(count))
      throw new RangeError(`${NAME}.${method}: there would be more than 2^53 - 1 elements`);
    return count;
  }

  /** Adds what a call of `n` elements added up. */
  #take(method: string, sums: Sums, n: number): this {
    const { counted, countsRows } = this.#plan;
    const count = this.#countWith(method, n);
    this.#loss.join(sums.exactLoss);
    this.#loss.carry();
    if (counted === counts.EXACT_WEIGHTS) {
      this.#weights.join(sums.exactCount);
      this.#weights.carry();
    } else if (counted !== counts.NOTHING || countsRows) this.#counted += sums.count;
    this.#count = count;
    return this;
  }

  /** What must be the same in accumulators that are merged. */
  #identity(): Record<string, unknown> {
    const plan = this.#plan;
    const { threshold, tau } = thresholdsOf(plan);
    const divisor = divisorOf(plan);
    return {
      kind: LOSS_NAMES[LOSSES.indexOf(plan.loss)],
      threshold,
      tau,
      scale: plan.scale,
      reduction: plan.reduction,
      divisor: divisor === 'number' ? plan.divisor : divisor,
      rowLength: isByRow(divisor) ? plan.rowLength : undefined,
      minDivisor: plan.minDivisor === -Infinity ? undefined : plan.minDivisor,
      onZeroDivisor: plan.zeroOnZero ? 'zero' : 'nan',
    };
  }
}

/** The name of what the sum is divided by; '' where it is not divided. */
function divisorOf({ reduction, divisor }: Plan): string {
  if (reduction === 'sum') return '';
  return typeof divisor === 'number' ? 'number' : divisor;
}

/** Whether the length of rows belongs to the divisor. */
function isByRow(divisor: string): boolean {
  return divisor === 'rows' || divisor === 'unmaskedRows';
}

/** Whether `count` floats can have the sum in these words, and what was not finite among them. */
function isSumOf(count: number, words: Uint32Array, at: number): boolean {
  const end = at + EXACT_WORDS - 1;
  const finite = new Exact();
  finite.addWords(Uint32Array.of(...words.subarray(at, end), 0), 0);
  return Math.abs(finite.value()) <= count * LARGEST && (count > 0 || words[end] === 0);
}

/** The threshold and the quantile as the kernel has them; 0 where the loss has none. */
function thresholdsOf({ loss, threshold, tau }: Plan): { threshold: number; tau: number } {
  return {
    // Not -0.
    threshold: loss === L1 ? 0 : Math.fround(threshold as number) + 0,
    tau: loss.isQuantile ? Math.fround(tau as number) + 0 : 0,
  };
}

/** The plan of the loss that bytes are of. */
function planOf(view: DataView): Plan {
  const kinds = view.getUint8(3);
  const loss = LOSSES[kinds & 3] as Loss;
  const divisor = DIVISORS[(kinds >> 2) & 7] as string;
  const [name] = loss.thresholds;
  const isMean = divisor !== '';
  const least = view.getFloat64(28, true);
  const number = view.getFloat64(DIVISOR_AT, true);
  const isWeighted = divisor === 'weights' || divisor === 'nonzeroWeights';
  return new Plan(
    NAME,
    loss,
    'object',
    given({
      ...(name ? { [name]: view.getFloat32(12, true) } : {}),
      tau: loss.isQuantile ? view.getFloat32(16, true) : undefined,
      scale: view.getFloat64(20, true),
      reduction: isMean ? 'mean' : 'sum',
      sum: 'exact',
      divisor: divisor === 'number' ? number : isMean ? divisor : undefined,
      rowLength:
        divisor === 'rows'
          ? number
          : divisor === 'unmaskedRows'
            ? view.getFloat64(ROW_AT, true)
            : undefined,
      minDivisor: isMean && least !== -Infinity ? least : undefined,
      onZeroDivisor: isMean && kinds & 32 ? 'zero' : undefined,
      weight: isWeighted ? 1 : undefined,
    }),
  );
}
