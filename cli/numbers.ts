// Numbers of any type, as the kernel takes them: f32, f16 or bf16.
import { widen } from '../ts/half.ts';
import type { Bytes } from './bytes.ts';
import { DataError } from './errors.ts';

/** What the kernel reads without a conversion. */
export type ElementType = 'float32' | 'float16' | 'bfloat16';

/** An array of the kernel: 16-bit floats are in a `Uint16Array`. */
export type Elements = Float32Array | Uint16Array;

/** The numbers of one file. */
export interface Column {
  /** The file, and which part of it, for errors. */
  readonly name: string;
  /** The type that `read` gives without a conversion. It can always give f32. */
  readonly type: ElementType;
  readonly length: number | undefined;
  readonly shape: readonly number[] | undefined;
  /** Whether the numbers lie column by column. */
  readonly isFortran: boolean;
  /** Whether a number can be missing. */
  readonly hasMissing: boolean;
  /** Reads up to `n` numbers to `to`, from `at` on; fewer only at the end. Missing ones are NaN, and told of. */
  read(to: Elements, at: number, n: number, missing: (at: number) => void): Promise<number>;
  /** Goes up to `n` numbers on; returns how many there were. */
  skip(n: number): Promise<number>;
  /** Where the number `i` is. */
  placeOf(i: number): string;
  close(): Promise<void>;
}

/** A type of numbers as it is stored. */
export interface NumberType {
  /** As in NumPy: `f4`, `i8`, `u1`, `b1`; and `bf16`. */
  readonly code: string;
  readonly bytes: number;
  readonly isBig: boolean;
}

const CODES = ['f2', 'f4', 'f8', 'bf16', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'b1'];
export const TYPE_NAMES = `${CODES.join(', ')}, with > before it for big-endian`;

/** The type with this name; undefined if there is none. */
export function numberType(name: string): NumberType | undefined {
  const [, order = '', code = ''] = /^([<>|=]?)(\w+)$/.exec(name) ?? [];
  if (!CODES.includes(code)) return undefined;
  const bytes = code === 'bf16' ? 2 : Number(code.slice(1));
  return { code, bytes, isBig: order === '>' && bytes > 1 };
}

/** Numbers that are converted at a time. */
const BLOCK = 1 << 16;

type Converted =
  | Float64Array
  | Uint16Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint32Array;
const ARRAYS = {
  f8: Float64Array,
  i1: Int8Array,
  i2: Int16Array,
  i4: Int32Array,
  u1: Uint8Array,
  u2: Uint16Array,
  u4: Uint32Array,
  b1: Uint8Array,
} as const;

/** Numbers that lie one after the other. */
export class Numbers implements Column {
  readonly name: string;
  readonly length: number | undefined;
  readonly shape: readonly number[] | undefined;
  readonly isFortran: boolean;
  readonly hasMissing = false;
  readonly #bytes: Bytes;
  readonly #type: NumberType;
  #scratch: Uint8Array | undefined;
  /** How many were read. */
  #at = 0;

  constructor(
    name: string,
    bytes: Bytes,
    type: NumberType,
    shape?: readonly number[],
    isFortran = false,
  ) {
    this.name = name;
    this.#bytes = bytes;
    this.#type = type;
    this.shape = shape;
    this.isFortran = isFortran;
    const { left } = bytes;
    this.length = shape
      ? shape.reduce((a, b) => a * b, 1)
      : left === undefined
        ? undefined
        : left / type.bytes;
    if (shape && left !== undefined && left < (this.length as number) * type.bytes)
      throw new DataError(
        `${name}: the file is truncated: it has ${left} bytes of data, and ${shape.join(' x ')} numbers of ${type.bytes} bytes need ${(this.length as number) * type.bytes}`,
      );
    if (!Number.isInteger(this.length ?? 0))
      throw new DataError(`${name}: ${left} bytes are no whole numbers of ${type.bytes} bytes`);
  }

  get type(): ElementType {
    const { code } = this.#type;
    return code === 'f2' ? 'float16' : code === 'bf16' ? 'bfloat16' : 'float32';
  }

  async read(to: Elements, at: number, n: number): Promise<number> {
    const wanted = Math.min(n, (this.length ?? Infinity) - this.#at);
    const isDirect =
      this.#type.code === 'f4' || (this.type !== 'float32' && to instanceof Uint16Array);
    const done = isDirect
      ? await this.#take(
          new Uint8Array(
            to.buffer,
            to.byteOffset + at * to.BYTES_PER_ELEMENT,
            wanted * to.BYTES_PER_ELEMENT,
          ),
        )
      : await this.#convert(to as Float32Array, at, wanted);
    this.#at += done;
    if (this.length !== undefined && done < wanted)
      throw new DataError(
        `${this.name}: the file ends after ${this.#at} of ${this.length} numbers`,
      );
    return done;
  }

  async skip(n: number): Promise<number> {
    const wanted = Math.min(n, (this.length ?? Infinity) - this.#at);
    const done = Math.floor((await this.#bytes.skip(wanted * this.#type.bytes)) / this.#type.bytes);
    this.#at += done;
    return done;
  }

  placeOf(i: number): string {
    return `${this.name}, element ${i}`;
  }

  close(): Promise<void> {
    return this.#bytes.close();
  }

  /** Reads whole numbers, in the order of bytes of this machine; returns how many. */
  async #take(target: Uint8Array): Promise<number> {
    const { bytes, isBig } = this.#type;
    const read = await this.#bytes.read(target);
    if (read % bytes !== 0)
      throw new DataError(
        `${this.name}: it ends in the middle of element ${this.#at + Math.floor(read / bytes)}`,
      );
    if (isBig) swap(target.subarray(0, read), bytes);
    return read / bytes;
  }

  async #convert(to: Float32Array, at: number, n: number): Promise<number> {
    const { code, bytes } = this.#type;
    this.#scratch ??= new Uint8Array(Math.min(BLOCK, this.length ?? BLOCK) * bytes);
    let done = 0;
    while (done < n) {
      const wanted = Math.min(BLOCK, n - done);
      const read = await this.#take(this.#scratch.subarray(0, wanted * bytes));
      convert(code, this.#scratch.buffer as ArrayBuffer, read, to.subarray(at + done));
      done += read;
      if (read < wanted) break;
    }
    return done;
  }
}

/** Rounds `n` numbers to f32. */
function convert(code: string, buffer: ArrayBuffer, n: number, to: Float32Array): void {
  if (code === 'f2' || code === 'bf16') {
    widen(code === 'f2' ? 'float16' : 'bfloat16', new Uint16Array(buffer), 0, n, to);
    return;
  }
  if (code === 'i8' || code === 'u8') {
    const from = code === 'i8' ? new BigInt64Array(buffer) : new BigUint64Array(buffer);
    for (let i = 0; i < n; i++) to[i] = Number(from[i]);
    return;
  }
  const from: Converted = new ARRAYS[code as keyof typeof ARRAYS](buffer);
  for (let i = 0; i < n; i++) to[i] = from[i] as number;
}

function swap(bytes: Uint8Array, size: number): void {
  const buffer = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length);
  if (size === 2) buffer.swap16();
  else if (size === 4) buffer.swap32();
  else buffer.swap64();
}
