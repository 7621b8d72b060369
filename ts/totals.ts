// The totals that the runs of a job add to, at the beginning of the memory that a thread works in.
import { count, EXACT_WORDS, totals, want } from './generated/job.ts';

/** Whether a job with these words adds something up exactly. */
export function isExact(wanted: number, counted: number): boolean {
  return (wanted & want.EXACT) !== 0 || counted === count.EXACT_WEIGHTS;
}

/**
 * Sets the totals to 0: those from `at` on, and the exact sums from `exactAt` on where the job has them.
 */
export function clearTotals(
  f64: Float64Array,
  at: number,
  u32: Uint32Array,
  exactAt: number,
  hasExact: boolean,
): void {
  f64[at + totals.LOSS] = 0;
  f64[at + totals.COUNT] = 0;
  f64[at + totals.ROW] = 0;
  if (hasExact) u32.fill(0, exactAt, exactAt + 2 * EXACT_WORDS);
}
