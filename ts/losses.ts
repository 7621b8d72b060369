// The public functions and classes. Each is one line: a form of functions.ts for a loss of loss.ts. The losses of
// streams are declared functions: bundlers leave out those that nothing uses, which they cannot tell of a call.
import {
  type BackwardFunction,
  backward,
  type DoubleBackwardFunction,
  doubleBackward,
  forward,
  type HessianFunction,
  hessian,
  type LossFunction,
  LossObject,
  type ObjectOptions,
  type ThresholdGradFunction,
  thresholdGrad,
  type WithGradFunction,
  withGrad,
} from './functions.ts';
import { HUBER, L1, QUANTILE_HUBER, SMOOTH_L1 } from './loss.ts';
import type {
  HuberThreshold,
  LossOptions,
  QuantileHuberThreshold,
  Reduction,
  SmoothL1Threshold,
} from './options.ts';
import { type Pairs, type StreamOptions, streamLoss } from './streams.ts';

/** Options of the smooth L1 functions. */
export type SmoothL1Options<R extends Reduction | undefined = Reduction | undefined> =
  LossOptions<R> & SmoothL1Threshold;
/** Options of the Huber functions. */
export type HuberOptions<R extends Reduction | undefined = Reduction | undefined> = LossOptions<R> &
  HuberThreshold;
/** Options of the quantile Huber functions. */
export type QuantileHuberOptions<R extends Reduction | undefined = Reduction | undefined> =
  LossOptions<R> & QuantileHuberThreshold;

/** A loss without a threshold. */
type NoThreshold = Record<never, never>;

/**
 * The smooth L1 loss of Fast R-CNN. With `d = input - target`, the loss of an element is
 * `d^2 / (2 beta)` where `|d| < beta`, and `|d| - beta / 2` elsewhere.
 *
 * Sums are made in a fixed order: their bits do not depend on threads, copies or the engine.
 * NaN gives NaN; an infinite residual gives an infinite loss. The mean of nothing is NaN.
 *
 * @param input the predictions.
 * @param target as many true values.
 * @returns the loss; an array of them for the reductions `"none"`, `"rows"`, `"rowMeans"` and `"columns"`.
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
export const smoothL1Loss: LossFunction<SmoothL1Threshold> = /* @__PURE__ */ forward(
  SMOOTH_L1,
  'smoothL1Loss',
);

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
export const huberLoss: LossFunction<HuberThreshold> = /* @__PURE__ */ forward(HUBER, 'huberLoss');

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
export const l1Loss: LossFunction<NoThreshold> = /* @__PURE__ */ forward(L1, 'l1Loss');

/**
 * The quantile Huber loss of QR-DQN, for quantile regression. With `d = input - target` and the Huber
 * loss `H(d)`, the loss of an element is `tau H(d)` where `input < target`, and `(1 - tau) H(d)`
 * elsewhere. It is not divided by `delta`, as some implementations do: `scale: 1 / delta` does that.
 * The sign is that of the residual times its inside weight.
 *
 * @returns and throws as {@link smoothL1Loss}; {RangeError} if `tau` is not from 0 to 1.
 * @see Dabney et al., Distributional Reinforcement Learning with Quantile Regression (2018), equation 10.
 * @example
 * ```ts
 * import { float32, quantileHuberLoss } from 'smooth-l1';
 * const loss = quantileHuberLoss(float32([-1, 1]), float32(2), { tau: 0.25, reduction: 'none' });
 * console.log(loss.join()); // 0.125,0.375
 * ```
 */
export const quantileHuberLoss: LossFunction<QuantileHuberThreshold> = /* @__PURE__ */ forward(
  QUANTILE_HUBER,
  'quantileHuberLoss',
);

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
export const smoothL1LossBackward: BackwardFunction<SmoothL1Threshold> = /* @__PURE__ */ backward(
  SMOOTH_L1,
  'smoothL1LossBackward',
);

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
export const huberLossBackward: BackwardFunction<HuberThreshold> = /* @__PURE__ */ backward(
  HUBER,
  'huberLossBackward',
);

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
export const l1LossBackward: BackwardFunction<NoThreshold> = /* @__PURE__ */ backward(
  L1,
  'l1LossBackward',
);

/**
 * The gradient of {@link quantileHuberLoss} to its input: `d`, clamped to `-delta` and `delta`, times
 * `tau` where `input < target`, and `1 - tau` elsewhere.
 *
 * @returns and throws as {@link smoothL1LossBackward}.
 * @example
 * ```ts
 * import { float32, quantileHuberLossBackward } from 'smooth-l1';
 * const options = { tau: 0.25, reduction: 'sum' } as const;
 * console.log(quantileHuberLossBackward(1, float32([-9, 0.5]), float32(2), options).join()); // -0.25,0.375
 * ```
 */
export const quantileHuberLossBackward: BackwardFunction<QuantileHuberThreshold> =
  /* @__PURE__ */ backward(QUANTILE_HUBER, 'quantileHuberLossBackward');

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
export const smoothL1LossWithGrad: WithGradFunction<SmoothL1Threshold> = /* @__PURE__ */ withGrad(
  SMOOTH_L1,
  'smoothL1LossWithGrad',
);

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
export const huberLossWithGrad: WithGradFunction<HuberThreshold> = /* @__PURE__ */ withGrad(
  HUBER,
  'huberLossWithGrad',
);

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
export const l1LossWithGrad: WithGradFunction<NoThreshold> = /* @__PURE__ */ withGrad(
  L1,
  'l1LossWithGrad',
);

/**
 * {@link quantileHuberLoss} and its gradient in one pass over memory.
 *
 * @param gradInput receives the gradient to the input. It may be `input` or `target` itself.
 * @returns and throws as {@link smoothL1LossWithGrad}.
 * @example
 * ```ts
 * import { float32, quantileHuberLossWithGrad } from 'smooth-l1';
 * // Two quantiles, one a column, of one row.
 * const options = { tau: float32([0.25, 0.75]), rowLength: 2, reduction: 'sum' } as const;
 * const gradInput = float32(2);
 * const loss = quantileHuberLossWithGrad(float32([-1, -1]), float32(2), gradInput, options);
 * console.log(loss, gradInput.join()); // 0.5 -0.25,-0.75
 * ```
 */
export const quantileHuberLossWithGrad: WithGradFunction<QuantileHuberThreshold> =
  /* @__PURE__ */ withGrad(QUANTILE_HUBER, 'quantileHuberLossWithGrad');

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
export const smoothL1LossHessian: HessianFunction<SmoothL1Threshold> = /* @__PURE__ */ hessian(
  SMOOTH_L1,
  'smoothL1LossHessian',
);

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
export const huberLossHessian: HessianFunction<HuberThreshold> = /* @__PURE__ */ hessian(
  HUBER,
  'huberLossHessian',
);

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
export const smoothL1LossDoubleBackward: DoubleBackwardFunction<SmoothL1Threshold> =
  /* @__PURE__ */ doubleBackward(SMOOTH_L1, 'smoothL1LossDoubleBackward');

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
export const huberLossDoubleBackward: DoubleBackwardFunction<HuberThreshold> =
  /* @__PURE__ */ doubleBackward(HUBER, 'huberLossDoubleBackward');

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
export const smoothL1LossBetaGrad: ThresholdGradFunction<SmoothL1Threshold> =
  /* @__PURE__ */ thresholdGrad(SMOOTH_L1, 'smoothL1LossBetaGrad');

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
export const huberLossDeltaGrad: ThresholdGradFunction<HuberThreshold> =
  /* @__PURE__ */ thresholdGrad(HUBER, 'huberLossDeltaGrad');

/**
 * {@link smoothL1Loss} of data that come in chunks: from a file, a network or a generator, and larger than
 * memory. The sum is exact: any cut and order of the data gives the same 64 bits.
 *
 * One chunk is asked for at a time, and has been used when the next one is asked for, so that a source may
 * fill the same arrays again. If a chunk is wrong, the source fails, or the signal aborts, the source is
 * closed, and the promise rejects.
 *
 * @param pairs an iterable, async iterable or `ReadableStream` of chunks: `[input, target]`, or an object that
 *   may have weights and a mask too.
 * @param options those of a {@link LossAccumulator}'s loss, a `signal`, and `onProgress`, which is told the
 *   number of elements after each chunk.
 * @returns a promise of the loss: that of one call over everything with `sum: "exact"`.
 * @throws {TypeError} and {RangeError} as {@link smoothL1Loss}, the signal's reason, and what the source or
 *   `onProgress` throws. All reject the promise.
 * @example
 * ```ts
 * import { float32, smoothL1LossOf } from 'smooth-l1';
 * async function* chunks() {
 *   yield [float32([0.25, 3]), float32(2)] as const;
 *   yield { input: float32([-1, 9]), target: float32(2), weight: float32([1, 0]) };
 * }
 * console.log(await smoothL1LossOf(chunks(), { reduction: 'sum' })); // 3.03125
 * ```
 */
export function smoothL1LossOf(
  pairs: Pairs,
  options?: StreamOptions & SmoothL1Threshold,
): Promise<number> {
  return streamLoss(SMOOTH_L1, 'smoothL1LossOf', pairs, options);
}

/**
 * {@link huberLoss} of data that come in chunks.
 *
 * @param pairs and options as {@link smoothL1LossOf} takes them.
 * @returns and throws as {@link smoothL1LossOf}.
 * @example
 * ```ts
 * import { float32, huberLossOf } from 'smooth-l1';
 * const chunks = [[float32([0.5]), float32(1)], [float32([3]), float32(1)]] as const;
 * console.log(await huberLossOf(chunks, { delta: 2, reduction: 'sum' })); // 4.125
 * ```
 */
export function huberLossOf(
  pairs: Pairs,
  options?: StreamOptions & HuberThreshold,
): Promise<number> {
  return streamLoss(HUBER, 'huberLossOf', pairs, options);
}

/**
 * {@link l1Loss} of data that come in chunks.
 *
 * @param pairs and options as {@link smoothL1LossOf} takes them.
 * @returns and throws as {@link smoothL1LossOf}.
 * @example
 * ```ts
 * import { float32, l1LossOf } from 'smooth-l1';
 * const chunks = new ReadableStream({
 *   start(controller) {
 *     controller.enqueue([float32([1, -3]), float32(2)]);
 *     controller.close();
 *   },
 * });
 * console.log(await l1LossOf(chunks)); // 2
 * ```
 */
export function l1LossOf(pairs: Pairs, options?: StreamOptions & NoThreshold): Promise<number> {
  return streamLoss(L1, 'l1LossOf', pairs, options);
}

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
export class SmoothL1Loss<R extends Reduction | undefined = undefined> extends LossObject<R> {
  constructor(...options: ObjectOptions<R, SmoothL1Options<R>>) {
    super('SmoothL1Loss', SMOOTH_L1, options[0]);
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
export class HuberLoss<R extends Reduction | undefined = undefined> extends LossObject<R> {
  constructor(...options: ObjectOptions<R, HuberOptions<R>>) {
    super('HuberLoss', HUBER, options[0]);
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
export class L1Loss<R extends Reduction | undefined = undefined> extends LossObject<R> {
  constructor(...options: ObjectOptions<R, LossOptions<R>>) {
    super('L1Loss', L1, options[0]);
  }
}

/**
 * {@link quantileHuberLoss} with its options read once.
 *
 * @example
 * ```ts
 * import { float32, QuantileHuberLoss } from 'smooth-l1';
 * const loss = new QuantileHuberLoss({ tau: 0.9, reduction: 'sum' });
 * console.log(loss.forward(float32([-1, 1]), float32(2)).toFixed(4)); // 0.5000
 * ```
 */
export class QuantileHuberLoss<R extends Reduction | undefined = undefined> extends LossObject<R> {
  constructor(...options: ObjectOptions<R, QuantileHuberOptions<R>>) {
    super('QuantileHuberLoss', QUANTILE_HUBER, options[0]);
  }
}
