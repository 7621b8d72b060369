// Walks over the elements of a call: in chunks that are added up in order, in pieces where arrays are
// copied through the staging buffer, together with other threads where that pays.

import type { Bound } from './bind.ts';
import { count, layout, want } from './generated/job.ts';
import type { Job } from './job.ts';
import type { Kernel } from './kernel.ts';
import { type Plan, slot } from './plan.ts';
import type { Stage } from './stage.ts';
import { CHUNK, PIECE } from './units.ts';

/** What the elements of a pass add up to. */
export class Sums {
  loss = 0;
  count = 0;
}

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
  sums.loss = 0;
  if (counted !== count.NOTHING) sums.count = 0;
  const hasRows = (wanted & want.ROWS) !== 0;
  if (n <= CHUNK && !hasRows && !job.binding.isStaged) {
    // One run is all there is: it saves a 12th of a call of 16 elements.
    job.want(wanted, counted);
    job.point(wanted);
    kernel.runChunk(job, 0, n);
  } else if (hasRows && plan.rowLength > CHUNK) {
    walkLongRows(kernel, plan, job, n, wanted, counted);
  } else {
    job.want(wanted, counted);
    const chunk = hasRows ? CHUNK - (CHUNK % plan.rowLength) : CHUNK;
    range(kernel, plan, job, 0, n, chunk, wanted);
  }
}

/** The same for rows longer than a chunk: each is a sum like any other. */
function walkLongRows(
  kernel: Kernel,
  plan: Plan,
  job: Job,
  n: number,
  wanted: number,
  counted: number,
): void {
  const { sums } = kernel;
  const { rowLength } = plan;
  const bound = job.binding.bounds[slot.OUT] as Bound;
  const losses = bound.array ?? kernel.views.f32.subarray(bound.start / 4);
  const wantedOfRow = (wanted & ~want.ROWS) | want.SUM;
  job.want(wantedOfRow, counted);
  for (let row = 0; row < n / rowLength; row++) {
    sums.loss = 0;
    range(kernel, plan, job, row * rowLength, rowLength, CHUNK, wantedOfRow);
    losses[row] = sums.loss * plan.scale;
  }
}

/** Whether a pass writes a result. */
function isWritten(result: Bound, wanted: number): boolean {
  const those = result.slot === slot.OUT ? want.STORE | want.ROWS : want.GRAD | want.CURVATURE;
  return (wanted & those) !== 0;
}

/** Computes the elements `first .. first + n`, and adds to the sums. */
function range(
  kernel: Kernel,
  plan: Plan,
  job: Job,
  first: number,
  n: number,
  chunk: number,
  wanted: number,
): void {
  const { binding } = job;
  job.point(wanted);
  if (binding.isStaged) {
    for (let from = first; from < first + n; from += chunk)
      stageChunk(kernel, plan, job, from, Math.min(chunk, first + n - from), wanted);
    if (first + n > PIECE) job.window(wanted, 0, 0);
    return;
  }
  if (n <= chunk) {
    kernel.runChunk(job, first, n);
    return;
  }
  // What a lost thread left half done must be there to be done again.
  const { helpers } = kernel;
  const mayShare = helpers !== undefined && !binding.isInPlace && !plan.accumulates;
  if (mayShare && helpers.share(job, first, n, chunk)) return;
  runAlone(kernel, job, first, n, chunk);
}

/** The same on this thread. */
export function runAlone(kernel: Kernel, job: Job, first: number, n: number, chunk: number): void {
  for (let from = first; from < first + n; from += chunk)
    kernel.runChunk(job, from, Math.min(chunk, first + n - from));
}

/** Computes a chunk piece by piece, with the arrays that are elsewhere copied through. */
function stageChunk(
  kernel: Kernel,
  plan: Plan,
  job: Job,
  first: number,
  n: number,
  wanted: number,
): void {
  const { rowLength } = plan;
  const { list } = job.binding;
  const stage = kernel.stage as Stage;
  kernel.beginChunk();
  for (let from = first; from < first + n; from += PIECE) {
    const size = Math.min(PIECE, first + n - from);
    const row = rowLength === 0 ? 0 : Math.floor(from / rowLength);
    const endRow = rowLength === 0 ? 0 : (from + size) / rowLength;
    if (from > 0) job.window(wanted, from, row);
    for (let i = 0; i < list.length; i++) {
      const bound = list[i] as Bound;
      if (bound.buffer === undefined || bound.slot >= slot.THRESHOLD) continue;
      // Gradients that are added to must be there; columns are there for the whole call.
      if (bound.isResult && !(plan.accumulates && isWritten(bound, wanted))) continue;
      if (bound.layout === layout.COLUMN) continue;
      const isRow = bound.layout === layout.ROW;
      const begin = isRow ? row : from;
      const length = (isRow ? Math.ceil(endRow) : from + size) - begin;
      if (bound.slot === slot.MASK) stage.copyBytesIn(bound, begin, length);
      else stage.copyFloatsIn(bound, begin, length);
    }
    job.run(from, size, kernel.work);
    for (let i = 2; i < list.length; i++) {
      const bound = list[i] as Bound;
      if (bound.buffer === undefined || !bound.isResult || !isWritten(bound, wanted)) continue;
      const isRow = bound.layout === layout.ROW;
      const begin = isRow ? row : from;
      const length = (isRow ? Math.floor(endRow) : from + size) - begin;
      stage.copyOut(bound, begin, length);
    }
  }
  kernel.endChunk();
}
