// Walks over the elements of a call: in chunks that are added up in order, in pieces where arrays are
// copied through the staging buffer, together with other threads where that pays.

import type { Bound } from './bind.ts';
import { layout, totals, want } from './generated/job.ts';
import type { Job } from './job.ts';
import type { Kernel } from './kernel.ts';
import { type Plan, slot } from './plan.ts';
import { CHUNK, PIECE } from './units.ts';

/** What the elements of a pass add up to. */
export class Sums {
  loss = 0;
  count = 0;
}

/** Computes what is wanted, and counts, for all elements. The sums are in `kernel.sums` then. */
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
  sums.loss = 0;
  sums.count = 0;
  const hasRows = (wanted & want.ROWS) !== 0;
  if (hasRows && rowLength > CHUNK) {
    walkLongRows(kernel, plan, job, n, wanted, counted);
    return;
  }
  job.want(wanted, counted);
  range(kernel, plan, job, 0, n, hasRows ? CHUNK - (CHUNK % rowLength) : CHUNK, wanted);
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
  if (binding.isStaged) {
    for (let from = first; from < first + n; from += chunk)
      stageChunk(kernel, plan, job, from, Math.min(chunk, first + n - from), wanted);
    job.window(0, 0);
    return;
  }
  job.point(wanted);
  if (n <= chunk) {
    runChunk(kernel, job, first, n);
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
    runChunk(kernel, job, from, Math.min(chunk, first + n - from));
}

function runChunk(kernel: Kernel, job: Job, first: number, n: number): void {
  const { sums, work } = kernel;
  const { f64 } = kernel.views;
  const at = work >>> 3;
  f64[at + totals.loss] = 0;
  f64[at + totals.count] = 0;
  f64[at + totals.row] = 0;
  job.run(first, n, work);
  sums.loss += f64[at + totals.loss] as number;
  sums.count += f64[at + totals.count] as number;
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
  const { sums, work } = kernel;
  const { f64 } = kernel.views;
  const { list } = job.binding;
  const { rowLength } = plan;
  const stage = kernel.stage as NonNullable<typeof kernel.stage>;
  const at = work >>> 3;
  f64[at + totals.loss] = 0;
  f64[at + totals.count] = 0;
  f64[at + totals.row] = 0;
  for (let from = first; from < first + n; from += PIECE) {
    const size = Math.min(PIECE, first + n - from);
    const row = rowLength === 0 ? 0 : Math.floor(from / rowLength);
    const endRow = rowLength === 0 ? 0 : (from + size) / rowLength;
    job.window(from, row);
    job.pointFrom(wanted, from, row);
    for (const bound of list) {
      const { array } = bound;
      if (bound.buffer === undefined || bound.slot >= slot.THRESHOLD) continue;
      // Gradients that are added to must be there; columns are there for the whole call.
      if (bound.isResult && !(plan.accumulates && isWritten(bound, wanted))) continue;
      if (bound.layout === layout.COLUMN) continue;
      const isRow = bound.layout === layout.ROW;
      const begin = isRow ? row : from;
      const length = (isRow ? Math.ceil(endRow) : from + size) - begin;
      if (bound.slot === slot.MASK)
        stage.copyBytesIn(array as Uint8Array, begin, length, bound.place);
      else stage.copyFloatsIn(array as Float32Array, begin, length, bound.place);
    }
    job.run(from, size, work);
    for (const bound of list) {
      if (bound.buffer === undefined || !bound.isResult || !isWritten(bound, wanted)) continue;
      const isRow = bound.layout === layout.ROW;
      const begin = isRow ? row : from;
      const length = (isRow ? Math.floor(endRow) : from + size) - begin;
      stage.copyOut(bound.place, bound.array as Float32Array, begin, length);
    }
  }
  sums.loss += f64[at + totals.loss] as number;
  sums.count += f64[at + totals.count] as number;
}
