// The kernel in plain JavaScript, for hosts without WebAssembly: the same jobs, one element at a time,
// on the arrays of a call wherever they are. It rounds to f32 and adds up in lanes as the SIMD kernel
// does, so that all results are the same to the bit.

import type { Binding, Bound } from './bind.ts';
import { Exact } from './exact.ts';
import {
  count,
  EXACT_WORDS,
  field,
  ignore,
  LEAF,
  layout,
  OPERAND_WORDS,
  OPERANDS,
  PIECE,
  TOTALS_WORDS,
  totals,
  want,
} from './generated/job.ts';
import { isHalf, widen } from './half.ts';
import type { Home } from './heap.ts';
import type { Exports, Views } from './job.ts';
import { LARGEST } from './loss.ts';
import { slot } from './plan.ts';

const { abs, fround } = Math;
const scratch = new Float32Array(1);
const bits = new Int32Array(scratch.buffer);
/** Floats that the SIMD kernel adds up side by side. */
const LANES = 16;

/** The arrays of this backend: each has a buffer of its own, which the garbage collector releases. */
export class PlainHome implements Home {
  readonly lasts = false;
  isUnloaded = false;
  readonly #buffers = new WeakSet<ArrayBufferLike>();

  make(bytes: number, asker: string): [buffer: ArrayBuffer, offset: number] {
    try {
      const buffer = new ArrayBuffer(bytes);
      this.#buffers.add(buffer);
      return [buffer, 0];
    } catch (error) {
      throw new RangeError(
        `${asker}: no memory left for ${bytes} bytes (${(error as Error).message})`,
      );
    }
  }

  has(buffer: ArrayBufferLike): boolean {
    return this.#buffers.has(buffer);
  }

  /** Nothing takes memory for a call here. */
  allocate(): number {
    return 0;
  }

  release(): void {}
}

/** Makes a kernel. `bindingAt` returns the arrays of a job. */
export function createPlainKernel(
  { u32, f32, f64 }: Views,
  bindingAt: (job: number) => Binding,
): Exports {
  const lanes = new Float32Array(LANES);
  const exactLoss = new Exact();
  const exactCount = new Exact();
  /** Inputs of 16 bits, widened. */
  const widened: (Float32Array | undefined)[] = [];

  /** An input as floats, with the element that they begin with. */
  function floatsOf(bound: Bound, first: number, n: number, side: number): [Float32Array, number] {
    const { type, array } = bound;
    if (!isHalf(type)) return [array as Float32Array, 0];
    const floats = widened[side] ?? new Float32Array(PIECE);
    widened[side] = floats;
    widen(type, array as Uint16Array, first, n, floats);
    return [floats, first];
  }

  /**
   * Adds the lanes up, in the order of the SIMD kernel, to the sum at `index`, after `done` elements of
   * the run, and clears them. The total is followed by that before the piece, and the piece.
   */
  function fold(index: number, done: number): void {
    let sum = 0;
    for (let half = 0; half < LANES; half += 8) sum += foldVector(half) + foldVector(half + 4);
    const isFirst = done % PIECE === 0;
    const before = f64[index + (isFirst ? 0 : 1)] as number;
    const piece = (isFirst ? 0 : (f64[index + 2] as number)) + sum;
    f64[index] = before + piece;
    f64[index + 1] = before;
    f64[index + 2] = piece;
    lanes.fill(0);
  }
  function foldVector(i: number): number {
    const [a, b, c, d] = [lanes[i], lanes[i + 1], lanes[i + 2], lanes[i + 3]] as number[];
    return (a as number) + (b as number) + ((c as number) + (d as number));
  }

  function run(job: number, first: number, n: number, work: number): void {
    const { bounds } = bindingAt(job);
    const isWidened =
      bounds[slot.INPUT]?.bytesPerElement === 2 || bounds[slot.TARGET]?.bytesPerElement === 2;
    // What is widened takes the room of a piece.
    const size = isWidened ? PIECE : n;
    for (let from = first; from < first + n; from += size)
      runPart(job, from, Math.min(size, first + n - from), work);
  }

  function runPart(job: number, first: number, n: number, work: number): void {
    const at = job / 4;
    const { bounds } = bindingAt(job);
    const wanted = u32[at + field.want] as number;
    const rowLength = u32[at + field.row_length] as number;
    const float = (name: 'pre' | 'inv' | 'lim' | 'half' | 'below' | 'above'): number =>
      f32[at + field[name]] as number;
    const scale = f32[at + field.scale] as number;
    const gradScale = f32[at + field.grad_scale] as number;
    const loss = work / 8 + totals.LOSS;

    /** Reads an operand of the job: a number, or an element of an array. */
    const operand = (index: number): ((element: number) => number) => {
      const word = at + OPERANDS + OPERAND_WORDS * index;
      const number = f32[word + 2] as number;
      const is = u32[word];
      if (is === layout.NUMBER) return () => number;
      const array = (bounds[index] as Bound).array as Float32Array;
      if (is === layout.ROW) return (element) => array[Math.floor(element / rowLength)] as number;
      if (is === layout.COLUMN) return (element) => array[element % rowLength] as number;
      return (element) => array[element] as number;
    };
    const array = (index: number): Float32Array | undefined =>
      (bounds[index] as Bound).array as Float32Array | undefined;
    /** Where a result goes, with the element that this begins with. */
    const resultAt = (index: number): [Float32Array | undefined, number] => {
      const { isFolded, piece } = bounds[index] as Bound;
      return isFolded ? [piece, first] : [array(index), 0];
    };

    const [x, xFirst] = floatsOf(bounds[slot.INPUT] as Bound, first, n, 0);
    const [y, yFirst] = floatsOf(bounds[slot.TARGET] as Bound, first, n, 1);
    const { isLongRow } = bounds[slot.CURVES] as Bound;
    const curves = array(slot.CURVES);
    /** The place of the curve of an element among those of its columns, or of a piece. */
    const columnOf = (element: number): number =>
      isLongRow ? element - first : element % rowLength;
    const columns = isLongRow ? PIECE : rowLength;
    const curve = (
      name: 'pre' | 'inv' | 'lim' | 'half' | 'below' | 'above',
      row: number,
    ): ((element: number) => number) => {
      const number = float(name);
      return curves
        ? (element) => curves[row * columns + columnOf(element)] as number
        : () => number;
    };
    const [out, outFirst] = resultAt(slot.OUT) as [Float32Array, number];
    if (isPlain(at, wanted, bounds) && !curves) {
      runPlain(
        {
          wanted,
          x,
          xFirst,
          y,
          yFirst,
          out: wanted & want.STORE ? out : array(slot.GRAD_INPUT),
          outFirst,
          pre: float('pre'),
          inv: float('inv'),
          lim: float('lim'),
          half: float('half'),
          scale: wanted & want.STORE ? scale : gradScale,
        },
        first,
        n,
        loss,
      );
      return;
    }

    const pre = curve('pre', 0);
    const inv = curve('inv', 1);
    const lim = curve('lim', 2);
    const half = curve('half', 3);
    const below = curve('below', 4);
    const above = curve('above', 5);
    const inside = operand(slot.INSIDE);
    const outside = operand(slot.OUTSIDE);
    const upstream = wanted & want.UPSTREAM ? operand(slot.UPSTREAM) : () => 1;
    const direction = operand(slot.DIRECTION);
    const mask = operand(slot.MASK);
    const ignoresNaN = ((u32[at + field.ignore] as number) & ignore.NAN) !== 0;
    // NaN, which equals nothing, if there is none.
    const ignoredValue = f32[at + field.ignore_value] as number;
    const counted = u32[at + field.count] as number;
    const shift = f32[at + field.shift] as number;
    const accumulates = u32[at + field.accumulate] !== 0;
    const isGradient = (wanted & (want.GRAD | want.CURVATURE)) !== 0;
    const robustWeights = array(slot.ROBUST_WEIGHTS) as Float32Array;
    const put = (index: number): ((element: number, value: number) => void) => {
      const [result, from] = isGradient ? resultAt(index) : [undefined, 0];
      if (!result) return () => {};
      return (element, value) => {
        const i = element - from;
        result[i] = accumulates ? (result[i] as number) + value : value;
      };
    };
    const putInput = put(slot.GRAD_INPUT);
    const putTarget = put(slot.GRAD_TARGET);
    const putInside = put(slot.GRAD_INSIDE);
    const putOutside = put(slot.GRAD_OUTSIDE);
    const isSlope = (wanted & (want.BETA | want.DELTA)) !== 0;
    const counts = new Float32Array(LANES);
    const addsExactly = (wanted & want.EXACT) !== 0;
    const countsExactly = counted === count.EXACT_WEIGHTS;
    const exactAt = work / 4 + 2 * TOTALS_WORDS;
    readExact(exactAt, addsExactly, countsExactly);

    // Everything is read before anything is written: a result may be on top of an operand.
    for (let i = first; i < first + n; i++) {
      const target = y[i - yFirst] as number;
      const isMasked =
        mask(i) === 0 || target === ignoredValue || (ignoresNaN && Number.isNaN(target));
      const input = x[i - xFirst] as number;
      const insideWeight = inside(i);
      const outsideWeight = outside(i);
      const upstreamGrad = upstream(i);
      const gradGrad = direction(i);
      const lane = (i - first) % LANES;
      if (!isMasked && countsExactly) exactCount.add(outsideWeight);
      else if (!isMasked && counted !== count.NOTHING)
        counts[lane] =
          (counts[lane] as number) +
          (counted === count.WEIGHTS
            ? outsideWeight
            : counted === count.NONZERO
              ? Number(outsideWeight !== 0)
              : 1);
      const d = fround(input - target);
      const e = fround(insideWeight * d);
      const limit = lim(i);
      const side = e < 0 ? below(i) : above(i);
      const slope = slopeOf(e, pre(i), inv(i), bitsOf(limit));
      const bounded = slope > LARGEST ? LARGEST : Math.max(slope, -LARGEST);
      const halfOf = half(i);
      const t = fround(slope * side);
      const lossOfElement = fround(lossOf(e, bounded, halfOf) * side);

      const weighted = isMasked ? 0 : fround(outsideWeight * lossOfElement);
      if (addsExactly && !isSlope) exactLoss.add(weighted);
      if (wanted & want.SUM) lanes[lane] = (lanes[lane] as number) + weighted;
      if (wanted & want.STORE) out[i - outFirst] = fround(weighted * scale) + 0;
      if (wanted & want.ROWS) {
        const row = work / 8 + totals.ROW;
        let sum = (f64[row] as number) + weighted;
        if ((i + 1) % rowLength === 0) {
          out[Math.floor(i / rowLength)] = sum * scale;
          sum = 0;
        }
        f64[row] = sum;
      }
      const g = fround(gradScale * upstreamGrad);
      const pull = fround(g * outsideWeight);
      if (wanted & want.GRAD) {
        const toInput = isMasked ? 0 : fround(t * fround(pull * insideWeight));
        putInput(i, toInput);
        putTarget(i, isMasked ? 0 : -toInput);
        putInside(i, isMasked ? 0 : fround(fround(pull * t) * d));
        putOutside(i, isMasked ? 0 : fround(g * fround(lossOfElement - shift)));
      }
      if (wanted & want.ROBUST) {
        const top = fround(pre(i) * inv(i));
        const weight = limit >= fround(abs(e) * top) ? top : fround(limit / abs(e));
        const factor = fround(fround(outsideWeight * insideWeight) * insideWeight);
        const weighted = factor === 0 ? 0 : fround(fround(weight * side) * factor);
        robustWeights[i] = isMasked ? 0 : fround(weighted * scale);
      }
      if (wanted & want.CURVATURE) {
        const bend = abs(e) >= halfOf ? 0 : fround(inv(i) + fround(e * 0));
        const weight = fround(fround(pull * insideWeight) * insideWeight);
        const h = fround(fround(bend * weight) * gradGrad);
        putInput(i, isMasked ? 0 : fround(h * pre(i)));
      }
      if (isSlope && !isMasked) {
        const slopeOfThreshold =
          wanted & want.BETA
            ? fround(fround(slope * slope) * -0.5)
            : abs(e) <= limit
              ? 0
              : abs(fround(e - slope));
        const value = fround(slopeOfThreshold * pull);
        if (addsExactly) exactLoss.add(value);
        else lanes[lane] = (lanes[lane] as number) + value;
      }
      const done = i + 1 - first;
      if (done % LEAF === 0 || done === n) {
        const leaf = done - 1 - ((done - 1) % LEAF);
        fold(loss, leaf);
        lanes.set(counts);
        fold(work / 8 + totals.COUNT, leaf);
        counts.fill(0);
        exactLoss.carry();
        exactCount.carry();
      }
    }
    writeExact(exactAt, addsExactly, countsExactly);
  }

  /** Goes on with the exact sums of a run before. */
  function readExact(at: number, addsExactly: boolean, countsExactly: boolean): void {
    exactLoss.clear();
    exactCount.clear();
    if (addsExactly) exactLoss.addWords(u32, at);
    if (countsExactly) exactCount.addWords(u32, at + EXACT_WORDS);
  }
  function writeExact(at: number, addsExactly: boolean, countsExactly: boolean): void {
    if (addsExactly) exactLoss.write(u32, at);
    if (countsExactly) exactCount.write(u32, at + EXACT_WORDS);
  }

  /** True for passes without weights, masks and the like. */
  function isPlain(at: number, wanted: number, bounds: readonly Bound[]): boolean {
    const operandIs = (index: number): boolean => {
      const word = at + OPERANDS + OPERAND_WORDS * index;
      return u32[word] === layout.NUMBER && f32[word + 2] === 1;
    };
    const isOne = wanted === want.SUM || wanted === want.GRAD || wanted === want.STORE;
    return (
      (isOne || wanted === (want.SUM | want.GRAD)) &&
      u32[at + field.count] === count.NOTHING &&
      u32[at + field.accumulate] === 0 &&
      u32[at + field.ignore] === 0 &&
      f32[at + field.below] === 1 &&
      f32[at + field.above] === 1 &&
      f32[at + field.lim] !== Infinity &&
      operandIs(slot.INSIDE) &&
      operandIs(slot.OUTSIDE) &&
      operandIs(slot.MASK) &&
      !bounds[slot.GRAD_TARGET]?.array &&
      !bounds[slot.GRAD_INSIDE]?.array &&
      !bounds[slot.GRAD_OUTSIDE]?.array
    );
  }

  /** Computes a plain pass, several times as fast as the general loop. */
  function runPlain(
    { wanted, x, xFirst, y, yFirst, out, outFirst, pre, inv, lim, half, scale }: PlainPass,
    first: number,
    n: number,
    total: number,
  ): void {
    const sums = (wanted & want.SUM) !== 0;
    const stores = (wanted & want.STORE) !== 0;
    const grads = (wanted & want.GRAD) !== 0;
    const limit = bitsOf(lim);
    for (let leaf = first; leaf < first + n; leaf += LEAF) {
      const end = Math.min(leaf + LEAF, first + n);
      for (let i = leaf; i < end; i++) {
        const d = fround((x[i - xFirst] as number) - (y[i - yFirst] as number));
        const t = slopeOf(d, pre, inv, limit);
        const loss = lossOf(d, t, half);
        if (sums) {
          const lane = (i - leaf) & (LANES - 1);
          lanes[lane] = (lanes[lane] as number) + loss;
        }
        if (stores) (out as Float32Array)[i - outFirst] = fround(loss * scale) + 0;
        if (grads) (out as Float32Array)[i] = fround(t * scale);
      }
      if (sums) fold(total, leaf - first);
    }
  }

  return { run, prepare: () => {}, work_size: () => 8 * (TOTALS_WORDS + EXACT_WORDS) };
}

interface PlainPass {
  wanted: number;
  x: Float32Array;
  /** The element that `x` begins with. */
  xFirst: number;
  y: Float32Array;
  yFirst: number;
  out: Float32Array | undefined;
  /** The element that `out` begins with. */
  outFirst: number;
  pre: number;
  inv: number;
  lim: number;
  half: number;
  scale: number;
}

/**
 * The slope at residual `d`, with the bits of the limit. It is clamped by the bits: engines make
 * branches of Math.min and Math.max, which take twice as long where the residuals are random.
 */
function slopeOf(d: number, pre: number, inv: number, limit: number): number {
  const slope = fround(fround(d * pre) * inv);
  const word = bitsOf(slope);
  const magnitude = word & 0x7fffffff;
  const excess = limit - magnitude;
  bits[0] = (word & ~0x7fffffff) | (magnitude + (excess & (excess >> 31)));
  return Number.isNaN(slope) ? slope : (scratch[0] as number);
}

/** The loss at residual `d`, whose slope is `t`. */
function lossOf(d: number, t: number, half: number): number {
  return fround(t * fround(d - fround(half * t)));
}

function bitsOf(x: number): number {
  scratch[0] = x;
  return bits[0] as number;
}
