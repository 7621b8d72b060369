// The losses of the family: each is a row of numbers for the kernel's one formula, which stands at
// the head of crate/lib.rs.
import { want } from './generated/job.ts';

/** The numbers that make one loss of the family. */
export interface Curve {
  readonly pre: number;
  readonly inv: number;
  readonly lim: number;
  readonly half: number;
  /** The threshold itself, where the second derivative becomes 0. */
  readonly kink: number;
  /** The second derivative below it, divided by `pre`. */
  readonly bend: number;
}

/** The names of the options that set a loss's threshold. */
export type ThresholdName = 'beta' | 'sigma' | 'delta';

/** What the package knows of a loss. */
export interface Loss {
  /** The options that set the threshold, the default one first. */
  readonly thresholds: readonly ThresholdName[];
  /** Whether the option `tau` weighs its two sides. */
  readonly isQuantile: boolean;
  readonly curve: (threshold: number) => Curve;
  /** What the kernel sums up for the derivative to the threshold. */
  readonly thresholdGrad: number;
}

export const SMOOTH_L1: Loss = {
  thresholds: ['beta', 'sigma'],
  isQuantile: false,
  curve: smoothL1,
  thresholdGrad: want.BETA,
};

export const HUBER: Loss = {
  thresholds: ['delta'],
  isQuantile: false,
  curve: huber,
  thresholdGrad: want.DELTA,
};

export const L1: Loss = {
  thresholds: [],
  isQuantile: false,
  curve: () => smoothL1(0),
  thresholdGrad: want.NOTHING,
};

export const QUANTILE_HUBER: Loss = {
  thresholds: ['delta'],
  isQuantile: true,
  curve: huber,
  thresholdGrad: want.NOTHING,
};

const { fround } = Math;
/** The largest f32. */
export const LARGEST = fround(3.4028234663852886e38);
const SMALLEST = 2 ** -149;
const SMALLEST_NORMAL = 2 ** -126;

function huber(threshold: number): Curve {
  // Not -0, of which the clamp would make other zeros.
  const delta = fround(threshold) + 0;
  return { pre: 1, inv: 1, lim: delta, half: 0.5, kink: delta, bend: 1 };
}

function smoothL1(threshold: number): Curve {
  const beta = fround(threshold);
  // Brings even the smallest residual to a slope of 1 and leaves 0 at 0.
  if (beta === 0) return { pre: 2 ** 24, inv: LARGEST, lim: 1, half: 0, kink: 0, bend: 0 };
  // Brings even the largest residual to a slope of 0, and leaves infinity where it is.
  if (beta === Infinity)
    return { pre: SMALLEST, inv: SMALLEST, lim: 1, half: 0, kink: beta, bend: 0 };
  const inverse = 1 / beta;
  // A power of two keeps the inverse a normal number, and so exact to its last bit.
  const pre = inverse > LARGEST ? 2 ** 24 : inverse < SMALLEST_NORMAL ? 2 ** -24 : 1;
  const inv = inverseOf(fround(beta * pre));
  return { pre, inv, lim: 1, half: fround(beta / 2), kink: beta, bend: inv };
}

/** The inverse, rounded so that the slope at the kink is exactly 1. */
function inverseOf(beta: number): number {
  const inv = fround(1 / beta);
  return fround(beta * inv) < 1 ? next(inv) : inv;
}

const scratch = new Float32Array(1);
const word = new Uint32Array(scratch.buffer);

/** The next f32 above a positive one. */
function next(x: number): number {
  scratch[0] = x;
  word[0] = (word[0] as number) + 1;
  return scratch[0];
}
