// The kernel in plain JavaScript, for hosts without WebAssembly: the same job, the same memory
// layout, one element at a time. It rounds to f32 where the SIMD kernel does, so that losses,
// gradients and row sums are the same to the bit; long sums differ in their last digits, being
// added in another order.

import { LARGEST } from './curve.ts';
import type { Exports } from './exports.ts';
import { count, field, kind, shape, want } from './generated/job.ts';

const { abs, fround } = Math;
const scratch = new Float32Array(1);
const bits = new Int32Array(scratch.buffer);

/** Makes a kernel over a buffer. The functions are those of crate/lib.rs. */
export function createPlainKernel(buffer: ArrayBufferLike): Exports {
  const words = new Uint32Array(buffer);
  const floats = new Float32Array(buffer);
  const doubles = new Float64Array(buffer);
  const bytes = new Uint8Array(buffer);

  function run(job: number, first: number, n: number, work: number): void {
    const word = (name: keyof typeof field): number => words[job / 4 + field[name]] as number;
    const float = (name: keyof typeof field): number => floats[job / 4 + field[name]] as number;
    const wanted = word('want');
    const origin = word('origin');
    const rowLength = word('row_length');
    const rowOrigin = word('row_origin');

    if (isPlain(wanted, word('shape'))) {
      const place = (name: 'input' | 'target' | 'out' | 'grad_input'): Float32Array =>
        floats.subarray(word(name) / 4 + first - origin, word(name) / 4 + first - origin + n);
      const numbers = {
        pre: float('pre'),
        inv: float('inv'),
        lim: float('lim'),
        half: float('half'),
        scale: float(wanted & want.STORE ? 'scale' : 'grad_scale'),
      };
      const out = place(wanted & want.STORE ? 'out' : 'grad_input');
      const total = doubles[work / 8] as number;
      doubles[work / 8] = runPlain(wanted, place('input'), place('target'), out, total, numbers);
      return;
    }

    /** Reads an operand of the job: a number, or an element of an array. */
    const operand = (
      is: number,
      pointer: number,
      number: number,
      array: Float32Array | Uint8Array = floats,
    ): ((at: number) => number) => {
      const base = pointer / array.BYTES_PER_ELEMENT;
      if (is === kind.FULL) return (at) => array[base + at - origin] as number;
      if (is === kind.ROW)
        return (at) => array[base + Math.floor(at / rowLength) - rowOrigin] as number;
      if (is === kind.COLUMN) return (at) => array[base + (at % rowLength)] as number;
      return () => number;
    };
    const curve = (name: 'pre' | 'inv' | 'lim' | 'half', index: number): ((at: number) => number) =>
      operand(word('curves_kind'), word('curves') + 4 * index * rowLength, float(name));
    const full = (name: keyof typeof field): number => word(name) / 4 - origin;

    const input = full('input');
    const target = full('target');
    const pre = curve('pre', 0);
    const inv = curve('inv', 1);
    const lim = curve('lim', 2);
    const half = curve('half', 3);
    const inside = operand(word('inside_kind'), word('inside'), float('inside_number'));
    const outside = operand(word('outside_kind'), word('outside'), float('outside_number'));
    const upstream = operand(
      wanted & want.UPSTREAM ? word('upstream_kind') : kind.NUMBER,
      word('upstream'),
      1,
    );
    const direction = operand(word('direction') ? kind.FULL : kind.NUMBER, word('direction'), 1);
    const mask = operand(word('mask_kind'), word('mask'), 1, bytes);
    const ignoresNaN = word('ignore_nan') !== 0;
    const counted = word('count');
    const scale = float('scale');
    const gradScale = float('grad_scale');
    const shift = float('shift');
    const accumulates = word('accumulate') !== 0;
    const out = word('out') / 4;
    const put = (name: 'grad_input' | 'grad_target' | 'grad_inside' | 'grad_outside') => {
      const base = full(name);
      if (word(name) === 0) return () => {};
      return (at: number, value: number): void => {
        floats[base + at] = accumulates ? (floats[base + at] as number) + value : value;
      };
    };
    const putInput = put('grad_input');
    const putTarget = put('grad_target');
    const putInside = put('grad_inside');
    const putOutside = put('grad_outside');

    // Everything is read before anything is written: a result may be on top of an operand.
    for (let at = first; at < first + n; at++) {
      const y = floats[target + at] as number;
      const isMasked = mask(at) === 0 || (ignoresNaN && Number.isNaN(y));
      const x = floats[input + at] as number;
      const inner = inside(at);
      const outer = outside(at);
      const from = upstream(at);
      const along = direction(at);
      if (!isMasked && counted !== count.NOTHING) {
        const one =
          counted === count.WEIGHTS ? outer : counted === count.NONZERO ? Number(outer !== 0) : 1;
        doubles[work / 8 + 1] = (doubles[work / 8 + 1] as number) + one;
      }
      const d = fround(x - y);
      const e = fround(inner * d);
      const limit = lim(at);
      const t = slopeOf(e, pre(at), inv(at), bitsOf(limit));
      const bounded = t > LARGEST ? LARGEST : Math.max(t, -LARGEST);
      const halfOf = half(at);
      const loss = lossOf(e, bounded, halfOf);

      const weighted = isMasked ? 0 : fround(outer * loss);
      if (wanted & want.SUM) doubles[work / 8] = (doubles[work / 8] as number) + weighted;
      if (wanted & want.STORE) floats[out + at - origin] = fround(weighted * scale) + 0;
      if (wanted & want.ROWS) {
        let sum = (doubles[work / 8 + 2] as number) + weighted;
        if ((at + 1) % rowLength === 0) {
          floats[out + Math.floor(at / rowLength) - rowOrigin] = sum * scale;
          sum = 0;
        }
        doubles[work / 8 + 2] = sum;
      }
      const g = fround(gradScale * from);
      const pull = fround(g * outer);
      if (wanted & want.GRAD) {
        const toInput = isMasked ? 0 : fround(t * fround(pull * inner));
        putInput(at, toInput);
        putTarget(at, isMasked ? 0 : -toInput);
        putInside(at, isMasked ? 0 : fround(fround(pull * t) * d));
        putOutside(at, isMasked ? 0 : fround(g * fround(loss - shift)));
      }
      if (wanted & want.CURVATURE) {
        const bend = abs(e) >= halfOf ? 0 : fround(fround(pre(at) * inv(at)) + fround(e * 0));
        const weight = fround(fround(pull * inner) * inner);
        putInput(at, isMasked ? 0 : fround(fround(bend * weight) * along));
      }
      if (wanted & (want.BETA | want.DELTA) && !isMasked) {
        const slope =
          wanted & want.BETA
            ? fround(fround(t * t) * -0.5)
            : abs(e) <= limit
              ? 0
              : abs(fround(e - t));
        doubles[work / 8] = (doubles[work / 8] as number) + fround(slope * pull);
      }
    }
  }

  // The totals: loss, count, row.
  return { run, work_size: () => 24 };
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

function isPlain(wanted: number, is: number): boolean {
  if (is !== shape.PLAIN && is !== shape.SCALED) return false;
  return [want.SUM, want.GRAD, want.SUM | want.GRAD, want.STORE].some((plain) => plain === wanted);
}

/**
 * The passes without weights, masks and the like, several times as fast as the loop that has them.
 * Returns `total` with the losses added one by one, so that its bits do not depend on the calls.
 */
function runPlain(
  wanted: number,
  input: Float32Array,
  target: Float32Array,
  out: Float32Array,
  total: number,
  { pre, inv, lim, half, scale }: Record<'pre' | 'inv' | 'lim' | 'half' | 'scale', number>,
): number {
  const sums = (wanted & want.SUM) !== 0;
  const stores = (wanted & want.STORE) !== 0;
  const grads = (wanted & want.GRAD) !== 0;
  const limit = bitsOf(lim);
  let sum = total;
  for (let i = 0; i < input.length; i++) {
    const d = fround((input[i] as number) - (target[i] as number));
    const t = slopeOf(d, pre, inv, limit);
    const loss = lossOf(d, t, half);
    if (sums) sum += loss;
    if (stores) out[i] = fround(loss * scale) + 0;
    if (grads) out[i] = fround(t * scale);
  }
  return sum;
}
