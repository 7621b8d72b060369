// The curves of columns that have thresholds or quantiles of their own: six numbers a column, made in
// JavaScript, which the kernel reads as it reads weights by column.
import { PIECE } from './generated/job.ts';
import type { Plan } from './plan.ts';

/**
 * Rows of up to so many columns have all curves at once, so that threads can share them and the next call
 * finds them: 24 bytes of the kernel's memory for each, and 32 of JavaScript's. Of longer rows each piece
 * has its own made, in the same place.
 */
const MOST_KEPT = 2 ** 17;
/** The room for the curves of a piece. */
export const CURVE_FLOATS = 6 * PIECE;

/** Whether rows are too long for all of their curves at once. */
export function areLong(rowLength: number): boolean {
  return rowLength > MOST_KEPT;
}

/** Where the thresholds and the quantiles of columns are, where the plan has no number for all. */
export interface Parameters {
  readonly thresholds: Float32Array;
  /** The place of that of the first column. */
  readonly firstThreshold: number;
  readonly taus: Float32Array;
  readonly firstTau: number;
}

/** The curves of all columns, kept from call to call: a call computes those whose thresholds changed. */
export class Columns {
  readonly #plan: Plan;
  readonly #thresholds: Float32Array;
  readonly #taus: Float32Array;
  /** `pre` of each column, then `inv`, `lim`, `half`, `below`, `above`. */
  readonly curves: Float32Array;

  constructor(plan: Plan) {
    this.#plan = plan;
    // NaN equals no threshold: the first call computes all curves.
    this.#thresholds = new Float32Array(plan.rowLength).fill(Number.NaN);
    this.#taus = new Float32Array(plan.rowLength).fill(Number.NaN);
    this.curves = new Float32Array(6 * plan.rowLength);
  }

  /** Brings the curves up to date. */
  update({ thresholds, firstThreshold, taus, firstTau }: Parameters): Float32Array {
    const { curves } = this;
    const [plan, oldThresholds, oldTaus] = [this.#plan, this.#thresholds, this.#taus];
    const { length } = oldThresholds;
    for (let column = 0; column < length; column++) {
      const t = plan.threshold ?? (thresholds[firstThreshold + column] as number);
      const q = plan.tau ?? (taus[firstTau + column] as number);
      if (oldThresholds[column] === Math.fround(t) && oldTaus[column] === Math.fround(q)) continue;
      const threshold = plan.threshold ?? plan.parameterOf(plan.thresholdName, t, column);
      const tau = plan.tau ?? plan.parameterOf('tau', q, column);
      plan.writeCurve(threshold, tau, curves, column, length);
      oldThresholds[column] = t;
      oldTaus[column] = q;
    }
    return curves;
  }
}

/** Throws for a threshold or a quantile that is wrong, before anything is written. */
export function checkParameters(plan: Plan, given: Parameters): void {
  const { thresholds, firstThreshold, taus, firstTau } = given;
  const { rowLength, thresholdName } = plan;
  for (let column = 0; column < rowLength; column++) {
    if (plan.threshold === undefined)
      plan.parameterOf(thresholdName, thresholds[firstThreshold + column] as number, column);
    if (plan.tau === undefined) plan.parameterOf('tau', taus[firstTau + column] as number, column);
  }
}

/**
 * Makes the curves of `n` columns, from `column` on, where the first follows the last, and writes them from
 * `at` on as those of a row of `PIECE` columns, whose first follows the last too. The first is at `place`.
 */
export function writePiece(
  plan: Plan,
  { thresholds, firstThreshold, taus, firstTau }: Parameters,
  column: number,
  n: number,
  curves: Float32Array,
  at: number,
  place: number,
): void {
  const { rowLength, thresholdName } = plan;
  for (let i = 0; i < n; i++) {
    const t = plan.threshold ?? (thresholds[firstThreshold + column] as number);
    const q = plan.tau ?? (taus[firstTau + column] as number);
    const threshold = plan.threshold ?? plan.parameterOf(thresholdName, t, column);
    const tau = plan.tau ?? plan.parameterOf('tau', q, column);
    plan.writeCurve(threshold, tau, curves, at + place, PIECE);
    if (++column === rowLength) column = 0;
    if (++place === PIECE) place = 0;
  }
}
