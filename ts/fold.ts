// Results that are sums over the rows or the columns of what the kernel computes: it does so piece by piece, in
// a place that each piece uses again, and the pieces are added up here, in f64, one element after the other.
import type { Binding, Bound } from './bind.ts';
import { layout, PIECE } from './generated/job.ts';
import type { Job } from './job.ts';
import type { Kernel } from './kernel.ts';
import { type Plan, slot, wantsOf } from './plan.ts';

/** Finds a place for a piece of each. */
export function placeFolds(kernel: Kernel, plan: Plan, job: Job): void {
  const { stage } = kernel;
  stage?.open(plan.fn);
  for (const bound of job.binding.list) {
    if (!bound.isFolded) continue;
    if (kernel.isPlain) bound.piece = new Float32Array(PIECE);
    else {
      bound.place = stage ? stage.placeOf(bound.slot) : kernel.take(4 * PIECE, plan.fn);
      job.forget();
    }
  }
}

/** Begins to add up the results of a pass that are such sums, and returns them. */
export function beginFolds({ list }: Binding, wanted: number): readonly Bound[] {
  const folds = list.filter((bound) => bound.isFolded && (wanted & wantsOf(bound.slot)) !== 0);
  for (const bound of folds) bound.sums = new Float64Array(bound.length);
  return folds;
}

/** Has the kernel, which may add to what is there, begin with zeros. */
export function clearPieces(kernel: Kernel, folds: readonly Bound[]): void {
  for (const bound of folds) pieceOf(kernel, bound).fill(0);
}

/** Adds the piece of `n` elements, from `first` on. */
export function addPieces(
  kernel: Kernel,
  folds: readonly Bound[],
  first: number,
  n: number,
  rowLength: number,
): void {
  for (const bound of folds) {
    const values = pieceOf(kernel, bound);
    const sums = bound.sums as Float64Array;
    const isRow = bound.layout === layout.ROW;
    let row = Math.floor(first / rowLength);
    let column = first % rowLength;
    for (let i = 0; i < n; row++, column = 0) {
      const end = Math.min(i + rowLength - column, n);
      if (isRow) {
        let sum = sums[row] as number;
        while (i < end) sum += values[i++] as number;
        sums[row] = sum;
      } else
        while (i < end) {
          sums[column] = (sums[column] as number) + (values[i++] as number);
          column++;
        }
    }
  }
}

/** Rounds the sums, once, to where they belong. */
export function endFolds(kernel: Kernel, folds: readonly Bound[], accumulates: boolean): void {
  for (const bound of folds) {
    const sums = bound.sums as Float64Array;
    const { array, start, length } = bound;
    const isAdded = accumulates && bound.slot !== slot.OUT;
    const result = array ?? kernel.views.f32.subarray(start / 4, start / 4 + length);
    for (let i = 0; i < length; i++) {
      const sum = Math.fround(sums[i] as number);
      result[i] = isAdded ? (result[i] as number) + sum : sum;
    }
    bound.sums = undefined;
  }
}

function pieceOf(kernel: Kernel, { piece, place }: Bound): Float32Array {
  return kernel.isPlain
    ? (piece as Float32Array)
    : kernel.views.f32.subarray(place / 4, place / 4 + PIECE);
}
