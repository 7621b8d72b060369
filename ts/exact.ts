// Exact sums of f32 values: integers of 384 bits in units of 2^-149, the smallest f32. They are the same in
// any order, and are rounded once, by `value`.
import { EXACT_WORDS, special } from './generated/job.ts';

const DIGITS = EXACT_WORDS - 1;
const BASE = 2 ** 32;

const scratch = new Float32Array(1);
const bits = new Uint32Array(scratch.buffer);

export class Exact {
  /** Digits of 32 bits, the lowest first; what has not been carried yet makes them larger, or negative. */
  readonly #digits = new Float64Array(DIGITS);
  /** Which values were not finite, as bits. */
  #specials = 0;

  clear(): void {
    this.#digits.fill(0);
    this.#specials = 0;
  }

  /** Adds a value. After a million of them, {@link carry} is due. */
  add(value: number): void {
    scratch[0] = value;
    const word = bits[0] as number;
    const exponent = (word >>> 23) & 255;
    if (exponent === 255) {
      this.#specials |= Number.isNaN(value)
        ? special.NAN
        : value > 0
          ? special.INFINITY
          : special.MINUS_INFINITY;
      return;
    }
    const mantissa = (word & 0x7fffff) | (exponent === 0 ? 0 : 0x800000);
    const place = Math.max(exponent, 1) - 1;
    const at = place >>> 5;
    const shift = place & 31;
    const sign = value < 0 ? -1 : 1;
    const digits = this.#digits;
    digits[at] = (digits[at] as number) + sign * ((mantissa << shift) >>> 0);
    // A shift by 32 would be one by 0.
    const high = (mantissa >>> 1) >>> (31 - shift);
    digits[at + 1] = (digits[at + 1] as number) + sign * high;
  }

  /** Adds another sum. */
  join(other: Exact): void {
    const digits = this.#digits;
    for (let i = 0; i < DIGITS; i++)
      digits[i] = (digits[i] as number) + (other.#digits[i] as number);
    this.#specials |= other.#specials;
  }

  /** Adds the sum in these words, as the kernel leaves it. */
  addWords(words: Uint32Array, at: number): void {
    const digits = this.#digits;
    for (let i = 0; i < DIGITS - 1; i++)
      digits[i] = (digits[i] as number) + (words[at + i] as number);
    // The highest has the sign.
    digits[DIGITS - 1] = (digits[DIGITS - 1] as number) + ((words[at + DIGITS - 1] as number) | 0);
    this.#specials |= words[at + DIGITS] as number;
  }

  /** Writes the sum as the kernel does: in two's complement, then what was not finite. */
  write(words: Uint32Array, at: number): void {
    this.carry();
    for (let i = 0; i < DIGITS; i++) words[at + i] = this.#digits[i] as number;
    words[at + DIGITS] = this.#specials;
  }

  /** Brings all digits but the highest into 0 to 2^32 - 1. */
  carry(): void {
    const digits = this.#digits;
    for (let i = 0; i < DIGITS - 1; i++) {
      const digit = digits[i] as number;
      const carried = Math.floor(digit / BASE);
      digits[i] = digit - carried * BASE;
      digits[i + 1] = (digits[i + 1] as number) + carried;
    }
  }

  /** The sum, rounded to the nearest number, of two that are as near to the even one. */
  value(): number {
    const specials = this.#specials;
    if (specials !== 0)
      return specials === special.INFINITY
        ? Infinity
        : specials === special.MINUS_INFINITY
          ? -Infinity
          : Number.NaN;
    this.carry();
    const isNegative = (this.#digits[DIGITS - 1] as number) < 0;
    const digits = isNegative ? opposite(this.#digits) : this.#digits;
    let top = DIGITS - 1;
    while (top > 2 && digits[top] === 0) top--;
    const [low, middle, high] = [digits[top - 2], digits[top - 1], digits[top]] as number[] as [
      number,
      number,
      number,
    ];
    // Any bit below these three digits is as good as one at their end: at least 12 are cut off there.
    const isMore = digits.subarray(0, top - 2).some((digit) => digit !== 0);
    // 53 bits and 43 bits: this sum is what is rounded.
    const upper = high * 2 ** 21 + Math.floor(middle / 2 ** 11);
    const lower = (middle % 2 ** 11) * BASE + (isMore ? low + 1 - (low % 2) : low);
    const size = (upper * 2 ** 43 + lower) * 2 ** (32 * (top - 2) - 149);
    return isNegative ? -size : size;
  }
}

/** The digits of a number of the other sign. */
function opposite(digits: Float64Array): Float64Array {
  const result = digits.map((digit) => -digit);
  for (let i = 0; i < DIGITS - 1; i++)
    if ((result[i] as number) < 0) {
      result[i] = (result[i] as number) + BASE;
      result[i + 1] = (result[i + 1] as number) - 1;
    }
  return result;
}
