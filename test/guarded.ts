// The arrays of a call, each in the middle of a larger one: it can start at any multiple of four
// bytes, and a test sees whether a call writes beside it.
import { expect } from 'vitest';
import type { Package } from './backends.ts';
import type { Put } from './calls.ts';

const GUARD = 5;
const CANARY = 0x5a;

/** An array of 16 bits is a view: what its elements are, an option says. */
type Values = Float32Array | Uint16Array | Uint8Array;

interface Guarded {
  name: string;
  bytes: Uint8Array;
  before: Uint8Array;
  array: Values;
  isOutput: boolean;
}

export class GuardedArrays implements Disposable {
  readonly #smooth: Package;
  readonly #isInKernel: (name: string) => boolean;
  readonly #shift: number;
  readonly #owned: Values[] = [];
  readonly #arrays = new Map<string, Guarded>();

  /** `shift`: the elements by which arrays start beside an address that a vector fits. */
  constructor(smooth: Package, isInKernel: boolean | ((name: string) => boolean), shift = 0) {
    this.#smooth = smooth;
    this.#isInKernel = typeof isInKernel === 'boolean' ? () => isInKernel : isInKernel;
    this.#shift = shift;
  }

  readonly put: Put = (name, values, isOutput = false) => {
    const first = GUARD + this.#shift;
    const whole = this.#make(name, values.BYTES_PER_ELEMENT, first + values.length + GUARD);
    const bytes = new Uint8Array(whole.buffer, whole.byteOffset, whole.byteLength).fill(CANARY);
    const array = whole.subarray(first, first + values.length);
    array.set(values);
    this.#arrays.set(name, { name, bytes, before: bytes.slice(), array, isOutput });
    return array as typeof values;
  };

  #make(name: string, width: number, length: number): Values {
    if (!this.#isInKernel(name))
      return new (width === 1 ? Uint8Array : width === 2 ? Uint16Array : Float32Array)(length);
    const make = width === 1 ? 'uint8' : width === 2 ? 'bfloat16' : 'float32';
    const array = this.#smooth[make](length);
    this.#owned.push(array);
    return array;
  }

  /** As `put`, but a result whose name is in `shared` is in the place of that input. */
  sharing(shared: { [output: string]: string }): Put {
    return (name, values, isOutput = false) => {
      const input = isOutput ? this.#arrays.get(shared[name] ?? '') : undefined;
      if (!input) return this.put(name, values, isOutput);
      input.isOutput = true;
      return input.array as typeof values;
    };
  }

  /** Fails if anything but the elements of the results changed. */
  check(): void {
    for (const { name, bytes, before, array, isOutput } of this.#arrays.values()) {
      const start = array.byteOffset - bytes.byteOffset;
      const end = start + array.byteLength;
      const same = (from: number, to: number): boolean =>
        Buffer.compare(bytes.subarray(from, to), before.subarray(from, to)) === 0;
      if (!same(0, start) || !same(end, bytes.length))
        expect.fail(`what is around ${name} changed`);
      if (!isOutput && !same(start, end)) expect.fail(`${name} changed`);
    }
  }

  [Symbol.dispose](): void {
    for (const array of this.#owned) this.#smooth.free(array);
  }
}
