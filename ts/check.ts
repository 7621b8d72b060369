// Checks: each tests for success first, and makes its message only on failure.

// Taken now, since a page may replace them later, and an array may hide them.
const prototype = Object.getPrototypeOf(Float32Array.prototype);
const tagOf = getter(prototype, Symbol.toStringTag);
const getBuffer = getter(prototype, 'buffer');
const getByteOffset = getter(prototype, 'byteOffset');
const getLength = getter(prototype, 'length');
const indexOf: (this: unknown, value: number) => number = prototype.indexOf;

const setElements: (this: unknown, source: ArrayLike<number>, at: number) => void = prototype.set;

function getter(object: object, key: PropertyKey): (this: unknown) => unknown {
  return Object.getOwnPropertyDescriptor(object, key)?.get as (this: unknown) => unknown;
}

/** An array that a call can have. */
export type Values = Float32Array | Uint16Array | Uint8Array;

/** True for an array of that type of this or any other realm. */
export function isArrayOf(
  type: 'Float32Array' | 'Float16Array' | 'Uint16Array' | 'Uint8Array',
  value: unknown,
): boolean {
  const tag = tagOf.call(value);
  // Bytes are bytes.
  return tag === type || (tag === 'Uint8ClampedArray' && type === 'Uint8Array');
}

/** True for a typed array of any type and realm. */
export function isTypedArray(value: unknown): value is Float32Array | Uint8Array {
  return tagOf.call(value) !== undefined;
}

/** `wanted` is what the error says there should be, where an array is not the only choice. */
export function checkArray(
  fn: string,
  name: string,
  value: unknown,
  type: 'Float32Array' | 'Uint8Array',
  wanted?: string,
): void {
  if (!isArrayOf(type, value))
    throw new TypeError(`${fn}: ${name} must be ${wanted ?? `a ${type}`}, got ${describe(value)}`);
}

/** The length of an array, whatever it says of itself; 0 if it is detached. */
export function elements(array: Values): number {
  return getLength.call(array) as number;
}

/** The length of an array that is not detached. */
export function lengthOf(fn: string, name: string, array: Values): number {
  const length = elements(array);
  if (length === 0) checkAttached(fn, name, array);
  return length;
}

/** The buffer of an array, whatever it says of itself. */
export function bufferOf(array: ArrayBufferView): ArrayBufferLike {
  return getBuffer.call(array) as ArrayBufferLike;
}

/** True for an `ArrayBuffer` of this realm. `instanceof` could run code of the user's. */
export function isOrdinary(buffer: ArrayBufferLike): boolean {
  return Object.getPrototypeOf(buffer) === ArrayBuffer.prototype;
}

/** Where in its buffer an array is, whatever it says of itself. */
export function byteOffsetOf(array: ArrayBufferView): number {
  return getByteOffset.call(array) as number;
}

/** Copies `source` to an array, from element `at` on; whatever the array's own `set` may be. */
export function copyTo(array: Float32Array | Uint8Array, source: typeof array, at: number): void {
  setElements.call(array, source, at);
}

/** Throws for a detached array. It looks like an empty one, except that its methods throw. */
export function checkAttached(fn: string, name: string, array: Values): void {
  try {
    indexOf.call(array, 0);
  } catch {
    throw new TypeError(`${fn}: ${name} is detached, or lies outside of its resized buffer`);
  }
}

export function checkNumber(fn: string, name: string, value: unknown): asserts value is number {
  if (typeof value !== 'number')
    throw new TypeError(`${fn}: ${name} must be a number, got ${describe(value)}`);
}

/** True for a proxy that was revoked. The engine's error for whatever it is asked names no argument. */
export function isRevoked(value: unknown): boolean {
  try {
    Array.isArray(value);
    return false;
  } catch {
    return true;
  }
}

/** A value as an error message shows it. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value !== 'object' || value === null) return String(value);
  if (isRevoked(value)) return 'a Proxy that was revoked';
  const tag = tagOf.call(value) ?? Object.prototype.toString.call(value).slice(8, -1);
  return `${/^[AEIO]/.test(tag as string) ? 'an' : 'a'} ${tag}`;
}
