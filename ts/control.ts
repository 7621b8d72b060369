// The block of shared memory through which the threads of a pool meet.
import { JOB_WORDS } from './generated/job.ts';

/** Chunks of the job that nobody has claimed. */
export const CLAIM = 0;
/** Chunks that workers finished. */
export const DONE = 1;
/** Changes with each job; sleeping workers wait for that. */
export const BELL = 2;
/** Not 0: the pool was given up, or is not needed any more. */
export const RETIRED = 3;
/** Chunks that failed workers had claimed. */
export const FAILED = 4;
/** Workers that are awake. */
export const AWAKE = 9;
/** The job: how many chunks, how long, of which elements. */
export const CHUNKS = 5;
export const CHUNK_SIZE = 6;
export const FIRST = 7;
export const END = 8;

/** The most chunks of one job; a longer one is done in turns. */
export const MAX_CHUNKS = 1024;
/** Elements between two looks at `RETIRED`. */
export const PIECE = 8192;

const HEAD = 64;
const JOB_BYTES = 4 * JOB_WORDS + (64 - ((4 * JOB_WORDS) % 64));

/** Bytes of the block: the words, the job, a flag and two sums for each chunk. */
export const CONTROL_BYTES = HEAD + JOB_BYTES + MAX_CHUNKS * 4 + MAX_CHUNKS * 16;

/** The first message to a worker. */
export interface Start {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly address: number;
  readonly work: number;
}

export type Control = ReturnType<typeof control>;

/** A view of the block at `address`, the same for all threads. */
export function control(buffer: ArrayBufferLike, address: number) {
  const words = new Int32Array(buffer, address, HEAD / 4);
  const job = address + HEAD;
  const flags = new Int32Array(buffer, job + JOB_BYTES, MAX_CHUNKS);
  const sums = new Float64Array(buffer, job + JOB_BYTES + MAX_CHUNKS * 4, 2 * MAX_CHUNKS);
  return {
    words,
    job,
    jobWords: new Uint32Array(buffer, job, JOB_WORDS),
    flags,
    sums,

    /** Takes a chunk: how many were left before it, 0 if there was none. */
    claim(): number {
      let left = Atomics.load(words, CLAIM);
      while (left > 0) {
        const seen = Atomics.compareExchange(words, CLAIM, left, left - 1);
        if (seen === left) return left;
        left = seen;
      }
      return 0;
    },

    /** The elements of chunk `index`. */
    rangeOf(index: number, size: number): [from: number, to: number] {
      // Unsigned: an element's index may have its highest bit set.
      const from = ((words[FIRST] as number) >>> 0) + index * size;
      return [from, Math.min(from + size, (words[END] as number) >>> 0)];
    },

    /** Leaves the sums of a chunk, then the flag that says so. */
    finish(index: number, loss: number, count: number): void {
      sums[2 * index] = loss;
      sums[2 * index + 1] = count;
      Atomics.store(flags, index, 1);
    },
  };
}
