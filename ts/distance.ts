// The vector form: the loss of the distance of two vectors.
import { compute } from './call.ts';
import { checkNumber } from './check.ts';
import { Caller } from './functions.ts';
import { L1, SMOOTH_L1 } from './loss.ts';
import { NONE, type OutOption, type Role, type SmoothL1Threshold } from './options.ts';

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
export function l1Distance(p: Float32Array, q: Float32Array): number {
  return distanceOf('l1Distance', p, q);
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
  p: Float32Array,
  q: Float32Array,
  options?: SmoothL1Threshold,
): number {
  return ofDistance('smoothL1OfDistance', 'distance', p, q, options).loss;
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
  p: Float32Array,
  q: Float32Array,
  options?: SmoothL1Threshold & OutOption,
): Float32Array {
  const fn = 'smoothL1OfDistanceBackward';
  checkNumber(fn, 'gradOutput', gradOutput);
  const { slope, out } = ofDistance(fn, 'distanceBackward', p, q, options);
  const plan = new Caller(fn, L1, 'distanceBackward').plan(NONE);
  return compute(plan, NONE, p, q, gradOutput * slope, undefined, out, undefined) as Float32Array;
}

function distanceOf(fn: string, p: Float32Array, q: Float32Array): number {
  const plan = new Caller(fn, L1, 'distance').plan(NONE);
  return compute(plan, NONE, p, q, 1, undefined, undefined, undefined) as number;
}

/** Smooth L1 of one number from 0, in f64. */
function ofDistance(fn: string, role: Role, p: Float32Array, q: Float32Array, options: unknown) {
  const caller = new Caller(fn, SMOOTH_L1, role);
  const given = caller.read(options);
  const beta = caller.plan(given).threshold as number;
  const distance = distanceOf(fn, p, q);
  const slope = distance < beta ? distance / beta : Math.sign(distance);
  const half = beta === Infinity ? 0 : beta / 2;
  const loss = distance < beta ? (distance * slope) / 2 : distance - half;
  return { loss, slope, out: given.out as Float32Array | undefined };
}
