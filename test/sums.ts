// The sums of the package: in the order that is documented, and exact ones.

/** Elements that are added up in f32, and those whose sum is added to the total. */
export const LEAF = 1024;
export const PIECE = 8192;

/** The order: 16 lanes in f32 for a leaf, the lanes in pairs in f64, leaves, then pieces. */
export function sumInOrder(losses: Float32Array): number {
  const { fround } = Math;
  let total = 0;
  for (let piece = 0; piece < losses.length; piece += PIECE) {
    const end = Math.min(piece + PIECE, losses.length);
    let sum = 0;
    for (let leaf = piece; leaf < end; leaf += LEAF) {
      const lanes = new Float32Array(16);
      for (let i = leaf; i < Math.min(leaf + LEAF, end); i++)
        lanes[i % 16] = fround((lanes[i % 16] as number) + (losses[i] as number));
      const [a, b, c, d] = [0, 4, 8, 12].map((v) => {
        const [w, x, y, z] = lanes.subarray(v, v + 4) as unknown as [
          number,
          number,
          number,
          number,
        ];
        return w + x + (y + z);
      }) as [number, number, number, number];
      sum += a + b + (c + d);
    }
    total += sum;
  }
  return total;
}

/** Sums of groups, such as rows, in f64: the value at `i` belongs to the group `of(i)`. */
export function groupSums(
  values: Float32Array,
  length: number,
  of: (i: number) => number,
): Float32Array {
  const totals = new Float64Array(length);
  values.forEach((value, i) => {
    totals[of(i)] = (totals[of(i)] as number) + value;
  });
  return Float32Array.from(totals);
}

/** A float as a multiple of 2^-149. */
function units(value: number): bigint {
  const word = new Uint32Array(Float32Array.of(value).buffer)[0] as number;
  const exponent = (word >>> 23) & 255;
  const mantissa = BigInt((word & 0x7fffff) | (exponent === 0 ? 0 : 0x800000));
  const size = mantissa << BigInt(Math.max(exponent, 1) - 1);
  return word >>> 31 ? -size : size;
}

/** The sum, rounded once: the language rounds a BigInt to the nearest number. */
export function exactSum(values: ArrayLike<number>): number {
  let sum = 0n;
  for (let i = 0; i < values.length; i++) sum += units(values[i] as number);
  return Number(sum) * 2 ** -149;
}
