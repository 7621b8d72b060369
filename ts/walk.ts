// Walks over the elements of a call: in one run, piece by piece where arrays are copied through the
// staging buffer, or together with other threads where that pays.

import { type Bound, fillCurves } from './bind.ts';
import { Exact } from './exact.ts';
import { addPieces, beginFolds, clearPieces, endFolds } from './fold.ts';
import { count, EXACT_WORDS, layout, PIECE, want } from './generated/job.ts';
import type { Job } from './job.ts';
import type { Kernel } from './kernel.ts';
import { type Plan, slot, wantsOf } from './plan.ts';
import type { Stage } from './stage.ts';

/** What the elements of a pass add up to. */
export class Sums {
  loss = 0;
  count = 0;

  /** The losses and the counted weights of a call with exact sums. */
  readonly exactLoss = new Exact();
  readonly exactCount = new Exact();

  add(loss: number, count: number): void {
    this.loss += loss;
    this.count += count;
  }

  /** Adds those of other elements. */
  join({ loss, count, exactLoss, exactCount }: Sums): void {
    this.add(loss, count);
    this.exactLoss.join(exactLoss);
    this.exactCount.join(exactCount);
  }

  /** Makes them those of another kernel's call. */
  take(other: Sums): void {
    this.loss = 0;
    this.count = 0;
    this.clearExact();
    this.join(other);
  }

  clearExact(): void {
    this.exactLoss.clear();
    this.exactCount.clear();
  }

  /** Adds the exact sums of a run. */
  addExact(words: Uint32Array, at: number): void {
    this.exactLoss.addWords(words, at);
    this.exactCount.addWords(words, at + EXACT_WORDS);
  }

  /** Writes them as a run does. */
  writeExact(words: Uint32Array, at: number): void {
    this.exactLoss.write(words, at);
    this.exactCount.write(words, at + EXACT_WORDS);
  }
}

const NO_FOLDS: readonly Bound[] = [];

/**
 * Computes what is wanted, and counts, for all elements. The sums are in `kernel.sums` then; a pass that
 * counts nothing leaves the last count.
 */
export function walk(
  kernel: Kernel,
  plan: Plan,
  job: Job,
  n: number,
  wanted: number,
  counted: number,
): void {
  const { sums } = kernel;
  const { rowLength } = plan;
  const before = sums.count;
  const hasRows = (wanted & want.ROWS) !== 0;
  // Calls of few elements feel each step that all calls take.
  const folds = job.binding.hasFolds ? beginFolds(job.binding, wanted) : NO_FOLDS;
  if (hasRows && rowLength > PIECE) walkLongRows(kernel, plan, job, n, wanted, counted, folds);
  else {
    job.want(wanted, counted);
    range(kernel, plan, job, 0, n, hasRows ? PIECE - (PIECE % rowLength) : PIECE, wanted, folds);
  }
  if (folds !== NO_FOLDS) endFolds(kernel, folds, plan.accumulates);
  if ((wanted & want.EXACT) !== 0) sums.loss = sums.exactLoss.value();
  if (counted === count.EXACT_WEIGHTS) sums.count = sums.exactCount.value();
  if (counted === count.NOTHING) sums.count = before;
}

/** The same for rows longer than a piece: each is a sum like any other. */
function walkLongRows(
  kernel: Kernel,
  plan: Plan,
  job: Job,
  n: number,
  wanted: number,
  counted: number,
  folds: readonly Bound[],
): void {
  const { rowLength } = plan;
  const bound = job.binding.bounds[slot.OUT] as Bound;
  const losses = bound.array ?? kernel.views.f32.subarray(bound.start / 4);
  const wantedOfRow = (wanted & ~want.ROWS) | want.SUM;
  job.want(wantedOfRow, counted);
  for (let row = 0; row < n / rowLength; row++) {
    range(kernel, plan, job, row * rowLength, rowLength, PIECE, wantedOfRow, folds);
    losses[row] = kernel.sums.loss * plan.scale;
  }
}

/** Whether a pass writes a result. */
function isWritten(result: Bound, wanted: number): boolean {
  return (wanted & wantsOf(result.slot)) !== 0;
}

/** Computes the elements `first .. first + n`. What they add up to is in the sums then. */
function range(
  kernel: Kernel,
  plan: Plan,
  job: Job,
  first: number,
  n: number,
  size: number,
  wanted: number,
  folds: readonly Bound[],
): void {
  const { binding } = job;
  job.point(wanted);
  if (binding.isStaged || folds.length > 0 || plan.hasLongCurves) {
    inPieces(kernel, plan, job, first, n, wanted, folds);
    return;
  }
  // What a lost thread left half done must be there to be done again.
  const { helpers } = kernel;
  const mayShare = helpers !== undefined && !binding.isInPlace && !plan.accumulates;
  if (mayShare && helpers.share(kernel, job, first, n, size)) return;
  kernel.compute(job, first, n);
}

/** Copies the numbers, or the mask, of `n` columns from `first` on. The first columns follow the last one. */
function copyColumnsIn(kernel: Kernel, bound: Bound, first: number, n: number): void {
  const untilEnd = Math.min(n, bound.length - first);
  copyRowIn(kernel, bound, first, untilEnd, 0);
  if (untilEnd < n) copyRowIn(kernel, bound, 0, n - untilEnd, untilEnd);
}

/** Copies `n` of them to its place, after the `done` that are there. */
function copyRowIn(
  { stage, views }: Kernel,
  bound: Bound,
  first: number,
  n: number,
  done: number,
): void {
  const { buffer, place, start, bytesPerElement } = bound;
  if (buffer === undefined) {
    const from = start + bytesPerElement * first;
    views.u8.copyWithin(place + bytesPerElement * done, from, from + bytesPerElement * n);
  } else if (bound.slot === slot.MASK) (stage as Stage).copyBytesIn(bound, first, n, done);
  else (stage as Stage).copyFloatsIn(bound, first, n, done);
}

/** The same piece by piece, with the arrays that are elsewhere copied through, and results of sums added up. */
function inPieces(
  kernel: Kernel,
  plan: Plan,
  job: Job,
  first: number,
  n: number,
  wanted: number,
  folds: readonly Bound[],
): void {
  const { rowLength, hasLongCurves } = plan;
  const { isStaged, list } = job.binding;
  const buffer = kernel.stage as Stage;
  const hasParts = hasLongCurves && !kernel.isPlain;
  const copies = isStaged || hasParts;
  kernel.clearTotals(job);
  for (let from = first; from < first + n; from += PIECE) {
    const size = Math.min(PIECE, first + n - from);
    const row = rowLength === 0 ? 0 : Math.floor(from / rowLength);
    const endRow = rowLength === 0 ? 0 : (from + size) / rowLength;
    const column = from - row * rowLength;
    // Where the row ends, the kernel's row of a piece ends too.
    const start = hasParts ? Math.max(0, PIECE - (rowLength - column)) : from;
    if (hasParts) job.windowOfPiece(wanted, from, row, start);
    else if (from > 0) job.window(wanted, from, row);
    if (hasLongCurves && wanted !== want.NOTHING)
      fillCurves(kernel, plan, job, column, size, start);
    if (plan.accumulates) clearPieces(kernel, folds);
    for (let i = 0; copies && i < list.length; i++) {
      const bound = list[i] as Bound;
      if (bound.isLongRow) {
        copyColumnsIn(kernel, bound, column, size);
        continue;
      }
      if (bound.buffer === undefined || bound.slot >= slot.THRESHOLD || bound.isFolded) continue;
      // Gradients that are added to must be there; columns are there for the whole call.
      if (bound.isResult && !(plan.accumulates && isWritten(bound, wanted))) continue;
      if (bound.layout === layout.COLUMN) continue;
      const isRow = bound.layout === layout.ROW;
      const begin = isRow ? row : from;
      const length = (isRow ? Math.ceil(endRow) : from + size) - begin;
      if (bound.bytesPerElement === 4) buffer.copyFloatsIn(bound, begin, length);
      else if (bound.bytesPerElement === 2) buffer.copyHalvesIn(bound, begin, length);
      else buffer.copyBytesIn(bound, begin, length);
    }
    job.run(start, size, kernel.work);
    if (folds.length > 0) addPieces(kernel, folds, from, size, rowLength);
    for (let i = 2; isStaged && i < list.length; i++) {
      const bound = list[i] as Bound;
      if (bound.buffer === undefined || !bound.isResult || !isWritten(bound, wanted)) continue;
      if (bound.isFolded) continue;
      const isRow = bound.layout === layout.ROW;
      const begin = isRow ? row : from;
      const length = (isRow ? Math.floor(endRow) : from + size) - begin;
      buffer.copyOut(bound, begin, length);
    }
  }
  kernel.readTotals(job);
}
