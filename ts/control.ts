// The block of shared memory through which the threads of a pool meet.
import { EXACT_WORDS } from './generated/job.ts';

/** Pieces of the job that nobody has claimed. */
export const CLAIM = 0;
/** Pieces that workers finished. */
export const DONE = 1;
/** Changes with each job; sleeping workers wait for that. */
export const BELL = 2;
/** Not 0: the pool was given up, or is not needed any more. */
export const RETIRED = 3;
/** Pieces of shares that workers failed at, or left because of RETIRED. */
export const FAILED = 4;
/** Workers that are awake. */
export const AWAKE = 9;
/** The job: how many pieces, how long, of which elements. */
export const PIECES = 5;
export const SIZE = 6;
export const FIRST = 7;
export const END = 8;
/** The id of the place that has its job. */
export const PLACE = 10;
/** Orders that were sent after the first ones. */
export const ORDERS = 11;

/** The most pieces of one job; a longer one is done in turns. */
export const MAX_PIECES = 8192;
/** The most pieces of one claim. With 16, two threads are 2 to 5 % slower at 256K and 1M. */
const MAX_SHARE = 64;

const HEAD = 64;

/** Words of the exact sums of a piece. */
export const EXACTS = 2 * EXACT_WORDS;

/** Bytes of the block: the words; for each piece a flag, two sums, and two exact ones. */
export const CONTROL_BYTES = HEAD + MAX_PIECES * (4 + 16 + 4 * EXACTS);

/** A memory in which a worker computes: where the job is, and the worker's own working memory. */
export interface Place {
  readonly id: number;
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly job: number;
  readonly work: number;
}

/** A message to a worker. */
export interface Orders {
  /** All places that there are from now on. The block is in the memory of the first. */
  readonly places: readonly Place[];
  readonly address: number;
  readonly threads: number;
}

export type Control = ReturnType<typeof control>;

/** A view of the block at `address`, the same for all threads, which are so many. */
export function control(buffer: ArrayBufferLike, address: number, threads: number) {
  const words = new Int32Array(buffer, address, HEAD / 4);
  const flags = new Int32Array(buffer, address + HEAD, MAX_PIECES);
  const sums = new Float64Array(buffer, address + HEAD + MAX_PIECES * 4, 2 * MAX_PIECES);
  /** How many pieces a claim takes: several while many are left, one at a time at the end. */
  const shareOf = (left: number): number =>
    Math.max(1, Math.min(MAX_SHARE, Math.floor(left / (2 * threads))));
  const exacts = new Uint32Array(buffer, sums.byteOffset + sums.byteLength, EXACTS * MAX_PIECES);
  return {
    words,
    flags,
    sums,
    exacts,

    shareOf,

    /** Takes the share of those that are left: how many were left before it, 0 if there was none. */
    claim(): number {
      let left = Atomics.load(words, CLAIM);
      while (left > 0) {
        const seen = Atomics.compareExchange(words, CLAIM, left, left - shareOf(left));
        if (seen === left) return left;
        left = seen;
      }
      return 0;
    },

    /** The elements of piece `index`. */
    rangeOf(index: number, size: number): [from: number, to: number] {
      // Unsigned: an element's index may have its highest bit set.
      const from = ((words[FIRST] as number) >>> 0) + index * size;
      return [from, Math.min(from + size, (words[END] as number) >>> 0)];
    },

    /** Leaves the sums of a piece, after its exact ones, then the flag that says so. */
    finish(index: number, loss: number, count: number): void {
      sums[2 * index] = loss;
      sums[2 * index + 1] = count;
      Atomics.store(flags, index, 1);
    },
  };
}
