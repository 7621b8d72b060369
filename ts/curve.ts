// The numbers that make one loss of the family; the table is at the head of crate/lib.rs.
export type Form = 'smoothL1' | 'huber' | 'l1';

export interface Curve {
  readonly pre: number;
  readonly inv: number;
  readonly lim: number;
  readonly half: number;
  /** The threshold itself, where the second derivative becomes 0. */
  readonly kink: number;
}

const { fround } = Math;
/** The largest f32. */
export const LARGEST = fround(3.4028234663852886e38);
const SMALLEST = 2 ** -149;
const SMALLEST_NORMAL = 2 ** -126;

/** The curve of a loss. `threshold` is beta or delta, not negative and not NaN; L1 has none. */
export function curveOf(form: Form, threshold: number): Curve {
  const kink = form === 'l1' ? 0 : fround(threshold);
  if (form === 'huber') return { pre: 1, inv: 1, lim: kink, half: 0.5, kink };
  const beta = kink;
  // Brings even the smallest residual to a slope of 1 and leaves 0 at 0.
  if (beta === 0) return { pre: 2 ** 24, inv: LARGEST, lim: 1, half: 0, kink };
  // Brings even the largest residual to a slope of 0, and leaves infinity where it is.
  if (beta === Infinity) return { pre: SMALLEST, inv: SMALLEST, lim: 1, half: 0, kink };
  const inverse = 1 / beta;
  // A power of two keeps the inverse a normal number, and so exact to its last bit.
  const pre = inverse > LARGEST ? 2 ** 24 : inverse < SMALLEST_NORMAL ? 2 ** -24 : 1;
  return { pre, inv: inverseOf(fround(beta * pre)), lim: 1, half: fround(beta / 2), kink };
}

/** The inverse, rounded so that the slope at the kink is exactly 1. */
function inverseOf(beta: number): number {
  const inv = fround(1 / beta);
  return fround(beta * inv) < 1 ? next(inv) : inv;
}

/** The next f32 above a positive one. */
function next(x: number): number {
  const word = new Uint32Array(Float32Array.of(x).buffer);
  word[0] = (word[0] as number) + 1;
  return new Float32Array(word.buffer)[0] as number;
}
