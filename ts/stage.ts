// The staging buffer: arrays that are outside of the kernel's memory pass through it, piece by piece.

import type { Bound } from './bind.ts';
import { copyTo } from './check.ts';
import { PIECE } from './generated/job.ts';
import type { Heap } from './heap.ts';
import { slot } from './plan.ts';

/** A piece, and 16 floats more, which keep the slots off each other's cache sets. */
const SLOT_BYTES = 4 * (PIECE + 16);
/** Up to here a loop takes less time than a call of `set`. */
export const SHORT = 64;

export class Stage {
  /** The bytes that were copied so far. */
  copied = 0;
  readonly #heap: Heap;
  #start = 0;

  constructor(heap: Heap) {
    this.#heap = heap;
  }

  /** Takes the memory of the buffer, at first use. */
  open(fn: string): void {
    // What curves are made of is not copied.
    if (this.#start === 0) this.#start = this.#heap.allocate(slot.THRESHOLD * SLOT_BYTES, fn);
  }

  /** The byte offset of the buffer for a slot of a call. */
  placeOf(at: number): number {
    return this.#start + at * SLOT_BYTES;
  }

  /** Copies `n` floats of an array, from `first` on, to its place, after the `done` that are there. */
  copyFloatsIn({ array, length, place }: Bound, first: number, n: number, done = 0): void {
    const { f32 } = this.#heap;
    const source = array as Float32Array;
    const at = place / 4 + done;
    if (n <= SHORT) for (let i = 0; i < n; i++) f32[at + i] = source[first + i] as number;
    else f32.set(n === length ? source : source.subarray(first, first + n), at);
    this.copied += 4 * n;
  }

  /** The same for 16-bit floats. */
  copyHalvesIn({ array, length, place }: Bound, first: number, n: number): void {
    const { u16 } = this.#heap;
    const source = array as Uint16Array;
    const at = place / 2;
    if (n <= SHORT) for (let i = 0; i < n; i++) u16[at + i] = source[first + i] as number;
    else u16.set(n === length ? source : source.subarray(first, first + n), at);
    this.copied += 2 * n;
  }

  /** The same for bytes. */
  copyBytesIn({ array, length, place }: Bound, first: number, n: number, done = 0): void {
    const { u8 } = this.#heap;
    const source = array as Uint8Array;
    const at = place + done;
    if (n <= SHORT) for (let i = 0; i < n; i++) u8[at + i] = source[first + i] as number;
    else u8.set(n === length ? source : source.subarray(first, first + n), at);
    this.copied += n;
  }

  /** Counts floats as copied from which other values are computed, such as thresholds by column. */
  countRead(floats: number): void {
    this.copied += 4 * floats;
  }

  /** Copies `n` floats from the place of an array to its elements from `first` on. */
  copyOut({ array, place }: Bound, first: number, n: number): void {
    const { f32 } = this.#heap;
    const result = array as Float32Array;
    const at = place / 4;
    if (n <= SHORT) for (let i = 0; i < n; i++) result[first + i] = f32[at + i] as number;
    else copyTo(result, f32.subarray(at, at + n), first);
    this.copied += 4 * n;
  }
}
