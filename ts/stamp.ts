// What the package remembers of an array that it made: asking the array itself takes V8 35 ns.
import { isRevoked, type Values } from './check.ts';
import type { Home } from './heap.ts';
import type { ElementType } from './options.ts';

/** What the elements of an array are. */
export type ArrayType = ElementType | 'uint8';

/** The bytes of an element. */
export const WIDTHS = { float32: 4, float16: 2, bfloat16: 2, uint8: 1 } as const;

// A property, since most arrays have none: V8 takes 3 ns to miss it, 19 to miss a private field.
const STAMP = Symbol('smooth-l1');

/** How many arrays were released so far. */
export let releases = 0;

/** Has arrays looked at anew, by calls under way too, since a memory was attached, detached or unloaded. */
export function countChange(): void {
  releases++;
}

/** Whoever finds the property can read a stamp; nobody can make or change one. */
export class Stamp {
  /** The array that it belongs to: a stamp that was copied or inherited does not count. */
  readonly #array: object;
  readonly #home: Home;
  readonly #type: ArrayType;
  #offset: number;
  #length: number;

  /** Stamps an array of `home`, which is at that byte offset. */
  constructor(array: Values, type: ArrayType, home: Home, offset: number) {
    this.#array = array;
    this.#home = home;
    this.#type = type;
    this.#offset = offset;
    this.#length = home.lasts ? array.length : -1;
    // A property of its own would hide a getter.
    Object.freeze(this);
    Object.defineProperty(array, STAMP, { value: this });
  }

  /** The stamp of an array. Views on a part of an array have none. */
  static of(value: unknown): Stamp | undefined {
    try {
      const stamp = (value as { [STAMP]?: Stamp } | null | undefined)?.[STAMP];
      // A value that is not a stamp has no such private field: this throws.
      return stamp !== undefined && stamp.#array === value ? stamp : undefined;
    } catch (error) {
      // The checks name the argument.
      if (isRevoked(value)) return undefined;
      throw error;
    }
  }

  /** Whether the array was made by `home`. */
  isOf(home: Home): boolean {
    return this.#home === home;
  }

  /** What its elements are, even after it was released. */
  get type(): ArrayType {
    return this.#type;
  }

  /** The byte offset of the array; -1 if it was released. */
  get offset(): number {
    return this.#offset;
  }

  /** The length of the array; -1 if it was released, or if somebody can detach its buffer. */
  get length(): number {
    return this.#length;
  }

  /** Whether it must not be used any more: after `free`, or after `unload`. */
  get isReleased(): boolean {
    return this.#offset < 0 || this.#home.isUnloaded;
  }

  /** Gives the memory of the array back, once. */
  release(): void {
    if (this.#offset < 0) return;
    releases++;
    this.#home.release(this.#offset);
    this.#offset = -1;
    this.#length = -1;
  }
}

// A stamp leads to its prototype, which must not lead to the constructor.
delete (Stamp.prototype as { constructor?: unknown }).constructor;
Object.freeze(Stamp.prototype);
