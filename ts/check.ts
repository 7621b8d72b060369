// Checks: each tests for success first, and makes its message only on failure.

// Taken now, since a page may replace them later, and an array may hide them.
const prototype = Object.getPrototypeOf(Float32Array.prototype);
const tagOf = getter(prototype, Symbol.toStringTag);
const at: (this: unknown, index: number) => unknown = prototype.at;

function getter(object: object, key: PropertyKey): (this: unknown) => unknown {
  return Object.getOwnPropertyDescriptor(object, key)?.get as (this: unknown) => unknown;
}

/** True for an array of that type of this or any other realm. */
export function isArrayOf(type: 'Float32Array' | 'Uint8Array', value: unknown): boolean {
  return tagOf.call(value) === type;
}

export function checkArray(
  fn: string,
  name: string,
  value: unknown,
  type: 'Float32Array' | 'Uint8Array',
): void {
  if (tagOf.call(value) !== type)
    throw new TypeError(`${fn}: ${name} must be a ${type}, got ${describe(value)}`);
}

/** The length of an array that is not detached. */
export function lengthOf(fn: string, name: string, array: Float32Array | Uint8Array): number {
  const { length } = array;
  if (length === 0) checkAttached(fn, name, array);
  return length;
}

/** A detached array looks like an empty one, except that its methods throw. */
function checkAttached(fn: string, name: string, array: Float32Array | Uint8Array): void {
  try {
    at.call(array, 0);
  } catch {
    throw new TypeError(`${fn}: ${name} is detached, or lies outside of its resized buffer`);
  }
}

export function checkNumber(fn: string, name: string, value: unknown): asserts value is number {
  if (typeof value !== 'number')
    throw new TypeError(`${fn}: ${name} must be a number, got ${describe(value)}`);
}

/** A value as an error message shows it. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value !== 'object' || value === null) return String(value);
  const tag = tagOf.call(value) ?? Object.prototype.toString.call(value).slice(8, -1);
  return Array.isArray(value) ? 'an Array' : `a ${tag}`;
}
