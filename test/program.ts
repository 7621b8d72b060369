// Another program: a WebAssembly memory with an allocator that hands out its bytes one after the other.
import type { Put } from './calls.ts';

export class Program {
  readonly memory: WebAssembly.Memory;
  /** What was taken: byte offsets and lengths. */
  readonly taken: [offset: number, bytes: number][] = [];
  readonly released: number[] = [];
  #end: number;

  constructor(
    pages = 64,
    { shared = false, start = 1024, maximum = 2000 } = {},
    memory = new WebAssembly.Memory({ initial: pages, maximum, shared }),
  ) {
    this.memory = memory;
    this.#end = start;
  }

  readonly allocate = (bytes: number): number => {
    const offset = this.#end;
    this.#end += Math.ceil(bytes / 16) * 16;
    while (this.#end > this.memory.buffer.byteLength) this.memory.grow(1);
    this.taken.push([offset, bytes]);
    return offset;
  };

  readonly release = (offset: number): void => {
    this.released.push(offset);
  };

  /** An array of floats, `shift` elements beside what the allocator gives. */
  floats(values: ArrayLike<number>, shift = 0): Float32Array {
    const offset = this.allocate(4 * (values.length + shift)) + 4 * shift;
    const array = new Float32Array(this.memory.buffer, offset, values.length);
    array.set(values);
    return array;
  }

  bytes(values: ArrayLike<number>, shift = 0): Uint8Array {
    const offset = this.allocate(values.length + shift) + shift;
    const array = new Uint8Array(this.memory.buffer, offset, values.length);
    array.set(values);
    return array;
  }

  /** Puts the arrays of a call into the memory. */
  put(shift = 0): Put {
    return (_, values) =>
      (values.BYTES_PER_ELEMENT === 1
        ? this.bytes(values, shift)
        : this.floats(values, shift)) as typeof values;
  }

  /** Makes what was taken for arrays free again. */
  forget(end: number): void {
    this.#end = end;
  }

  get end(): number {
    return this.#end;
  }
}
