/**
 * The losses of this package for columns of Arrow tables, of `apache-arrow` and of `@uwdata/flechette`.
 *
 * The libraries are not imported: a column is known by its structure.
 *
 * @module
 */

import type {
  AddOptions,
  ElementOptions,
  GradOptions,
  HuberThreshold,
  InputArray,
  KernelArray,
  LossOf,
  LossOptions,
  MaskValues,
  OutOption,
  QuantileHuberThreshold,
  Reduction,
  ResultOf,
  SmoothL1Threshold,
  Weights,
} from '#core';
import * as core from '#core';
import { describe, isArrayOf, isTypedArray } from './check.ts';
import { widen } from './half.ts';

/** A column of a table: a `Vector` of `apache-arrow`, or a `Column` of `@uwdata/flechette`. */
export interface ArrowColumn {
  readonly length: number;
  readonly nullCount: number;
  /** Its chunks, one for each record batch. */
  readonly data: readonly { readonly length: number; readonly nullCount: number }[];
}

/**
 * Predictions or targets: a column, or an array as in `smooth-l1`. `null`, which `getChild` returns where a
 * table has no column of that name, is an error.
 */
export type ColumnInput = ArrowColumn | InputArray | null;

/** Bits as Arrow keeps them: element `i` is bit `(offset + i) % 8`, counted from the lowest, of its byte. */
export interface ArrowBitmap {
  readonly bitmap: Uint8Array;
  /** The bit of element 0. Default 0. */
  readonly offset?: number | undefined;
  /** The number of elements. Default: that of the input. */
  readonly length?: number | undefined;
}

/** A column of weights, or {@link Weights} as in `smooth-l1`. */
export type ColumnWeights =
  | Weights
  | ArrowColumn
  | { perRow: ArrowColumn }
  | { perColumn: ArrowColumn };

/** A column of booleans or bytes, a bitmap, or values as in `smooth-l1`. */
export type ColumnMaskValues = MaskValues | ArrowColumn | ArrowBitmap;

/** One value for each element, row or column, as the `Mask` of `smooth-l1`. */
export type ColumnMask =
  | ColumnMaskValues
  | { perRow: ColumnMaskValues }
  | { perColumn: ColumnMaskValues };

/** The options of `smooth-l1`, of which weights and masks may be columns. */
export interface ColumnOptions<R extends Reduction | undefined = Reduction | undefined>
  extends Omit<LossOptions, 'reduction' | 'insideWeights' | 'outsideWeights' | 'weight' | 'mask'> {
  /** Default `"mean"`. */
  reduction?: R | undefined;
  /** Multiplies the residual, before the loss. */
  insideWeights?: ColumnWeights | undefined;
  /** Multiplies the loss of an element. */
  outsideWeights?: ColumnWeights | undefined;
  /** Another name of `outsideWeights`. */
  weight?: ColumnWeights | undefined;
  /** An element counts where its value is not 0 or false, and neither `input` nor `target` is null. */
  mask?: ColumnMask | undefined;
}

type MaybeArray = Float32Array | undefined;

/** A loss of columns. `T` are the options of its threshold. */
export type ColumnLossFunction<T> = <
  _None extends never = never,
  R extends Reduction | undefined = undefined,
  Out extends MaybeArray = undefined,
>(
  input: ColumnInput,
  target: ColumnInput,
  options?: ColumnOptions<R> & T & OutOption<Out> & ElementOptions,
) => LossOf<R, Out>;

/** The gradient of a loss of columns to its input. */
export type ColumnBackwardFunction<T> = <Out extends MaybeArray = undefined>(
  gradOutput: number | Float32Array,
  input: ColumnInput,
  target: ColumnInput,
  options?: ColumnOptions & T & GradOptions & OutOption<Out>,
) => ResultOf<Out>;

/** A loss of columns and its gradient in one pass. */
export type ColumnWithGradFunction<T> = <
  _None extends never = never,
  R extends Reduction | undefined = undefined,
  Out extends MaybeArray = undefined,
>(
  input: ColumnInput,
  target: ColumnInput,
  gradInput: Float32Array,
  options?: ColumnOptions<R> & T & GradOptions & OutOption<Out> & ElementOptions,
) => LossOf<R, Out>;

// ---- columns ------------------------------------------------------------------------------------

/** A chunk of a column, as the two libraries have one. */
interface Chunk {
  readonly length: number;
  readonly nullCount: number;
  readonly type: { readonly typeId: number };
  /** Numbers begin at the chunk's first element, bits at `offset`. There may be more than are used. */
  readonly values?: Numbers | BigInt64Array | BigUint64Array | undefined;
  /** The validity bitmap of `apache-arrow`, which begins at `offset`. */
  readonly nullBitmap?: Uint8Array | null | undefined;
  readonly offset?: number | undefined;
  /** The validity bitmap of `@uwdata/flechette`. */
  readonly validity?: Uint8Array | null | undefined;
}

type Numbers = Float32Array | Float64Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;

/** Ids of types in Arrow's format. */
const INT = 2;
const FLOAT = 3;
const BOOL = 6;
const TYPE_NAMES = [
  ...['', 'Null', 'Int', 'Float', 'Binary', 'Utf8', 'Bool', 'Decimal', 'Date', 'Time', 'Timestamp'],
  ...['Interval', 'List', 'Struct', 'Union', 'FixedSizeBinary', 'FixedSizeList', 'Map', 'Duration'],
];

function isColumn(value: unknown): value is ArrowColumn {
  if (typeof value !== 'object' || value === null || isTypedArray(value)) return false;
  const { data, length } = value as ArrowColumn;
  return (
    typeof length === 'number' &&
    Array.isArray(data) &&
    data.every((chunk) => typeof chunk?.type?.typeId === 'number')
  );
}

const chunksOf = (column: ArrowColumn): readonly Chunk[] =>
  (column.data as readonly object[] as readonly Chunk[]).filter(({ length }) => length > 0);

const lengthOf = (chunks: readonly Chunk[]): number =>
  chunks.reduce((sum, { length }) => sum + length, 0);

/** What an error calls the type of a chunk. */
function typeName({ type }: Chunk): string {
  const { typeId } = type;
  return `a column of ${TYPE_NAMES[typeId] || (typeId === -1 ? 'Dictionary' : `type ${typeId}`)}`;
}

/** The numbers of a chunk, exactly as many as it has elements. */
function numbersOf(fn: string, name: string, chunk: Chunk): Numbers | BigInt64Array {
  const { length, type, values } = chunk;
  if (type.typeId !== FLOAT && type.typeId !== INT)
    throw new TypeError(
      `${fn}: ${name} is ${typeName(chunk)}; it must be one of floating-point numbers or integers`,
    );
  if (!isTypedArray(values) || (values as Numbers).length < length)
    throw new RangeError(
      `${fn}: a chunk of ${name} has ${(values as Numbers | undefined)?.length ?? 0} values for ${length} elements`,
    );
  const numbers = values as Numbers;
  return numbers.length === length ? numbers : numbers.subarray(0, length);
}

/** Whether the elements of a column are f16. */
function isHalf(chunk: Chunk | undefined): boolean {
  return (
    chunk?.type.typeId === FLOAT && (chunk.values as Numbers | undefined)?.BYTES_PER_ELEMENT === 2
  );
}

/** The bits of f16 or bf16, of a `Float16Array` too. */
function bitsOf(values: Numbers): Uint16Array {
  return isArrayOf('Uint16Array', values)
    ? (values as Uint16Array)
    : new Uint16Array(values.buffer as ArrayBuffer, values.byteOffset, values.length);
}

/** Bits, the first of them at `offset`. */
interface Bits {
  readonly bitmap: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

function checkBits(fn: string, name: string, { bitmap, offset, length }: Bits): void {
  if (!(Number.isInteger(offset) && offset >= 0))
    throw new RangeError(`${fn}: the offset of ${name} must be an integer from 0, got ${offset}`);
  if (!(Number.isInteger(length) && length >= 0))
    throw new RangeError(`${fn}: the length of ${name} must be an integer from 0, got ${length}`);
  if (8 * bitmap.length < offset + length)
    throw new RangeError(
      `${fn}: ${name} has ${8 * bitmap.length} bits; ${offset + length} are needed`,
    );
}

/** Writes 0 to the bytes from `at` on whose bit is 0. */
function clearWhereZero(bytes: Uint8Array, at: number, { bitmap, offset, length }: Bits): void {
  // Eight at a time: nulls are rare, and so is most of what is not a byte of ones.
  let i = 0;
  while (i < length) {
    const bit = (offset + i) & 7;
    const count = Math.min(8 - bit, length - i);
    const byte = (bitmap[(offset + i) >>> 3] as number) >>> bit;
    if ((~byte & ((1 << count) - 1)) !== 0)
      for (let j = 0; j < count; j++) if (((byte >>> j) & 1) === 0) bytes[at + i + j] = 0;
    i += count;
  }
}

// ---- a call -------------------------------------------------------------------------------------

/** The bytes that were copied out of columns so far. */
let copied = 0;

/** A call: it makes arrays of columns, in the kernel's memory, and releases them at its end. */
class Call {
  readonly #fn: string;
  readonly #options: Record<string, unknown>;
  /** The options that are not as they were given. */
  readonly #own: PropertyDescriptorMap = {};
  readonly #made: KernelArray<Float32Array | Uint8Array>[] = [];
  readonly #forbidsCopy: boolean;

  constructor(fn: string, options: object) {
    this.#fn = fn;
    this.#options = options as Record<string, unknown>;
    this.#forbidsCopy = this.#read('copy') === 'throw';
  }

  /** Reads an option, for the package too: it may be a getter. */
  #read(name: string): unknown {
    const value = this.#options[name];
    if (value !== undefined) this.#set(name, value);
    return value;
  }

  #set(name: string, value: unknown): void {
    this.#own[name] = { value, enumerable: true };
  }

  #make<A extends Float32Array | Uint8Array | Uint16Array>(
    name: string,
    make: (length: number) => KernelArray<unknown>,
    length: number,
  ): A {
    if (this.#forbidsCopy)
      throw new TypeError(
        `${this.#fn}: ${name} would be copied, which copy: "throw" forbids; a column of one chunk of f32 in the kernel's memory, without nulls, is used in place`,
      );
    const array = make(length) as KernelArray<A & Float32Array>;
    this.#made.push(array);
    copied += array.byteLength;
    return array;
  }

  /** `input` or `target`: a column as an array, which is its own if it is one chunk of f32 or f16. */
  input(name: 'input' | 'target', value: unknown): unknown {
    if (value === null)
      throw new TypeError(
        `${this.#fn}: ${name} is null: getChild() returns it where the table has no column of that name`,
      );
    if (typeof (value as { getChild?: unknown })?.getChild === 'function' && !isColumn(value))
      throw new TypeError(
        `${this.#fn}: ${name} is a table; it must be a column of it: getChild(name)`,
      );
    if (!isColumn(value)) return value;
    const chunks = chunksOf(value);
    const [first] = chunks;
    const given = this.#read(`${name}Type`);
    const isUint16 = first?.type.typeId === INT && isArrayOf('Uint16Array', first.values);
    const type = isUint16 && (given === 'float16' || given === 'bfloat16') ? given : undefined;
    if (!type && !isHalf(first)) return this.floats(name, value);
    const half = type ?? 'float16';
    const parts = chunks.map((chunk) => bitsOf(numbersOf(this.#fn, name, chunk) as Numbers));
    if (parts.length === 1) {
      this.#set(`${name}Type`, given ?? half);
      return parts[0];
    }
    const array = this.#make<Uint16Array>(
      name,
      half === 'float16' ? core.float16 : core.bfloat16,
      lengthOf(chunks),
    );
    const bits = bitsOf(array);
    let at = 0;
    for (const part of parts) {
      bits.set(part, at);
      at += part.length;
    }
    return array;
  }

  /** A column as floats. */
  floats(name: string, column: ArrowColumn): Float32Array {
    const fn = this.#fn;
    const chunks = chunksOf(column);
    const parts = chunks.map((chunk) => numbersOf(fn, name, chunk));
    const [first] = parts;
    if (parts.length === 1 && isArrayOf('Float32Array', first)) return first as Float32Array;
    const array = this.#make<Float32Array>(name, core.float32, lengthOf(chunks));
    let at = 0;
    for (const [i, part] of parts.entries()) {
      if (isHalf(chunks[i]))
        widen('float16', bitsOf(part as Numbers), 0, part.length, array.subarray(at));
      else if (part.BYTES_PER_ELEMENT === 8 && !isFloat64(part))
        for (const [j, value] of part.entries()) array[at + j] = Number(value);
      else array.set(part as Numbers, at);
      at += part.length;
    }
    return array;
  }

  /** Weights and masks that are columns become arrays. Elements that are null are masked. */
  options(input: unknown, target: unknown, n: number): object {
    for (const name of ['insideWeights', 'outsideWeights', 'weight']) {
      const value = this.#read(name);
      const [key, inner] = unwrap(value);
      if (isColumn(inner)) this.#set(name, wrap(key, this.floats(name, this.#whole(name, inner))));
    }
    const given = this.#read('mask');
    const [key, inner] = unwrap(given);
    const mask = this.#bytes(inner, n);
    if (mask !== inner) this.#set('mask', wrap(key, mask));
    const columns = [input, target].filter(isColumn).filter((column) => column.nullCount !== 0);
    if (columns.length > 0) this.#maskNulls(columns, key, mask, n);
    return Object.create(this.#options, this.#own);
  }

  /** A column that must be without nulls. */
  #whole(name: string, column: ArrowColumn): ArrowColumn {
    if (column.nullCount !== 0)
      throw new RangeError(
        `${this.#fn}: ${name} has nulls (${column.nullCount}); elements of input and target may be null, those of ${name} may not`,
      );
    return column;
  }

  /** A column or a bitmap as the bytes of a mask. Anything else is left to the package. */
  #bytes(mask: unknown, n: number): unknown {
    const fn = this.#fn;
    if (isColumn(mask)) {
      const chunks = chunksOf(this.#whole('mask', mask));
      const bytes = this.#make<Uint8Array>('mask', core.uint8, lengthOf(chunks)).fill(1);
      let at = 0;
      for (const chunk of chunks) {
        const { typeId } = chunk.type;
        const values = chunk.values as Uint8Array;
        if (typeId === BOOL) {
          const bits = { bitmap: values, offset: chunk.offset ?? 0, length: chunk.length };
          checkBits(fn, 'a chunk of mask', bits);
          clearWhereZero(bytes, at, bits);
        } else if (typeId === INT && values.BYTES_PER_ELEMENT === 1)
          bytes.set(numbersOf(fn, 'mask', chunk) as Uint8Array, at);
        else
          throw new TypeError(
            `${fn}: mask is ${typeName(chunk)}; it must be one of booleans or of integers of 8 bits`,
          );
        at += chunk.length;
      }
      return bytes;
    }
    if (typeof mask !== 'object' || mask === null || !('bitmap' in mask)) return mask;
    const { bitmap, offset = 0, length = n } = mask as ArrowBitmap;
    if (!isArrayOf('Uint8Array', bitmap))
      throw new TypeError(`${fn}: mask.bitmap must be a Uint8Array, got ${describe(bitmap)}`);
    checkBits(fn, 'mask', { bitmap, offset, length });
    const bytes = this.#make<Uint8Array>('mask', core.uint8, length).fill(1);
    clearWhereZero(bytes, 0, { bitmap, offset, length });
    return bytes;
  }

  /** Makes a mask of the validity bitmaps of these columns and of the mask that was given. */
  #maskNulls(columns: ArrowColumn[], key: Key, given: unknown, n: number): void {
    const rowLength = this.#read('rowLength') as number;
    const values =
      Array.isArray(given) && given.every((value) => typeof value === 'boolean')
        ? Uint8Array.from(given, Number)
        : given;
    const index = indexOf(key, values, n, rowLength);
    // The package says what is wrong with this mask.
    if (values !== undefined && index === undefined) return;
    const bytes = this.#make<Uint8Array>('the mask of nulls', core.uint8, n).fill(1);
    for (const column of columns) {
      let at = 0;
      for (const chunk of chunksOf(column)) {
        const { length, nullCount, offset = 0 } = chunk;
        const bitmap = chunk.nullBitmap ?? chunk.validity ?? new Uint8Array(0);
        if (nullCount !== 0) {
          checkBits(this.#fn, 'a validity bitmap', { bitmap, offset, length });
          // Of a column longer than the mask, which the package refuses, nothing is written beyond it.
          clearWhereZero(bytes, at, { bitmap, offset, length });
        }
        at += length;
      }
    }
    if (index !== undefined)
      for (let i = 0; i < n; i++) if ((values as Uint8Array)[index(i)] === 0) bytes[i] = 0;
    this.#set('mask', bytes);
  }

  end(): void {
    for (const array of this.#made) core.free(array);
  }
}

type Key = 'perRow' | 'perColumn' | undefined;

/** What is in `{ perRow: value }` or `{ perColumn: value }`. */
function unwrap(value: unknown): [key: Key, inner: unknown] {
  if (typeof value === 'object' && value !== null && !isTypedArray(value)) {
    const [key, ...more] = Object.keys(value);
    if (more.length === 0 && (key === 'perRow' || key === 'perColumn'))
      return [key, (value as Record<string, unknown>)[key]];
  }
  return [undefined, value];
}

const wrap = (key: Key, value: unknown): unknown => (key === undefined ? value : { [key]: value });

/** Where the value of an element is in a mask; undefined for what is no mask of so many elements. */
function indexOf(
  key: Key,
  mask: unknown,
  n: number,
  rowLength: number,
): ((i: number) => number) | undefined {
  if (!isArrayOf('Uint8Array', mask)) return undefined;
  const { length } = mask as Uint8Array;
  if (key === undefined && length === n) return (i) => i;
  if (key !== 'perColumn' && length === n / rowLength) return (i) => Math.floor(i / rowLength);
  if (key === 'perColumn' && length === rowLength) return (i) => i % rowLength;
  return undefined;
}

function isFloat64(values: object): boolean {
  return Object.prototype.toString.call(values) === '[object Float64Array]';
}

const ORDINARY = ['[object Object]', '[object Module]'];

/** Runs `run` with arrays in place of columns. `at` is the place of `input` among the arguments. */
function withArrays<Result>(
  fn: string,
  run: (...args: never[]) => Result,
  given: readonly unknown[],
  at: number,
  last: number,
): Result {
  const args = [...given];
  const options = given[last] ?? {};
  // The package says what is wrong with other options.
  if (!ORDINARY.includes(Object.prototype.toString.call(options))) return run(...(args as never[]));
  const call = new Call(fn, options);
  try {
    const [input, target] = given.slice(at, at + 2);
    args[at] = call.input('input', input);
    args[at + 1] = call.input('target', target);
    const n = (args[at] as { length?: number } | undefined)?.length ?? 0;
    args[last] = call.options(input, target, n);
    return run(...(args as never[]));
  } finally {
    call.end();
  }
}

function ofColumns<F>(fn: string, run: (...args: never[]) => unknown, at: number, last: number): F {
  const call = (...given: unknown[]): unknown => withArrays(fn, run, given, at, last);
  return Object.defineProperty(call, 'name', { value: fn }) as F;
}

const forward = <T>(fn: string, call: (...given: never[]) => unknown): ColumnLossFunction<T> =>
  ofColumns(fn, call, 0, 2);
const backward = <T>(fn: string, call: (...given: never[]) => unknown): ColumnBackwardFunction<T> =>
  ofColumns(fn, call, 1, 3);
const withGrad = <T>(fn: string, call: (...given: never[]) => unknown): ColumnWithGradFunction<T> =>
  ofColumns(fn, call, 0, 3);

/** A loss without a threshold. */
type NoThreshold = Record<never, never>;

/**
 * The smooth L1 loss of two columns, as `smoothL1Loss` of `smooth-l1` computes it of two arrays.
 *
 * An element whose input or target is null is masked. Numbers of 64 bits are rounded to f32.
 *
 * @param input the predictions: a column, or an array.
 * @param target as many true values. Its chunks may have other lengths.
 * @param options those of `smooth-l1`; weights and masks may be columns.
 * @returns the loss; a `Float32Array` of them for the reductions `"none"` and `"rows"`.
 * @throws {TypeError} for a column of anything but floats or integers, and as in `smooth-l1`.
 * @throws {RangeError} if weights or a mask have nulls, or a column has too few values or bits; and as in
 *   `smooth-l1`.
 * @example
 * ```ts
 * import { tableFromArrays } from 'apache-arrow';
 * import { smoothL1Loss } from 'smooth-l1/arrow';
 * const table = tableFromArrays({ p: Float32Array.of(0.5, 3), t: Float64Array.of(0, 0) });
 * console.log(smoothL1Loss(table.getChild('p'), table.getChild('t'), { reduction: 'sum' })); // 2.625
 * ```
 */
export const smoothL1Loss: ColumnLossFunction<SmoothL1Threshold> = /* @__PURE__ */ forward(
  'smoothL1Loss',
  core.smoothL1Loss,
);

/**
 * The gradient of {@link smoothL1Loss} to its input. It is 0 where an element is null.
 *
 * @param gradOutput the gradient of what follows to the loss: a number, or one number for each
 *   element or each row.
 * @returns `options.out`, or a new array.
 * @throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { columnFromArray, float32 } from '@uwdata/flechette';
 * import { smoothL1LossBackward } from 'smooth-l1/arrow';
 * const [input, target] = [[0.5, null, -3], [0, 0, 0]].map((values) => columnFromArray(values, float32()));
 * console.log(smoothL1LossBackward(3, input ?? null, target ?? null).join()); // 0.5,0,-1
 * ```
 */
export const smoothL1LossBackward: ColumnBackwardFunction<SmoothL1Threshold> =
  /* @__PURE__ */ backward('smoothL1LossBackward', core.smoothL1LossBackward);

/**
 * {@link smoothL1Loss} and, in `gradInput`, its gradient, in one pass.
 *
 * @returns and throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { tableFromArrays } from 'apache-arrow';
 * import { smoothL1LossWithGrad } from 'smooth-l1/arrow';
 * const table = tableFromArrays({ p: Float32Array.of(0.5, 3), t: Float32Array.of(0, 0) });
 * const gradient = new Float32Array(table.numRows);
 * console.log(smoothL1LossWithGrad(table.getChild('p'), table.getChild('t'), gradient)); // 1.3125
 * console.log(gradient.join()); // 0.25,0.5
 * ```
 */
export const smoothL1LossWithGrad: ColumnWithGradFunction<SmoothL1Threshold> =
  /* @__PURE__ */ withGrad('smoothL1LossWithGrad', core.smoothL1LossWithGrad);

/**
 * The Huber loss of two columns.
 *
 * @returns and throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { vectorFromArray } from 'apache-arrow';
 * import { huberLoss } from 'smooth-l1/arrow';
 * const [input, target] = [vectorFromArray([0.5, 3]), vectorFromArray([0, 0])];
 * console.log(huberLoss(input, target, { delta: 2, reduction: 'sum' })); // 4.125
 * ```
 */
export const huberLoss: ColumnLossFunction<HuberThreshold> = /* @__PURE__ */ forward(
  'huberLoss',
  core.huberLoss,
);

/**
 * The gradient of {@link huberLoss} to its input.
 *
 * @returns and throws as {@link smoothL1LossBackward}.
 * @example
 * ```ts
 * import { vectorFromArray } from 'apache-arrow';
 * import { huberLossBackward } from 'smooth-l1/arrow';
 * const [input, target] = [vectorFromArray([0.5, 3]), vectorFromArray([0, 0])];
 * console.log(huberLossBackward(2, input, target, { delta: 2 }).join()); // 0.5,2
 * ```
 */
export const huberLossBackward: ColumnBackwardFunction<HuberThreshold> = /* @__PURE__ */ backward(
  'huberLossBackward',
  core.huberLossBackward,
);

/**
 * {@link huberLoss} and, in `gradInput`, its gradient, in one pass.
 *
 * @returns and throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { vectorFromArray } from 'apache-arrow';
 * import { huberLossWithGrad } from 'smooth-l1/arrow';
 * const [input, target, gradient] = [vectorFromArray([0.5, 3]), vectorFromArray([0, 0]), new Float32Array(2)];
 * console.log(huberLossWithGrad(input, target, gradient, { delta: 2 }), gradient.join()); // 2.0625 0.25,1
 * ```
 */
export const huberLossWithGrad: ColumnWithGradFunction<HuberThreshold> = /* @__PURE__ */ withGrad(
  'huberLossWithGrad',
  core.huberLossWithGrad,
);

/**
 * The quantile Huber loss of two columns.
 *
 * @returns and throws as {@link smoothL1Loss}; {RangeError} if `tau` is not from 0 to 1.
 * @example
 * ```ts
 * import { vectorFromArray } from 'apache-arrow';
 * import { quantileHuberLoss } from 'smooth-l1/arrow';
 * const [input, target] = [vectorFromArray([-1, 1]), vectorFromArray([0, 0])];
 * console.log(quantileHuberLoss(input, target, { tau: 0.25, reduction: 'none' }).join()); // 0.125,0.375
 * ```
 */
export const quantileHuberLoss: ColumnLossFunction<QuantileHuberThreshold> =
  /* @__PURE__ */ forward('quantileHuberLoss', core.quantileHuberLoss);

/**
 * The gradient of {@link quantileHuberLoss} to its input.
 *
 * @returns and throws as {@link smoothL1LossBackward}.
 * @example
 * ```ts
 * import { vectorFromArray } from 'apache-arrow';
 * import { quantileHuberLossBackward } from 'smooth-l1/arrow';
 * const [input, target] = [vectorFromArray([-1, 1]), vectorFromArray([0, 0])];
 * console.log(quantileHuberLossBackward(2, input, target, { tau: 0.25 }).join()); // -0.25,0.75
 * ```
 */
export const quantileHuberLossBackward: ColumnBackwardFunction<QuantileHuberThreshold> =
  /* @__PURE__ */ backward('quantileHuberLossBackward', core.quantileHuberLossBackward);

/**
 * {@link quantileHuberLoss} and, in `gradInput`, its gradient, in one pass.
 *
 * @returns and throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { vectorFromArray } from 'apache-arrow';
 * import { quantileHuberLossWithGrad } from 'smooth-l1/arrow';
 * const [input, target, gradient] = [vectorFromArray([-1, 1]), vectorFromArray([0, 0]), new Float32Array(2)];
 * console.log(quantileHuberLossWithGrad(input, target, gradient, { tau: 0.25 })); // 0.25
 * console.log(gradient.join()); // -0.125,0.375
 * ```
 */
export const quantileHuberLossWithGrad: ColumnWithGradFunction<QuantileHuberThreshold> =
  /* @__PURE__ */ withGrad('quantileHuberLossWithGrad', core.quantileHuberLossWithGrad);

/**
 * The absolute error of two columns.
 *
 * @returns and throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { vectorFromArray } from 'apache-arrow';
 * import { l1Loss } from 'smooth-l1/arrow';
 * const [input, target] = [vectorFromArray([1, null, -3]), vectorFromArray([0, 0, 0])];
 * console.log(l1Loss(input, target, { divisor: 'unmasked' })); // 2
 * ```
 */
export const l1Loss: ColumnLossFunction<NoThreshold> = /* @__PURE__ */ forward(
  'l1Loss',
  core.l1Loss,
);

/**
 * The gradient of {@link l1Loss} to its input.
 *
 * @returns and throws as {@link smoothL1LossBackward}.
 * @example
 * ```ts
 * import { vectorFromArray } from 'apache-arrow';
 * import { l1LossBackward } from 'smooth-l1/arrow';
 * const [input, target] = [vectorFromArray([1, -3]), vectorFromArray([0, 0])];
 * console.log(l1LossBackward(1, input, target, { reduction: 'sum' }).join()); // 1,-1
 * ```
 */
export const l1LossBackward: ColumnBackwardFunction<NoThreshold> = /* @__PURE__ */ backward(
  'l1LossBackward',
  core.l1LossBackward,
);

/**
 * {@link l1Loss} and, in `gradInput`, its gradient, in one pass.
 *
 * @returns and throws as {@link smoothL1Loss}.
 * @example
 * ```ts
 * import { vectorFromArray } from 'apache-arrow';
 * import { l1LossWithGrad } from 'smooth-l1/arrow';
 * const [input, target, gradient] = [vectorFromArray([1, -3]), vectorFromArray([0, 0]), new Float32Array(2)];
 * console.log(l1LossWithGrad(input, target, gradient), gradient.join()); // 2 0.5,-0.5
 * ```
 */
export const l1LossWithGrad: ColumnWithGradFunction<NoThreshold> = /* @__PURE__ */ withGrad(
  'l1LossWithGrad',
  core.l1LossWithGrad,
);

/** Options of a call of {@link LossAccumulator}, of which weights and masks may be columns. */
export type ColumnAddOptions = Omit<
  AddOptions,
  'insideWeights' | 'outsideWeights' | 'weight' | 'mask'
> &
  Pick<ColumnOptions, 'insideWeights' | 'outsideWeights' | 'weight' | 'mask'>;

/**
 * The `LossAccumulator` of `smooth-l1`, to which columns can be added: those of one record batch after the
 * other, for an exact sum over a file that is longer than the memory.
 *
 * @example
 * ```ts
 * import { tableFromArrays } from 'apache-arrow';
 * import { L1Loss } from 'smooth-l1';
 * import { LossAccumulator } from 'smooth-l1/arrow';
 * const table = tableFromArrays({ p: Float32Array.of(1, -3), t: Float32Array.of(0, 0) });
 * const sum = new LossAccumulator(new L1Loss());
 * for (const batch of table.concat(table).batches) sum.add(batch.getChild('p'), batch.getChild('t'));
 * console.log(sum.value(), sum.count); // 2 4
 * ```
 */
export class LossAccumulator extends core.LossAccumulator {
  /** Adds the losses of columns. */
  override add(input: ColumnInput, target: ColumnInput, options?: ColumnAddOptions): this {
    const run = (...args: Parameters<core.LossAccumulator['add']>): this => super.add(...args);
    return withArrays('LossAccumulator.add', run, [input, target, options], 0, 2);
  }

  /** The same, with the gradient of their sum, times `scale`, in `gradInput`. */
  override addWithGrad(
    input: ColumnInput,
    target: ColumnInput,
    gradInput: Float32Array,
    options?: ColumnAddOptions & GradOptions,
  ): this {
    const given = [input, target, gradInput, options];
    const run = (...args: Parameters<core.LossAccumulator['addWithGrad']>): this =>
      super.addWithGrad(...args);
    return withArrays('LossAccumulator.addWithGrad', run, given, 0, 3);
  }
}

/**
 * The bytes that were copied so far: by the package, as its own `copiedBytes`, and out of columns.
 *
 * @example
 * ```ts
 * import { vectorFromArray } from 'apache-arrow';
 * import { copiedBytes, l1Loss } from 'smooth-l1/arrow';
 * const [whole, parts] = [vectorFromArray([1, 2, 3]), vectorFromArray([4]).concat(vectorFromArray([5, 6]))];
 * const before = copiedBytes();
 * console.log(l1Loss(whole, parts)); // 3
 * console.log(copiedBytes() - before); // 24
 * ```
 */
export function copiedBytes(): number {
  return core.copiedBytes() + copied;
}
