// The kernel's memory and its allocator. WebAssembly has none of its own: all state is here.
//
// A heap hands out only what it grew itself, or what it made: several threads may each have a heap
// over one shared memory, and growing is the only thing that they do in common.

export const PAGE = 65536;
/** Keeps each array off the cache lines of the others. */
const ALIGNMENT = 64;
/** Nothing lies below: the build folds constants into addresses on that condition. */
const LOWEST = 1024;
/**
 * Keeps long arrays off the places of each other in pages and cache sets, on which arrays of a power
 * of two would all begin: 5 % faster at a million elements.
 */
const SKEW = 576;
/** Four GiB less one page: no byte offset, nor a length, leaves 32 bits. */
const MAX_PAGES = 65535;

interface Block {
  start: number;
  size: number;
}

/** What a heap is over: a memory that grows, or a buffer of a fixed size. */
export type Store =
  | { readonly kind: 'growing'; readonly memory: WebAssembly.Memory }
  | {
      readonly kind: 'fixed';
      readonly memory: WebAssembly.Memory;
      readonly start: number;
      readonly isOwned: boolean;
    };

/** Where arrays are made. */
export interface Home {
  /** True if nobody can detach its buffers. */
  readonly lasts: boolean;
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
  /** Views on the whole memory, renewed when it grows. Old views stay valid, only shorter. */
  u8!: Uint8Array;
  u32!: Uint32Array;
  f32!: Float32Array;
  f64!: Float64Array;
  /** Growing makes a new buffer object of the same memory; arrays may be on any of these. */
  readonly #buffers = new Set<ArrayBufferLike>();
  readonly #store: Store;
  readonly #free: Block[] = [];
  readonly #used = new Map<number, number>();

  constructor(store: Store) {
    this.#store = store;
    if (store.kind === 'growing') this.#view(store.memory.buffer);
    else {
      this.#view(store.memory.buffer);
      this.#add(roundUp(Math.max(store.start, LOWEST)), store.memory.buffer.byteLength);
    }
  }

  /** True if nobody can detach the memory. */
  get lasts(): boolean {
    return this.#store.kind === 'growing' || this.#store.isOwned;
  }

  make(bytes: number, asker: string): [buffer: ArrayBufferLike, offset: number] {
    const offset = this.allocate(bytes, asker);
    return [this.f32.buffer, offset];
  }

  has(buffer: ArrayBufferLike): boolean {
    if (buffer === this.f32.buffer || this.#buffers.has(buffer)) return true;
    // Another thread may have grown the memory. To ask it takes 50 ns, so ordinary buffers go first.
    if (this.#store.kind === 'fixed' || (buffer as object) instanceof ArrayBuffer) return false;
    if (buffer !== this.#store.memory.buffer) return false;
    this.#view(buffer);
    return true;
  }

  /** Takes `bytes` bytes, whose content is undefined. */
  allocate(bytes: number, asker: string): number {
    const least = roundUp(Math.max(bytes, 1));
    let size = least + (bytes >= PAGE ? SKEW : 0);
    let index = this.#fit(size);
    if (index < 0) {
      size = least;
      index = this.#fit(size);
    }
    if (index < 0) {
      this.#grow(size, bytes, asker);
      index = this.#fit(size);
    }
    const block = this.#free[index] as Block;
    const { start } = block;
    block.start += size;
    block.size -= size;
    if (block.size === 0) this.#free.splice(index, 1);
    this.#used.set(start, size);
    return start;
  }

  /** Gives back what `allocate` returned. */
  release(start: number): void {
    const size = this.#used.get(start) as number;
    this.#used.delete(start);
    this.#add(start, start + size);
  }

  #fit(size: number): number {
    return this.#free.findIndex((block) => block.size >= size);
  }

  #grow(size: number, bytes: number, asker: string): void {
    const store = this.#store;
    if (store.kind === 'growing') {
      const pages = store.memory.buffer.byteLength / PAGE;
      // An eighth more than there is, so that many small arrays do not grow it many times.
      const wanted = Math.max(Math.ceil((size + LOWEST) / PAGE), Math.ceil(pages / 8), 16);
      const least = Math.ceil((size + LOWEST) / PAGE);
      for (const more of wanted > least ? [wanted, least] : [least]) {
        const start = growBy(store.memory, more);
        if (start >= 0) {
          this.#view(store.memory.buffer);
          this.#add(Math.max(start, LOWEST), start + more * PAGE);
          return;
        }
      }
    }
    const free = this.#free.reduce((sum, block) => sum + block.size, 0);
    const capacity = this.u8.byteLength;
    throw new RangeError(
      `${asker}: ${bytes} bytes asked for, ${free} bytes left of ${capacity} in the kernel's memory` +
        (store.kind === 'growing' ? ', which cannot grow that much' : ', whose size is fixed'),
    );
  }

  /** Adds a free block, merged with its neighbours. */
  #add(start: number, end: number): void {
    const blocks = this.#free;
    let index = blocks.findIndex((block) => block.start > start);
    if (index < 0) index = blocks.length;
    const before = blocks[index - 1];
    const after = blocks[index];
    if (before && before.start + before.size === start) {
      before.size += end - start;
      if (after?.start === end) {
        before.size += after.size;
        blocks.splice(index, 1);
      }
    } else if (after?.start === end) {
      after.start = start;
      after.size += end - start;
    } else if (end > start) blocks.splice(index, 0, { start, size: end - start });
  }

  #view(buffer: ArrayBufferLike): void {
    this.#buffers.add(buffer);
    this.u8 = new Uint8Array(buffer);
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

function roundUp(bytes: number): number {
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
  return new WebAssembly.Memory({ initial: pages, maximum: pages });
}
