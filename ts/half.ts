// 16-bit floats in JavaScript: f64 rounded to them, and they widened to f32.
import type { ElementType } from './options.ts';

export type HalfType = Exclude<ElementType, 'float32'>;

export function isHalf(type: string): type is HalfType {
  return type === 'float16' || type === 'bfloat16';
}

/** Of each type: the bits of the fraction, and the bias of the exponent. */
const FORMATS = {
  float16: { fraction: 10, bias: 15 },
  bfloat16: { fraction: 7, bias: 127 },
} as const;

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);

/** The bits of the number nearest to `value`; of two that are, of the even one. */
export function narrow(type: HalfType, value: number): number {
  const { fraction, bias } = FORMATS[type];
  const infinity = (2 * bias + 1) << fraction;
  float[0] = value;
  const high = words[1] as number;
  const sign = (high >>> 16) & 0x8000;
  const magnitude = Math.abs(value);
  if (magnitude < 2 ** (1 - bias)) {
    // Subnormal: f64 rounds what is added to 2^52 to an integer.
    return sign | (magnitude * 2 ** (bias - 1 + fraction) + 2 ** 52 - 2 ** 52);
  }
  if (Number.isNaN(value)) return sign | infinity | (1 << (fraction - 1));
  // The upper word of an f64, with a bit for all of the lower one.
  const bits = (high & 0x7fffffff) | Number(words[0] !== 0);
  const shift = 20 - fraction;
  const even = (bits >>> shift) & 1;
  const rounded = (bits + (1 << (shift - 1)) - 1 + even) >>> shift;
  return sign | Math.min(rounded - ((1023 - bias) << fraction), infinity);
}

/** The number nearest to `value`. */
export function rounded(type: ElementType, value: number): number {
  if (type === 'float32') return Math.fround(value);
  const nearest = new Float32Array(1);
  widen(type, Uint16Array.of(narrow(type, value)), 0, 1, nearest);
  return nearest[0] as number;
}

/** Whether these are the bits of a NaN. */
export function isNaNOf(type: HalfType, bits: number): boolean {
  const { fraction, bias } = FORMATS[type];
  return (bits & 0x7fff) > (2 * bias + 1) << fraction;
}

/** Widens `n` numbers, from `first` on, to the beginning of an array of floats. Exact. */
export function widen(
  type: HalfType,
  source: Uint16Array,
  first: number,
  n: number,
  floats: Float32Array,
): void {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, n);
  if (type === 'bfloat16') {
    for (let i = 0; i < n; i++) bits[i] = (source[first + i] as number) << 16;
    return;
  }
  for (let i = 0; i < n; i++) {
    const half = source[first + i] as number;
    bits[i] = ((half & 0x8000) << 16) | ((half & 0x7fff) << 13);
    // The exponents of f32 begin 112 lower.
    if ((half & 0x7c00) !== 0x7c00) floats[i] = (floats[i] as number) * 2 ** 112;
    else bits[i] = (bits[i] as number) | 0x7f800000;
  }
}
