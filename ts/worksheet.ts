// The vector form of the worksheet that this package goes back to: the loss of a distance.
import { checkNumber } from './check.ts';
import { l1Loss } from './losses.ts';
import { type Kind, type OutOption, readOptions, type SmoothL1Threshold } from './options.ts';
import { compute } from './pass.ts';
import { checkPair, freshArray } from './request.ts';

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
  checkPair('l1Distance', p, q, 'p', 'q');
  return l1Loss(p, q, { reduction: 'sum' });
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
  const { slope, n, out } = ofDistance(fn, 'distanceBackward', p, q, options);
  const settings = readOptions(fn, 'l1', 'object', { reduction: 'sum' });
  const grad = out ?? freshArray(fn, 'out', settings, n);
  const upstream = gradOutput * slope;
  compute({
    fn,
    settings,
    input: p,
    target: q,
    names: ['p', 'q'],
    n,
    loss: false,
    grad,
    gradName: 'out',
    upstream,
  });
  return grad;
}

/** Smooth L1 of one number from 0, in f64. */
function ofDistance(fn: string, kind: Kind, p: Float32Array, q: Float32Array, options: unknown) {
  const { threshold, out } = readOptions(fn, 'smoothL1', kind, options);
  const n = checkPair(fn, p, q, 'p', 'q');
  const distance = l1Distance(p, q);
  const beta = threshold as number;
  const slope = distance < beta ? distance / beta : Math.sign(distance);
  const half = beta === Infinity ? 0 : beta / 2;
  const loss = distance < beta ? (distance * slope) / 2 : distance - half;
  return { loss, slope, n, out };
}
