// The vector form: the loss of the distance of two vectors.
import { compute } from './call.ts';
import { checkArray, checkNumber } from './check.ts';
import { Caller } from './functions.ts';
import { L1, SMOOTH_L1 } from './loss.ts';
import { type InputArray, NONE, type OutOption, type SmoothL1Threshold } from './options.ts';

/** The sum of absolute differences under the name of a function, and its gradient. */
const l1Sum = /* @__PURE__ */ new Caller('l1Distance', L1, 'distance');
const lossSum = /* @__PURE__ */ new Caller('smoothL1OfDistance', L1, 'distance');
const backwardSum = /* @__PURE__ */ new Caller('smoothL1OfDistanceBackward', L1, 'distance');
const backwardGrad = /* @__PURE__ */ new Caller(
  'smoothL1OfDistanceBackward',
  L1,
  'distanceBackward',
);
const withGradSum = /* @__PURE__ */ new Caller('smoothL1OfDistanceWithGrad', L1, 'distance');
const withGradGrad = /* @__PURE__ */ new Caller(
  'smoothL1OfDistanceWithGrad',
  L1,
  'distanceWithGrad',
);
/** The options of the functions that have some. */
const lossOptions = /* @__PURE__ */ new Caller('smoothL1OfDistance', SMOOTH_L1, 'distance');
const backwardOptions = /* @__PURE__ */ new Caller(
  'smoothL1OfDistanceBackward',
  SMOOTH_L1,
  'distanceBackward',
);
const withGradOptions = /* @__PURE__ */ new Caller(
  'smoothL1OfDistanceWithGrad',
  SMOOTH_L1,
  'distanceWithGrad',
);

/**
 * The L1 distance of two vectors, `sum |p_i - q_i|`.
 *
 * @throws as `smoothL1Loss`.
 * @example
 * ```ts
 * import { float32, l1Distance } from 'smooth-l1';
 * console.log(l1Distance(float32([1, 2, 3]), float32([1.1, 2, 3.3])).toFixed(6)); // 0.400000
 * ```
 */
export function l1Distance(p: InputArray, q: InputArray): number {
  return l1Sum.forward(p, q, undefined) as number;
}

/**
 * The vector form: smooth L1 of the L1 distance of two vectors, one number. It is another number
 * than the sum of the losses of the elements, which `smoothL1Loss` gives.
 *
 * @throws as `smoothL1Loss`.
 * @example
 * ```ts
 * import { float32, smoothL1OfDistance } from 'smooth-l1';
 * const p = float32([1, 2, 3]);
 * const q = float32([1.1, 2, 3.3]);
 * console.log(smoothL1OfDistance(p, q).toFixed(4)); // 0.0800
 * console.log(smoothL1OfDistance(p, q, { sigma: 3 }).toFixed(6)); // 0.344444
 * ```
 */
export function smoothL1OfDistance(
  p: InputArray,
  q: InputArray,
  options?: SmoothL1Threshold,
): number {
  return ofDistance(lossOptions, lossSum, p, q, options).loss;
}

/**
 * The gradient of {@link smoothL1OfDistance} to `p`: the slope at the distance, times the sign of
 * `p_i - q_i`. To `q` it is the negative.
 *
 * @param gradOutput the gradient of what follows to the loss.
 * @returns `options.out`, or a new array.
 * @throws as `smoothL1Loss`.
 * @example
 * ```ts
 * import { float32, smoothL1OfDistanceBackward } from 'smooth-l1';
 * const grad = smoothL1OfDistanceBackward(1, float32([1, 2, 3]), float32([1.25, 2, 3.25]));
 * console.log(grad.join()); // -0.5,0,-0.5
 * ```
 */
export function smoothL1OfDistanceBackward(
  gradOutput: number,
  p: InputArray,
  q: InputArray,
  options?: SmoothL1Threshold & OutOption,
): Float32Array {
  checkNumber('smoothL1OfDistanceBackward', 'gradOutput', gradOutput);
  const { slope, out } = ofDistance(backwardOptions, backwardSum, p, q, options);
  const plan = backwardGrad.plan(NONE);
  return compute(plan, NONE, p, q, gradOutput * slope, undefined, out, undefined) as Float32Array;
}

/**
 * {@link smoothL1OfDistance} and its gradient to `p`. The distance is computed once: the loss, then the
 * gradient, by the two functions compute it twice.
 *
 * @param gradP receives the gradient. It may be `p` or `q` itself.
 * @returns the loss.
 * @throws as `smoothL1Loss`.
 * @example
 * ```ts
 * import { float32, smoothL1OfDistanceWithGrad } from 'smooth-l1';
 * const gradP = float32(3);
 * const loss = smoothL1OfDistanceWithGrad(float32([1, 2, 3]), float32([1.25, 2, 3.25]), gradP);
 * console.log(loss, gradP.join()); // 0.125 -0.5,0,-0.5
 * ```
 */
export function smoothL1OfDistanceWithGrad(
  p: Float32Array,
  q: Float32Array,
  gradP: Float32Array,
  options?: SmoothL1Threshold,
): number {
  const { loss, slope } = ofDistance(withGradOptions, withGradSum, p, q, options);
  if (gradP === undefined) checkArray('smoothL1OfDistanceWithGrad', 'gradP', gradP, 'Float32Array');
  compute(withGradGrad.plan(NONE), NONE, p, q, slope, undefined, gradP, undefined);
  return loss;
}

/** Smooth L1 of one number from 0, in f64. */
function ofDistance(caller: Caller, sum: Caller, p: InputArray, q: InputArray, options: unknown) {
  const given = caller.read(options);
  const beta = caller.plan(given).threshold as number;
  const distance = sum.forward(p, q, undefined) as number;
  const slope = distance < beta ? distance / beta : Math.sign(distance);
  const half = beta === Infinity ? 0 : beta / 2;
  const loss = distance < beta ? (distance * slope) / 2 : distance - half;
  return { loss, slope, out: given.out as Float32Array | undefined };
}
