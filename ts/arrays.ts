// Arrays in the kernel's memory.
import { bufferOf, describe, isArrayOf, isRevoked, lengthOf, type Values } from './check.ts';
import { type HalfType, isHalf, narrow } from './half.ts';
import { theKernel } from './kernel.ts';
import type { HalfArray } from './options.ts';
import { type ArrayType, Stamp, WIDTHS } from './stamp.ts';

const TYPES = ['Float32Array', 'Float16Array', 'Uint16Array', 'Uint8Array'] as const;
const MAKERS = 'float32(), float16(), bfloat16() or uint8()';

/** An array in the kernel's memory, that a `using` declaration releases. */
export type KernelArray<T> = T & Disposable;

/**
 * Makes a `Float32Array` in the kernel's memory, where every function uses it in place.
 *
 * Its memory is not garbage-collected: release it with {@link free}, or declare it with `using`.
 *
 * @param source its length, which gives zeros; or the values, which are copied and rounded to f32.
 * @returns the array, aligned to 64 bytes.
 * @throws {TypeError} if `source` is neither a number nor a list of numbers, or if one of its elements is
 *   not a number: null, a string, an array.
 * @throws {RangeError} if the length is not an integer from 0, or if the memory is exhausted.
 * @example
 * ```ts
 * import { float32, free, l1Loss } from 'smooth-l1';
 * const input = float32([1, 2, 3]);
 * const target = float32(3);
 * console.log(l1Loss(input, target)); // 2
 * free(input);
 * free(target);
 * ```
 */
export function float32(
  source: number | ArrayLike<number> | Iterable<number>,
): KernelArray<Float32Array> {
  return make('float32', Float32Array, source);
}

/**
 * The same as {@link float32} for bytes: a mask in the kernel's memory.
 *
 * @example
 * ```ts
 * import { free, uint8 } from 'smooth-l1';
 * const mask = uint8([1, 0, 1]);
 * free(mask);
 * ```
 */
export function uint8(
  source: number | ArrayLike<number> | Iterable<number>,
): KernelArray<Uint8Array> {
  return make('uint8', Uint8Array, source);
}

/**
 * The same as {@link float32} for f16, as `input` or `target`: values are rounded to the nearest f16.
 *
 * @returns a `Float16Array` where the host has it, else a `Uint16Array` of the bits. The functions know
 *   what either holds; of a view on a part of a `Uint16Array`, `inputType` or `targetType` must say it.
 * @example
 * ```ts
 * import { float16, float32, l1Loss } from 'smooth-l1';
 * console.log(l1Loss(float16([1, 2.5]), float32(2))); // 1.75
 * ```
 */
export function float16(
  source: number | ArrayLike<number> | Iterable<number>,
): KernelArray<HalfArray> {
  const own = (globalThis as { Float16Array?: ArrayClass<HalfArray> }).Float16Array;
  // A polyfill is no array that the engine knows.
  const isNative =
    own !== undefined && isArrayOf('Float16Array', new own(new ArrayBuffer(0), 0, 0));
  return make('float16', isNative ? own : Uint16Array, source);
}

/**
 * The same as {@link float16} for bf16, the upper half of an f32.
 *
 * @returns a `Uint16Array` of the bits.
 * @example
 * ```ts
 * import { bfloat16, l1Loss } from 'smooth-l1';
 * const [input, target] = [bfloat16([1, 2.5]), bfloat16(2)];
 * console.log(l1Loss(input, target)); // 1.75
 * target.set([0x3f80, 0x4000]); // the bits of 1 and 2
 * console.log(l1Loss(input, target)); // 0.25
 * ```
 */
export function bfloat16(
  source: number | ArrayLike<number> | Iterable<number>,
): KernelArray<Uint16Array> {
  return make('bfloat16', Uint16Array, source);
}

interface ArrayClass<T> {
  new (buffer: ArrayBufferLike, offset: number, length: number): T;
}

function make<T extends Values | HalfArray>(
  name: ArrayType,
  type: ArrayClass<T>,
  source: number | ArrayLike<number> | Iterable<number>,
): KernelArray<T> {
  const values = typeof source === 'number' ? undefined : listOf(name, source);
  const isView = isViewOfNumbers(values);
  const length =
    values === undefined
      ? (source as number)
      : isView
        ? lengthOf(name, 'values', values)
        : values.length;
  if (!Number.isInteger(length) || length < 0)
    throw new RangeError(`${name}: the length must be an integer from 0, got ${length}`);
  const { home } = theKernel();
  const [buffer, offset] = home.make(length * WIDTHS[name], name);
  const array = new type(buffer, offset, length);
  let isFilled = false;
  try {
    if (values === undefined) array.fill(0);
    else if (isHalf(name)) roundNumbers(name, values, new Uint16Array(buffer, offset, length));
    else if (isView) array.set(values);
    else copyNumbers(name, values, array);
    isFilled = true;
  } finally {
    if (!isFilled) home.release(offset);
  }
  new Stamp(array, name, home, offset);
  // A compiled `using` declaration looks for the second symbol where the host lacks the first.
  const key = Symbol.dispose ?? Symbol.for('Symbol.dispose');
  Object.defineProperty(array, key, { value: dispose });
  return array as KernelArray<T>;
}

/** The list that `source` is, or the values of its iterator, which runs before memory is taken. */
function listOf(name: string, source: unknown): ArrayLike<unknown> {
  if (typeof source === 'object' && source !== null && !isRevoked(source)) {
    if (typeof (source as ArrayLike<unknown>).length === 'number')
      return source as ArrayLike<unknown>;
    if (Symbol.iterator in source) return Array.from(source as Iterable<unknown>);
  }
  throw new TypeError(`${name}: expected a length or a list of numbers, got ${describe(source)}`);
}

/** True for a typed array, unless its elements are BigInts. */
function isViewOfNumbers(values: unknown): values is Float32Array {
  return ArrayBuffer.isView(values) && typeof (values as Float32Array)[0] !== 'bigint';
}

/**
 * Fills an array with the elements of a list, which may change meanwhile. The loop takes V8 4 ns an
 * element, up to 10 in programs with lists of many kinds. `set` takes 2, but 45 once a list had values
 * other than numbers, and it turns null into 0 and [7] into 7.
 */
function copyNumbers(name: string, values: ArrayLike<unknown>, array: Values): void {
  const { length } = array;
  for (let i = 0; i < length; i++) {
    const value = values[i];
    if (typeof value !== 'number') throw notANumber(name, i, value);
    array[i] = value;
  }
}

/** The same for 16-bit floats, whose bits are in `array`. */
function roundNumbers(type: HalfType, values: ArrayLike<unknown>, array: Uint16Array): void {
  const { length } = array;
  for (let i = 0; i < length; i++) {
    const value = values[i];
    if (typeof value !== 'number') throw notANumber(type, i, value);
    array[i] = narrow(type, value);
  }
}

function notANumber(name: string, index: number, value: unknown): TypeError {
  const isMissing = name !== 'uint8' && (value === null || value === undefined);
  return new TypeError(
    `${name}: values[${index}] must be a number, got ${describe(value)}` +
      (isMissing ? '; use NaN for what is missing, and ignoreNaNTargets to leave it out' : ''),
  );
}

function dispose(this: Values): void {
  free(this);
}

/**
 * Releases an array that {@link float32}, {@link float16}, {@link bfloat16} or {@link uint8} made. Its memory will be given to others: a
 * call that is given the array is an error from now on. Views on it (`subarray`) must not be used any
 * more either, but no call can know one: it reads, and writes, what is there by then.
 *
 * @example
 * ```ts
 * import { float32, free } from 'smooth-l1';
 * const array = float32(1000);
 * free(array);
 * ```
 * @throws {TypeError} if it is not an array.
 * @throws {RangeError} if it was released before, if it is a view on a part of such an array, or
 *   if it is not in the kernel's memory.
 */
export function free(array: Float32Array | HalfArray | Uint8Array): void {
  if (!TYPES.some((type) => isArrayOf(type, array)))
    throw new TypeError(`free: expected an array that ${MAKERS} made, got ${describe(array)}`);
  const stamp = Stamp.of(array);
  if (!stamp || stamp.offset < 0)
    throw new RangeError(
      stamp || theKernel().home.has(bufferOf(array))
        ? `free: the array was released before, or is a view on one that ${MAKERS} made`
        : "free: the array is not in the kernel's memory; float32() makes arrays there",
    );
  stamp.release();
}
