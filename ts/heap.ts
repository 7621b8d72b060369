// The kernel's memory and its allocator. WebAssembly has none of its own: all state is here.
//
// A heap hands out only what it grew itself, or what it made: several threads may each have a heap
// over one shared memory, and growing is the only thing that they do in common.
import { isOrdinary } from './check.ts';

export const PAGE = 65536;
/** Keeps each array off the cache lines of the others. */
export const ALIGNMENT = 64;
/** No array starts below: crate/link.mjs sets `lowMemoryUnused`, which requires that. */
export const LOWEST = 1024;
/**
 * Shifts long arrays against each other. Those of a power of two would all start at the same place of a
 * page, and compete for the same cache sets: 5 % faster at a million elements.
 */
export const SKEW = 576;
/** Four GiB less one page: every byte offset and every length fits 32 bits. */
export const MAX_PAGES = 65535;

/** Eight bins for each power of two: up to 1 KiB each size has its own. The last are for no block. */
const BINS = 224;

/** A part of the memory. */
class Block {
  start: number;
  size: number;
  isFree = false;
  /** The blocks that touch it, by address. */
  below: Block | undefined = undefined;
  above: Block | undefined = undefined;
  /** The other free blocks of its bin. */
  previous: Block | undefined = undefined;
  next: Block | undefined = undefined;

  constructor(start: number, size: number) {
    this.start = start;
    this.size = size;
  }
}

/**
 * What a heap is over: a memory that grows; the bytes from `start` of one whose size is fixed; or what the
 * owner of a memory lends.
 */
export type Store =
  | { readonly kind: 'growing'; readonly memory: WebAssembly.Memory }
  | {
      readonly kind: 'fixed';
      readonly memory: WebAssembly.Memory;
      readonly start: number;
      /** True if this heap alone has the memory. Another owner could grow it, which detaches its arrays. */
      readonly isOwned: boolean;
    }
  | {
      readonly kind: 'lent';
      readonly memory: WebAssembly.Memory;
      readonly isShared: boolean;
      /** Bytes that are taken at once. */
      readonly first: number;
      /** Has the memory's owner lend bytes: where they start, a multiple of 64, and where they end. */
      take(bytes: number, asker: string): [start: number, end: number];
    };

/** Where arrays are made. */
export interface Home {
  /** True if nobody can detach its buffers. */
  readonly lasts: boolean;
  /** Whether `unload` was called after its arrays were made. */
  isUnloaded: boolean;
  /** Makes room for an array: a buffer, and a byte offset in it. */
  make(bytes: number, asker: string): [buffer: ArrayBufferLike, offset: number];
  /** True for a buffer that arrays were made on. */
  has(buffer: ArrayBufferLike): boolean;
  /** Takes `bytes` bytes, whose content is undefined; returns the byte offset. */
  allocate(bytes: number, asker: string): number;
  /** Gives back what `make` or `allocate` returned. */
  release(offset: number): void;
}

export class Heap implements Home {
  isUnloaded = false;
  /** Views on the whole memory, renewed when it grows. Old views stay valid, only shorter. */
  u8!: Uint8Array;
  u16!: Uint16Array;
  u32!: Uint32Array;
  f32!: Float32Array;
  f64!: Float64Array;
  /** Growing makes a new buffer object of the same memory; arrays may be on any of these. */
  readonly #buffers = new Set<ArrayBufferLike>();
  /** Buffers that were found to be of other memories. */
  readonly #strangers = new WeakSet<ArrayBufferLike>();
  /** The byte offset of a word that nobody else writes, by which buffers of a shared memory are known. */
  readonly #mark: number = 0;
  readonly #store: Store;
  readonly #isShared: boolean;
  /** Free blocks by size, each bin a list, and a bit for each bin that has any. */
  readonly #bins: (Block | undefined)[] = new Array(BINS);
  readonly #filled = new Int32Array(BINS / 32);
  /**
   * Used blocks by where they start: for each page, and in it for each 64 bytes. In a Map each key that
   * is deleted and set again takes longer in V8: up to 1.5 us with 1,000 blocks, 200 us with 100,000.
   */
  readonly #used: (Block | undefined)[][] = [];
  /** The block at the highest address. */
  #top: Block | undefined = undefined;

  constructor(store: Store) {
    this.#store = store;
    this.#isShared = store.kind === 'growing' || (store.kind === 'lent' && store.isShared);
    this.#view(store.memory.buffer);
    if (store.kind === 'fixed')
      this.#add(roundUp(Math.max(store.start, LOWEST)), store.memory.buffer.byteLength);
    if (store.kind === 'lent') this.#grow(roundUp(store.first), store.first, 'attach');
    if (this.#isShared) this.#mark = this.allocate(4, 'smooth-l1');
  }

  /** True if nobody can detach the memory. */
  get lasts(): boolean {
    const store = this.#store;
    return store.kind === 'growing' || (store.kind === 'fixed' && store.isOwned);
  }

  /** Renews the views if the owner of an unshared memory has grown it, which detaches all on it. */
  refresh(): void {
    if (this.u8.length === 0) this.#view(this.#store.memory.buffer);
  }

  make(bytes: number, asker: string): [buffer: ArrayBufferLike, offset: number] {
    this.refresh();
    const offset = this.allocate(bytes, asker);
    return [this.u8.buffer, offset];
  }

  has(buffer: ArrayBufferLike): boolean {
    if (!this.#isShared) {
      this.refresh();
      return buffer === this.u8.buffer;
    }
    // Most are ordinary. The buffer's prototype is asked, which runs no code of the user.
    if (isOrdinary(buffer)) return false;
    if (this.#buffers.has(buffer)) return true;
    if (this.#strangers.has(buffer)) return false;
    if (buffer === this.#store.memory.buffer) this.#view(buffer);
    else if (this.#isMarked(buffer)) this.#buffers.add(buffer);
    else this.#strangers.add(buffer);
    return this.#buffers.has(buffer);
  }

  /**
   * True if a buffer object that was not seen before is on this memory: others may have grown the memory
   * or cloned the object. If so, a value that is written to the mark appears in it. In another memory,
   * or in a copy of this one, it does not. Nothing but the mark is written.
   */
  #isMarked(buffer: ArrayBufferLike): boolean {
    let there: Int32Array;
    try {
      there = new Int32Array(buffer, this.#mark, 1);
    } catch {
      // It ends before the mark.
      return false;
    }
    const here = new Int32Array(this.u8.buffer, this.#mark, 1);
    // Three times, since a thread may be writing to another memory.
    for (let i = 0; i < 3; i++) {
      const value = (Atomics.load(there, 0) + 1) | 0;
      Atomics.store(here, 0, value);
      if (Atomics.load(there, 0) !== value) return false;
    }
    return true;
  }

  /** Takes `bytes` bytes, whose content is undefined. */
  allocate(bytes: number, asker: string): number {
    const least = roundUp(Math.max(bytes, 1));
    const wanted = bytes >= PAGE ? least + SKEW : least;
    const block =
      this.#fit(wanted) ??
      this.#fit(least) ??
      this.#search(least) ??
      this.#grow(least, bytes, asker);
    this.#unlist(block);
    this.#split(block, block.size < wanted ? least : wanted);
    const { start } = block;
    let page = this.#used[start >>> 16];
    if (page === undefined) {
      page = new Array(PAGE / ALIGNMENT);
      this.#used[start >>> 16] = page;
    }
    page[(start & 0xffff) >>> 6] = block;
    return start;
  }

  /** Gives back what `allocate` returned. */
  release(start: number): void {
    const page = this.#used[start >>> 16] as (Block | undefined)[];
    const block = page[(start & 0xffff) >>> 6] as Block;
    page[(start & 0xffff) >>> 6] = undefined;
    this.#merge(block);
  }

  /**
   * A free block of at least `size` bytes, close to the smallest. It looks at one block and at no
   * more than seven words, however many blocks there are.
   */
  #fit(size: number): Block | undefined {
    const bin = binOf(size);
    const first = this.#bins[bin];
    if (first !== undefined && first.size >= size) return first;
    // All blocks of the bins above are larger.
    const filled = this.#filled;
    let word = (bin + 1) >>> 5;
    let bits = (filled[word] as number) & (-1 << (bin + 1));
    while (bits === 0) {
      if (++word === filled.length) return undefined;
      bits = filled[word] as number;
    }
    return this.#bins[32 * word + 31 - Math.clz32(bits & -bits)];
  }

  /** The same among all blocks of the bin that `size` belongs to: the last resort before growing. */
  #search(size: number): Block | undefined {
    let block = this.#bins[binOf(size)];
    while (block !== undefined && block.size < size) block = block.next;
    return block;
  }

  /** Grows the memory; returns a free block of at least `size` bytes. */
  #grow(size: number, bytes: number, asker: string): Block {
    const store = this.#store;
    if (store.kind === 'lent') {
      const [start, end] = store.take(size, asker);
      this.#view(store.memory.buffer);
      return this.#add(start, end);
    }
    if (store.kind === 'growing') {
      const pages = store.memory.buffer.byteLength / PAGE;
      // An eighth more than there is, so that many small arrays do not grow it many times.
      const least = Math.ceil((size + LOWEST) / PAGE);
      const wanted = Math.max(least, Math.ceil(pages / 8), 16);
      for (const more of wanted > least ? [wanted, least] : [least]) {
        const start = growBy(store.memory, more);
        if (start >= 0) {
          this.#view(store.memory.buffer);
          return this.#add(Math.max(start, LOWEST), start + more * PAGE);
        }
      }
    }
    let free = 0;
    for (let block of this.#bins) for (; block; block = block.next) free += block.size;
    const capacity = this.u8.byteLength;
    throw new RangeError(
      `${asker}: ${bytes} bytes asked for, ${free} bytes left of ${capacity} in the kernel's memory` +
        (store.kind === 'growing' ? ', which cannot grow that much' : ', whose size is fixed') +
        '; release arrays with free()',
    );
  }

  /** Adds memory; returns the free block that it is part of. What is not lent lies above all that there is. */
  #add(start: number, end: number): Block {
    const block = new Block(start, end - start);
    const top = this.#top;
    // Others may have grown the memory in between.
    if (top !== undefined && top.start + top.size === start) {
      block.below = top;
      top.above = block;
    }
    this.#top = block;
    return this.#merge(block);
  }

  /** Cuts a block that is in no list to `size` bytes; the rest is free. */
  #split(block: Block, size: number): void {
    if (block.size === size) return;
    const rest = new Block(block.start + size, block.size - size);
    block.size = size;
    rest.below = block;
    rest.above = block.above;
    if (rest.above !== undefined) rest.above.below = rest;
    block.above = rest;
    if (this.#top === block) this.#top = rest;
    this.#list(rest);
  }

  /** Frees a block, and merges it with the free blocks that touch it. */
  #merge(block: Block): Block {
    const { below, above } = block;
    if (above?.isFree) {
      this.#unlist(above);
      this.#join(block, above);
    }
    if (!below?.isFree) return this.#list(block);
    this.#unlist(below);
    this.#join(below, block);
    return this.#list(below);
  }

  #join(block: Block, above: Block): void {
    block.size += above.size;
    block.above = above.above;
    if (block.above !== undefined) block.above.below = block;
    if (this.#top === above) this.#top = block;
  }

  #list(block: Block): Block {
    const bin = binOf(block.size);
    const next = this.#bins[bin];
    block.isFree = true;
    block.previous = undefined;
    block.next = next;
    if (next !== undefined) next.previous = block;
    this.#bins[bin] = block;
    const word = bin >>> 5;
    this.#filled[word] = (this.#filled[word] as number) | (1 << bin);
    return block;
  }

  #unlist(block: Block): void {
    const { previous, next } = block;
    block.isFree = false;
    block.previous = undefined;
    block.next = undefined;
    if (next !== undefined) next.previous = previous;
    if (previous !== undefined) {
      previous.next = next;
      return;
    }
    const bin = binOf(block.size);
    this.#bins[bin] = next;
    if (next !== undefined) return;
    const word = bin >>> 5;
    this.#filled[word] = (this.#filled[word] as number) & ~(1 << bin);
  }

  #view(buffer: ArrayBufferLike): void {
    if (this.#isShared) this.#buffers.add(buffer);
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
  }
}

/** Grows a memory; the byte offset of what is new, or -1 where it cannot. */
function growBy(memory: WebAssembly.Memory, pages: number): number {
  if (memory.buffer.byteLength / PAGE + pages > MAX_PAGES) return -1;
  try {
    return memory.grow(pages) * PAGE;
  } catch {
    return -1;
  }
}

/** The bin of free blocks of that size: 64 bytes are in bin 1, 128 in bin 2, 4 GiB and more in 192. */
function binOf(size: number): number {
  const units = Math.min(size / ALIGNMENT, 2 ** 26);
  const shift = Math.max(28 - Math.clz32(units), 0);
  return 8 * shift + (units >>> shift);
}

export function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** A shared memory that grows: up to 4 GiB, less where a host (often a phone) refuses that. */
export function sharedMemory(capacity = 2 ** 32): WebAssembly.Memory | undefined {
  const most = Math.ceil(capacity / PAGE);
  for (const maximum of [most, ...[32768, 16384, 4096, 1024].filter((pages) => pages < most)]) {
    try {
      return new WebAssembly.Memory({ initial: 1, maximum, shared: true });
    } catch {}
  }
  return undefined;
}

/** An unshared memory. It never grows, since that would detach the arrays on it. */
export function fixedMemory(capacity: number): WebAssembly.Memory {
  const pages = Math.ceil(capacity / PAGE);
  // shared: not what Object.prototype may say.
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: false });
}
