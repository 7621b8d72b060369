// 16-bit floats by the definition of their formats.
import { narrow } from '../ts/half.ts';

export type Half = 'float16' | 'bfloat16';
export type Type = Half | 'float32';
export const HALVES = ['float16', 'bfloat16'] as const;
const FORMATS = {
  float16: { fraction: 10, bias: 15 },
  bfloat16: { fraction: 7, bias: 127 },
};

/** The number that 16 bits stand for, from the definition of the format. */
export function numberOf(type: Half, word: number): number {
  const { fraction, bias } = FORMATS[type];
  const sign = word & 0x8000 ? -1 : 1;
  const exponent = (word & 0x7fff) >> fraction;
  const part = (word & ((1 << fraction) - 1)) / (1 << fraction);
  if (exponent === 2 * bias + 1) return part ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + part) * 2 ** (exponent - bias) : part * 2 ** (1 - bias));
}

/** All 65,536 numbers of a type. */
export const all = new Map<Half, Float32Array>(
  HALVES.map((type) => [type, Float32Array.from({ length: 65536 }, (_, i) => numberOf(type, i))]),
);

/** The bits of numbers that the type has. */
const words = new Map<Half, Map<number, number>>(
  HALVES.map((type) => [
    type,
    new Map(Array.from(all.get(type) as Float32Array, (x, i) => [x, i] as const).reverse()),
  ]),
);
export function wordsOf(type: Half, values: Float32Array): Uint16Array {
  const known = words.get(type) as Map<number, number>;
  // A Map takes -0 for 0.
  return Uint16Array.from(values, (x) => (Object.is(x, -0) ? 0x8000 : (known.get(x) as number)));
}

/** Rounds values of a call to those of a type. */
export const rounded = (type: Type, values: Float32Array): Float32Array =>
  type === 'float32' ? values : values.map((x) => numberOf(type, narrow(type, x)));
