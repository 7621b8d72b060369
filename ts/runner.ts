// Runs the kernel's job over ranges of elements, the arrays that are elsewhere copied through.
import { count, field, kind, shape, want } from './generated/job.ts';
import { copyIn, copyOut, PIECE } from './job.ts';
import type { Kernel } from './kernel.ts';
import type { Part, Request } from './request.ts';
import { type Pool, runJob } from './threads.ts';

/** Elements that are added up together; sums of chunks are added in order. */
export const CHUNK = 65536;

interface Sums {
  loss: number;
  count: number;
}

/** Runs the job that `place` wrote over ranges of elements. */
export class Runner {
  readonly #kernel: Kernel;
  readonly #request: Request;
  readonly #parts: Part[];
  readonly #isStaged: boolean;
  readonly #mayShare: boolean;
  /** The parts that the job reads or writes as it is. */
  #active: Part[] = [];
  /** Threads that were given up, and may still read what the job points to. */
  lostTo: Pool | undefined;

  constructor(kernel: Kernel, request: Request, parts: Part[]) {
    this.#kernel = kernel;
    this.#request = request;
    this.#parts = parts;
    this.#isStaged = parts.some((part) => part.slot !== 0);
    // What a lost thread left half done must be there to be done again.
    const outputs = parts.filter((part) => part.isOutput);
    const isInPlace = outputs.some((out) =>
      parts.some((part) => part !== out && part.offset === out.offset),
    );
    this.#mayShare = !isInPlace && !request.settings.accumulates;
  }

  /** Does what is wanted for all elements. */
  all(wanted: number, counted: number): Sums {
    const { settings, n, out } = this.#request;
    const { rowLength } = settings;
    this.#write(wanted, counted);
    if (!(wanted & want.ROWS)) return this.#range(0, n, CHUNK);
    if (rowLength <= CHUNK) return this.#range(0, n, CHUNK - (CHUNK % rowLength));
    // A row longer than a chunk is a sum like any other.
    this.#write((wanted & ~want.ROWS) | want.SUM, counted);
    for (let row = 0; row < n / rowLength; row++)
      (out as Float32Array)[row] =
        this.#range(row * rowLength, rowLength, CHUNK).loss * settings.scale;
    return { loss: 0, count: 0 };
  }

  #write(wanted: number, counted: number): void {
    const { settings, grad } = this.#request;
    const { u32 } = this.#kernel.heap;
    const job = this.#kernel.job >>> 2;
    u32[job + field.want] = wanted;
    u32[job + field.count] = counted;
    u32[job + field.accumulate] = Number(settings.accumulates);
    const more =
      counted !== count.NOTHING ||
      settings.accumulates ||
      (grad &&
        (settings.gradTarget || settings.gradInsideWeights || settings.gradOutsideWeights)) ||
      (wanted & want.UPSTREAM && u32[job + field.upstream_kind] !== kind.FULL);
    u32[job + field.shape] =
      ((u32[job + field.shape] as number) & ~shape.MORE) | (more ? shape.MORE : 0);
    // A result that is not wanted has no place.
    const losses = wanted & (want.STORE | want.ROWS);
    const gradients = wanted & (want.GRAD | want.CURVATURE);
    this.#active = [];
    for (const part of this.#parts) {
      const isActive = !part.isOutput || (part.field === 'out' ? losses : gradients) !== 0;
      if (isActive) this.#active.push(part);
      u32[job + field[part.field]] = isActive ? part.offset : 0;
    }
  }

  #range(first: number, n: number, chunk: number): Sums {
    const totals = { loss: 0, count: 0 };
    if (!this.#isStaged) {
      const { loss, count, lostTo } = runJob(this.#kernel, first, n, chunk, this.#mayShare);
      this.lostTo ??= lostTo;
      return { loss, count };
    }
    const { work, heap } = this.#kernel;
    const at = work >>> 3;
    for (let c = first; c < first + n; c += chunk) {
      heap.f64.fill(0, at, at + 3);
      this.#staged(c, Math.min(chunk, first + n - c));
      totals.loss += heap.f64[at] as number;
      totals.count += heap.f64[at + 1] as number;
    }
    return totals;
  }

  /** The same as one run of the kernel, with the arrays that are elsewhere copied through. */
  #staged(first: number, n: number): void {
    const { run, job, work, heap } = this.#kernel;
    const { rowLength, accumulates } = this.#request.settings;
    for (let p = first; p < first + n; p += PIECE) {
      const size = Math.min(PIECE, first + n - p);
      const row = rowLength ? Math.floor(p / rowLength) : 0;
      const endRow = rowLength ? (p + size) / rowLength : 0;
      heap.u32[(job >>> 2) + field.origin] = p;
      heap.u32[(job >>> 2) + field.row_origin] = row;
      for (const part of this.#active) {
        if (part.is === kind.COLUMN) continue;
        const from = part.is === kind.ROW ? row : p;
        const to = part.is === kind.ROW ? Math.ceil(endRow) : p + size;
        const place = part.slot || part.offset + from * part.array.BYTES_PER_ELEMENT;
        heap.u32[(job >>> 2) + field[part.field]] = place;
        if (part.slot && (!part.isOutput || accumulates))
          copyIn(this.#kernel, part.array.subarray(from, to), place);
      }
      run(job, p, size, work);
      for (const part of this.#active) {
        if (!part.slot || !part.isOutput) continue;
        const from = part.is === kind.ROW ? row : p;
        const to = part.is === kind.ROW ? Math.floor(endRow) : p + size;
        copyOut(this.#kernel, part.slot, part.array, from, to - from);
      }
    }
  }
}
