// The public functions and classes. Each reads its options, takes the fast path where it can, and
// otherwise checks its arrays and leaves the rest to pass.ts.
import { checkArray } from './check.ts';
import type { Form } from './curve.ts';
import { plainPass } from './fast-path.ts';
import { want } from './generated/job.ts';
import {
  checkOptions,
  type GradOptions,
  type GradOutputOption,
  type HuberThreshold,
  type Kind,
  type LossOf,
  type LossOptions,
  type OutOption,
  type Reduction,
  readOptions,
  type Settings,
  type SmoothL1Threshold,
} from './options.ts';
import { compute } from './pass.ts';
import { checkPair, freshArray } from './request.ts';

/** Options of the smooth L1 functions. */
export type SmoothL1Options<R extends Reduction = Reduction> = LossOptions<R> & SmoothL1Threshold;
/** Options of the Huber functions. */
export type HuberOptions<R extends Reduction = Reduction> = LossOptions<R> & HuberThreshold;

/** Options of one call of a loss object, on top of those that the object was made with. */
export type CallOptions = Omit<LossOptions, 'reduction'> & OutOption;

const defaults = new Map<string, Settings>();

/** Reads options; those of a call without any only once. */
function read(fn: string, form: Form, kind: Kind, options: unknown): Settings {
  if (options !== undefined) return readOptions(fn, form, kind, options);
  let settings = defaults.get(fn);
  if (!settings) {
    settings = readOptions(fn, form, kind, undefined);
    defaults.set(fn, settings);
  }
  return settings;
}

const MORE = Symbol();
// Object.hasOwn is younger than some engines that this runs in.
const hasOwn = Object.prototype.hasOwnProperty;

/** The `out` of options that give nothing else, otherwise `MORE`: it spares the reading, which is 0.3 us. */
function loneOut(fn: string, options: unknown): Float32Array | undefined | typeof MORE {
  if (options === undefined) return undefined;
  checkOptions(fn, options);
  for (const key in options) if (key !== 'out') return MORE;
  if (!hasOwn.call(options, 'out')) return MORE;
  const { out } = options as { out: unknown };
  if (out !== undefined) checkArray(fn, 'out', out, 'Float32Array');
  return out as Float32Array | undefined;
}

function forward(
  fn: string,
  settings: Settings,
  input: Float32Array,
  target: Float32Array,
  out: Float32Array | undefined,
): number | Float32Array {
  if (out === undefined) {
    const loss = plainPass(fn, settings, want.SUM, input, target);
    if (loss !== undefined) return loss;
  }
  const n = checkPair(fn, input, target);
  const losses = lossArray(fn, settings, n, out);
  const loss = compute({ fn, settings, input, target, n, loss: true, out: losses });
  return losses ?? loss;
}

function withGrad(
  fn: string,
  settings: Settings,
  input: Float32Array,
  target: Float32Array,
  gradInput: Float32Array,
  out: Float32Array | undefined,
): number | Float32Array {
  checkArray(fn, 'gradInput', gradInput, 'Float32Array');
  if (out === undefined) {
    const loss = plainPass(fn, settings, want.SUM | want.GRAD, input, target, gradInput);
    if (loss !== undefined) return loss;
  }
  const n = checkPair(fn, input, target);
  const losses = lossArray(fn, settings, n, out);
  const loss = compute({
    fn,
    settings,
    input,
    target,
    n,
    loss: true,
    grad: gradInput,
    out: losses,
  });
  return losses ?? loss;
}

function backward(
  fn: string,
  settings: Settings,
  gradOutput: number | Float32Array,
  input: Float32Array,
  target: Float32Array,
  out: Float32Array | undefined,
): Float32Array {
  checkUpstream(fn, gradOutput);
  const grad = out ?? freshArray(fn, 'out', settings, checkPair(fn, input, target));
  if (typeof gradOutput === 'number') {
    const done = plainPass(fn, settings, want.GRAD, input, target, grad, gradOutput);
    if (done !== undefined) return grad;
  }
  const n = checkPair(fn, input, target);
  compute({
    fn,
    settings,
    input,
    target,
    n,
    loss: false,
    grad,
    gradName: 'out',
    upstream: gradOutput,
  });
  return grad;
}

/** `backward` for a function, whose options have not been read. */
function gradient(
  fn: string,
  form: Form,
  gradOutput: number | Float32Array,
  input: Float32Array,
  target: Float32Array,
  options: unknown,
): Float32Array {
  const out = loneOut(fn, options);
  const settings = read(fn, form, 'backward', out === MORE ? options : undefined);
  return backward(fn, settings, gradOutput, input, target, out === MORE ? settings.out : out);
}

function checkUpstream(fn: string, gradOutput: unknown): void {
  if (typeof gradOutput === 'number') return;
  checkArray(fn, 'gradOutput', gradOutput, 'Float32Array', 'a number or a Float32Array');
}

/** The array for the losses of the reductions "none" and "rows"; the others have none. */
function lossArray(
  fn: string,
  settings: Settings,
  n: number,
  out: Float32Array | undefined,
): Float32Array | undefined {
  const { reduction, rowLength } = settings;
  if (reduction === 'none') return out ?? freshArray(fn, 'out', settings, n);
  if (reduction === 'rows')
    return out ?? freshArray(fn, 'out', settings, Math.floor(n / rowLength));
  if (out !== undefined)
    throw new TypeError(
      `${fn}: out has a use only with reduction "none" or "rows", got "${reduction}"`,
    );
  return undefined;
}

function hessian(
  fn: string,
  settings: Settings,
  input: Float32Array,
  target: Float32Array,
): Float32Array {
  const n = checkPair(fn, input, target);
  const curvature = settings.out ?? freshArray(fn, 'out', settings, n);
  compute({ fn, settings, input, target, n, loss: false, curvature });
  return curvature;
}

function doubleBackward(
  fn: string,
  settings: Settings,
  gradGradInput: Float32Array,
  gradOutput: number | Float32Array,
  input: Float32Array,
  target: Float32Array,
): Float32Array {
  checkArray(fn, 'gradGradInput', gradGradInput, 'Float32Array');
  checkUpstream(fn, gradOutput);
  const n = checkPair(fn, input, target);
  const curvature = settings.out ?? freshArray(fn, 'out', settings, n);
  const direction = gradGradInput;
  compute({
    fn,
    settings,
    input,
    target,
    n,
    loss: false,
    curvature,
    direction,
    upstream: gradOutput,
  });
  return curvature;
}

function thresholdGrad(
  fn: string,
  settings: Settings,
  input: Float32Array,
  target: Float32Array,
): number {
  const n = checkPair(fn, input, target);
  if (typeof settings.threshold !== 'number')
    throw new TypeError(
      `${fn}: ${settings.thresholdName} must be one number, not one for each column`,
    );
  return compute({
    fn,
    settings,
    input,
    target,
    n,
    loss: false,
    threshold: true,
    upstream: settings.gradOutput,
  });
}

/**
 * The smooth L1 loss of Fast R-CNN. With `d = input - target`, the loss of an element is
 * `d^2 / (2 beta)` where `|d| < beta`, and `|d| - beta / 2` elsewhere.
 *
 * Sums are made in a fixed order: their bits do not depend on threads, copies or the engine.
 * NaN gives NaN; an infinite residual gives an infinite loss. The mean of nothing is NaN.
 *
 * @param input the predictions.
 * @param target as many true values.
 * @returns the loss; an array of them for the reductions `"none"` and `"rows"`.
 * @throws {TypeError} if an argument or an option has the wrong type, or is not there, or has no use.
 * @throws {RangeError} if an option has a wrong value, lengths differ, or `out` overlaps an input in part.
 * @see Girshick, Fast R-CNN (2015), equations 2 and 3; PyTorch's `smooth_l1_loss`.
 * @example
 * ```ts
 * import { float32, smoothL1Loss } from 'smooth-l1';
 * const input = float32([1, 2, 3]);
 * const target = float32([1.1, 2, 3.3]);
 * console.log(smoothL1Loss(input, target, { reduction: 'sum' }).toFixed(4)); // 0.0500
 * console.log(smoothL1Loss(input, target, { sigma: 3, reduction: 'sum' }).toFixed(4)); // 0.2894
 * ```
 */
export function smoothL1Loss<R extends Reduction = 'mean'>(
  input: Float32Array,
  target: Float32Array,
  options?: SmoothL1Options<R> & OutOption,
): LossOf<R> {
  const settings = read('smoothL1Loss', 'smoothL1', 'forward', options);
  return forward('smoothL1Loss', settings, input, target, settings.out) as LossOf<R>;
}

/**
 * The Huber loss. With `d = input - target`, the loss of an element is `d^2 / 2` where
 * `|d| < delta`, and `delta (|d| - delta / 2)` elsewhere: `delta` times smooth L1 at `beta = delta`.
 *
 * @returns and throws as {@link smoothL1Loss}.
 * @see Huber, Robust estimation of a location parameter (1964); PyTorch's `huber_loss`.
 * @example
 * ```ts
 * import { float32, huberLoss } from 'smooth-l1';
 * console.log(huberLoss(float32([0.5, 3]), float32(2), { delta: 2, reduction: 'sum' })); // 4.125
 * ```
 */
export function huberLoss<R extends Reduction = 'mean'>(
  input: Float32Array,
  target: Float32Array,
  options?: HuberOptions<R> & OutOption,
): LossOf<R> {
  const settings = read('huberLoss', 'huber', 'forward', options);
  return forward('huberLoss', settings, input, target, settings.out) as LossOf<R>;
}

/**
 * The absolute error `|input - target|`.
 *
 * @returns and throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { float32, l1Loss } from 'smooth-l1';
 * console.log(l1Loss(float32([1, -3]), float32(2))); // 2
 * ```
 */
export function l1Loss<R extends Reduction = 'mean'>(
  input: Float32Array,
  target: Float32Array,
  options?: LossOptions<R> & OutOption,
): LossOf<R> {
  const settings = read('l1Loss', 'l1', 'forward', options);
  return forward('l1Loss', settings, input, target, settings.out) as LossOf<R>;
}

/**
 * The gradient of {@link smoothL1Loss} to its input: `d / beta`, clamped to -1 and 1, times
 * `gradOutput`, and divided as the reduction says.
 *
 * @param gradOutput the gradient of what follows to the loss: a number, or one number for each
 *   element or each row.
 * @returns `options.out`, or a new array.
 * @throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { float32, smoothL1LossBackward } from 'smooth-l1';
 * const grad = smoothL1LossBackward(1, float32([-2, 0.5]), float32(2), { reduction: 'sum' });
 * console.log(grad.join()); // -1,0.5
 * ```
 */
export function smoothL1LossBackward(
  gradOutput: number | Float32Array,
  input: Float32Array,
  target: Float32Array,
  options?: SmoothL1Options & GradOptions & OutOption,
): Float32Array {
  return gradient('smoothL1LossBackward', 'smoothL1', gradOutput, input, target, options);
}

/**
 * The gradient of {@link huberLoss} to its input: `d`, clamped to `-delta` and `delta`.
 *
 * @returns and throws as {@link smoothL1LossBackward}.
 * @example
 * ```ts
 * import { float32, huberLossBackward } from 'smooth-l1';
 * const grad = huberLossBackward(1, float32([-9, 0.5]), float32(2), { delta: 2, reduction: 'sum' });
 * console.log(grad.join()); // -2,0.5
 * ```
 */
export function huberLossBackward(
  gradOutput: number | Float32Array,
  input: Float32Array,
  target: Float32Array,
  options?: HuberOptions & GradOptions & OutOption,
): Float32Array {
  return gradient('huberLossBackward', 'huber', gradOutput, input, target, options);
}

/**
 * The gradient of {@link l1Loss} to its input: the sign of `d`, 0 at 0.
 *
 * @returns and throws as {@link smoothL1LossBackward}.
 * @example
 * ```ts
 * import { float32, l1LossBackward } from 'smooth-l1';
 * const grad = l1LossBackward(1, float32([-9, 0, 0.5]), float32(3), { reduction: 'sum' });
 * console.log(grad.join()); // -1,0,1
 * ```
 */
export function l1LossBackward(
  gradOutput: number | Float32Array,
  input: Float32Array,
  target: Float32Array,
  options?: LossOptions & GradOptions & OutOption,
): Float32Array {
  return gradient('l1LossBackward', 'l1', gradOutput, input, target, options);
}

/**
 * {@link smoothL1Loss} and its gradient in one pass over memory.
 *
 * @param gradInput receives the gradient to the input. It may be `input` or `target` itself.
 * @returns the loss, as {@link smoothL1Loss} does.
 * @throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { float32, smoothL1LossWithGrad } from 'smooth-l1';
 * const gradInput = float32(2);
 * const loss = smoothL1LossWithGrad(float32([0.5, 3]), float32(2), gradInput);
 * console.log(loss, gradInput.join()); // 1.3125 0.25,0.5
 * ```
 */
export function smoothL1LossWithGrad<R extends Reduction = 'mean'>(
  input: Float32Array,
  target: Float32Array,
  gradInput: Float32Array,
  options?: SmoothL1Options<R> & GradOptions & OutOption,
): LossOf<R> {
  const settings = read('smoothL1LossWithGrad', 'smoothL1', 'backward', options);
  return withGrad(
    'smoothL1LossWithGrad',
    settings,
    input,
    target,
    gradInput,
    settings.out,
  ) as LossOf<R>;
}

/**
 * {@link huberLoss} and its gradient in one pass over memory.
 *
 * @param gradInput receives the gradient to the input. It may be `input` or `target` itself.
 * @returns and throws as {@link smoothL1LossWithGrad}.
 * @example
 * ```ts
 * import { float32, huberLossWithGrad } from 'smooth-l1';
 * const gradInput = float32(2);
 * const loss = huberLossWithGrad(float32([0.5, 3]), float32(2), gradInput, { delta: 2 });
 * console.log(loss, gradInput.join()); // 2.0625 0.25,1
 * ```
 */
export function huberLossWithGrad<R extends Reduction = 'mean'>(
  input: Float32Array,
  target: Float32Array,
  gradInput: Float32Array,
  options?: HuberOptions<R> & GradOptions & OutOption,
): LossOf<R> {
  const settings = read('huberLossWithGrad', 'huber', 'backward', options);
  return withGrad(
    'huberLossWithGrad',
    settings,
    input,
    target,
    gradInput,
    settings.out,
  ) as LossOf<R>;
}

/**
 * {@link l1Loss} and its gradient in one pass over memory.
 *
 * @param gradInput receives the gradient to the input. It may be `input` or `target` itself.
 * @returns and throws as {@link smoothL1LossWithGrad}.
 * @example
 * ```ts
 * import { float32, l1LossWithGrad } from 'smooth-l1';
 * const gradInput = float32(2);
 * console.log(l1LossWithGrad(float32([0.5, -3]), float32(2), gradInput), gradInput.join()); // 1.75 0.5,-0.5
 * ```
 */
export function l1LossWithGrad<R extends Reduction = 'mean'>(
  input: Float32Array,
  target: Float32Array,
  gradInput: Float32Array,
  options?: LossOptions<R> & GradOptions & OutOption,
): LossOf<R> {
  const settings = read('l1LossWithGrad', 'l1', 'backward', options);
  return withGrad('l1LossWithGrad', settings, input, target, gradInput, settings.out) as LossOf<R>;
}

/**
 * The diagonal of the Hessian of {@link smoothL1Loss}, as gradient boosting asks of an objective;
 * all else of that Hessian is 0. It is `1 / beta` where `|d| < beta`, and 0 elsewhere, the kink
 * included. The default reduction is `"mean"` here too: boosting wants `"sum"`.
 *
 * @returns `options.out`, or a new array, one number for each element.
 * @throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { float32, smoothL1LossHessian } from 'smooth-l1';
 * const h = smoothL1LossHessian(float32([0.1, 0.5, 2]), float32(3), { beta: 0.5, reduction: 'sum' });
 * console.log(h.join()); // 2,0,0
 * ```
 */
export function smoothL1LossHessian(
  input: Float32Array,
  target: Float32Array,
  options?: SmoothL1Options & OutOption,
): Float32Array {
  const settings = read('smoothL1LossHessian', 'smoothL1', 'second', options);
  return hessian('smoothL1LossHessian', settings, input, target);
}

/**
 * The diagonal of the Hessian of {@link huberLoss}: 1 where `|d| < delta`, and 0 elsewhere.
 *
 * @returns and throws as {@link smoothL1LossHessian}.
 * @example
 * ```ts
 * import { float32, huberLossHessian } from 'smooth-l1';
 * const h = huberLossHessian(float32([0.1, 0.5, 2]), float32(3), { delta: 0.5, reduction: 'sum' });
 * console.log(h.join()); // 1,0,0
 * ```
 */
export function huberLossHessian(
  input: Float32Array,
  target: Float32Array,
  options?: HuberOptions & OutOption,
): Float32Array {
  const settings = read('huberLossHessian', 'huber', 'second', options);
  return hessian('huberLossHessian', settings, input, target);
}

/**
 * The backward of {@link smoothL1LossBackward}: what a gradient to its result is to its input,
 * `gradGradInput * gradOutput` times the Hessian. (To `gradOutput` it is
 * `smoothL1LossBackward(gradGradInput, input, target)`, to the target the negative.)
 *
 * @param gradGradInput the gradient to the gradient, one number for each element.
 * @param gradOutput as it was for {@link smoothL1LossBackward}.
 * @returns `options.out`, or a new array, one number for each element.
 * @throws as {@link smoothL1Loss}.
 * @see PyTorch's `smooth_l1_loss_double_backward`.
 * @example
 * ```ts
 * import { float32, smoothL1LossDoubleBackward } from 'smooth-l1';
 * const direction = float32([3, 3]);
 * const g = smoothL1LossDoubleBackward(direction, 2, float32([0.1, 2]), float32(2), { reduction: 'sum' });
 * console.log(g.join()); // 6,0
 * ```
 */
export function smoothL1LossDoubleBackward(
  gradGradInput: Float32Array,
  gradOutput: number | Float32Array,
  input: Float32Array,
  target: Float32Array,
  options?: SmoothL1Options & OutOption,
): Float32Array {
  const settings = read('smoothL1LossDoubleBackward', 'smoothL1', 'second', options);
  return doubleBackward(
    'smoothL1LossDoubleBackward',
    settings,
    gradGradInput,
    gradOutput,
    input,
    target,
  );
}

/**
 * The backward of {@link huberLossBackward}.
 *
 * @returns and throws as {@link smoothL1LossDoubleBackward}.
 * @example
 * ```ts
 * import { float32, huberLossDoubleBackward } from 'smooth-l1';
 * const direction = float32([3, 3]);
 * const g = huberLossDoubleBackward(direction, 2, float32([0.1, 2]), float32(2), { reduction: 'sum' });
 * console.log(g.join()); // 6,0
 * ```
 */
export function huberLossDoubleBackward(
  gradGradInput: Float32Array,
  gradOutput: number | Float32Array,
  input: Float32Array,
  target: Float32Array,
  options?: HuberOptions & OutOption,
): Float32Array {
  const settings = read('huberLossDoubleBackward', 'huber', 'second', options);
  return doubleBackward(
    'huberLossDoubleBackward',
    settings,
    gradGradInput,
    gradOutput,
    input,
    target,
  );
}

/**
 * The derivative of {@link smoothL1Loss} to `beta`: the reduced sum of `-t^2 / 2`, where `t` is the
 * slope of an element. (To `sigma` it is this times `-2 / sigma^3`.) Reductions `"none"` and
 * `"rows"` count as `"sum"`.
 *
 * @returns one number.
 * @throws as {@link smoothL1Loss}, and for a `beta` for each column.
 * @example
 * ```ts
 * import { float32, smoothL1LossBetaGrad } from 'smooth-l1';
 * console.log(smoothL1LossBetaGrad(float32([0.5, 3]), float32(2), { reduction: 'sum' })); // -0.625
 * ```
 */
export function smoothL1LossBetaGrad(
  input: Float32Array,
  target: Float32Array,
  options?: SmoothL1Options & GradOutputOption,
): number {
  const settings = read('smoothL1LossBetaGrad', 'smoothL1', 'threshold', options);
  return thresholdGrad('smoothL1LossBetaGrad', settings, input, target);
}

/**
 * The derivative of {@link huberLoss} to `delta`: the reduced sum of what `|d|` is above `delta`.
 *
 * @returns and throws as {@link smoothL1LossBetaGrad}.
 * @example
 * ```ts
 * import { float32, huberLossDeltaGrad } from 'smooth-l1';
 * console.log(huberLossDeltaGrad(float32([0.5, 3]), float32(2), { reduction: 'sum' })); // 2
 * ```
 */
export function huberLossDeltaGrad(
  input: Float32Array,
  target: Float32Array,
  options?: HuberOptions & GradOutputOption,
): number {
  const settings = read('huberLossDeltaGrad', 'huber', 'threshold', options);
  return thresholdGrad('huberLossDeltaGrad', settings, input, target);
}

/** What the three loss classes have in common: options that are read once. */
class Loss<R extends Reduction> {
  readonly #name: string;
  readonly #form: Form;
  readonly #options: object;
  readonly #settings: Settings;

  constructor(name: string, form: Form, options: object | undefined) {
    this.#name = name;
    this.#form = form;
    checkOptions(name, options);
    this.#options = { ...options };
    this.#settings = readOptions(name, form, 'object', this.#options);
  }

  /** The loss. `options` are those that differ from the object's in this call. */
  forward(input: Float32Array, target: Float32Array, options?: CallOptions): LossOf<R> {
    const out = loneOut(this.#name, options);
    if (out !== MORE) return forward(this.#name, this.#settings, input, target, out) as LossOf<R>;
    const settings = this.#with('forward', options);
    return forward(this.#name, settings, input, target, settings.out) as LossOf<R>;
  }

  /** The gradient to the input, for the upstream gradient `gradOutput`. */
  backward(
    gradOutput: number | Float32Array,
    input: Float32Array,
    target: Float32Array,
    options?: CallOptions & GradOptions,
  ): Float32Array {
    const out = loneOut(this.#name, options);
    if (out !== MORE) return backward(this.#name, this.#settings, gradOutput, input, target, out);
    const settings = this.#with('backward', options);
    return backward(this.#name, settings, gradOutput, input, target, settings.out);
  }

  /** The loss and, in `gradInput`, its gradient, in one pass over memory. */
  withGrad(
    input: Float32Array,
    target: Float32Array,
    gradInput: Float32Array,
    options?: CallOptions & GradOptions,
  ): LossOf<R> {
    const out = loneOut(this.#name, options);
    if (out !== MORE)
      return withGrad(this.#name, this.#settings, input, target, gradInput, out) as LossOf<R>;
    const settings = this.#with('backward', options);
    return withGrad(this.#name, settings, input, target, gradInput, settings.out) as LossOf<R>;
  }

  /** The settings of a call that is given options of its own. */
  #with(kind: Kind, options: object | undefined): Settings {
    const given: Record<string, unknown> = { ...options };
    const own: Record<string, unknown> = { ...this.#options };
    // Given under one name, a value takes the place of the object's under the other.
    for (const [key, value] of Object.entries(given))
      if (value !== undefined) delete own[OTHER_NAMES[key] ?? ''];
    // What is undefined is not given; it stays, in case there is no such option.
    for (const key of Object.keys(given)) if (given[key] === undefined) given[key] = own[key];
    return readOptions(this.#name, this.#form, kind, { ...own, ...given });
  }
}

const OTHER_NAMES: Readonly<Record<string, string>> = {
  beta: 'sigma',
  sigma: 'beta',
  weight: 'outsideWeights',
  outsideWeights: 'weight',
};

/**
 * {@link smoothL1Loss} with its options read once: the fastest way for small arrays.
 *
 * @example
 * ```ts
 * import { float32, SmoothL1Loss } from 'smooth-l1';
 * const loss = new SmoothL1Loss({ beta: 0.5 });
 * const [input, target, gradInput] = [float32([0.25, 3]), float32(2), float32(2)];
 * console.log(loss.forward(input, target)); // 1.40625
 * console.log(loss.withGrad(input, target, gradInput), gradInput.join()); // 1.40625 0.25,0.5
 * console.log(loss.backward(2, input, target).join()); // 0.5,1
 * ```
 */
export class SmoothL1Loss<R extends Reduction = 'mean'> extends Loss<R> {
  constructor(options?: SmoothL1Options<R>) {
    super('SmoothL1Loss', 'smoothL1', options);
  }
}

/**
 * {@link huberLoss} with its options read once.
 *
 * @example
 * ```ts
 * import { float32, HuberLoss } from 'smooth-l1';
 * console.log(new HuberLoss({ delta: 2 }).forward(float32([0.5, 3]), float32(2))); // 2.0625
 * ```
 */
export class HuberLoss<R extends Reduction = 'mean'> extends Loss<R> {
  constructor(options?: HuberOptions<R>) {
    super('HuberLoss', 'huber', options);
  }
}

/**
 * {@link l1Loss} with its options read once.
 *
 * @example
 * ```ts
 * import { float32, L1Loss } from 'smooth-l1';
 * console.log(new L1Loss({ reduction: 'sum' }).forward(float32([0.5, -3]), float32(2))); // 3.5
 * ```
 */
export class L1Loss<R extends Reduction = 'mean'> extends Loss<R> {
  constructor(options?: LossOptions<R>) {
    super('L1Loss', 'l1', options);
  }
}
