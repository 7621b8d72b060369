// What rows are divided by: counted here, in JavaScript, for all backends alike. The kernel adds up, but
// divides nothing.
import type { Bound } from './bind.ts';
import { layout } from './generated/job.ts';
import { isHalf, isNaNOf, narrow } from './half.ts';
import type { Job } from './job.ts';
import type { Kernel } from './kernel.ts';
import { type Plan, slot } from './plan.ts';

/** Something about an element, whose row is given too. */
type Of<T> = (i: number, row: number) => T;

/**
 * The number of rows with an element that is not masked. Most rows begin with one, so that few elements are
 * looked at: the kernel, which would look at all, is not asked.
 */
export function unmaskedRows(kernel: Kernel, plan: Plan, job: Job): number {
  const { rowLength } = plan;
  const counts = countsOf(kernel, plan, job);
  let rows = 0;
  for (let row = 0; row < job.binding.n / rowLength; row++) {
    const end = (row + 1) * rowLength;
    let i = row * rowLength;
    while (i < end && !counts(i, row)) i++;
    if (i < end) rows++;
  }
  return rows;
}

/** What the sum of each row is divided by. */
export function rowDivisors(kernel: Kernel, plan: Plan, job: Job): Float64Array {
  const { rowLength, divisor, minDivisor } = plan;
  const divisors = new Float64Array(job.binding.n / rowLength);
  if (typeof divisor === 'number') divisors.fill(divisor);
  else if (divisor === 'elements') divisors.fill(rowLength);
  else {
    const counts = countsOf(kernel, plan, job);
    const share = divisor === 'unmasked' ? () => 1 : weightsOf(kernel, plan, job);
    const isNumber = divisor === 'nonzeroWeights';
    for (let row = 0, i = 0; row < divisors.length; row++) {
      let sum = 0;
      for (let left = rowLength; left > 0; left--, i++)
        if (counts(i, row)) sum += isNumber ? Number(share(i, row) !== 0) : share(i, row);
      divisors[row] = sum;
    }
  }
  for (let row = 0; row < divisors.length; row++)
    divisors[row] = Math.max(divisors[row] as number, minDivisor);
  return divisors;
}

/** Whether an element counts: it is not masked. */
function countsOf({ views }: Kernel, plan: Plan, { binding }: Job): Of<boolean> {
  const { hasMask, rowLength } = plan;
  const [target, mask] = [slot.TARGET, slot.MASK].map((at) => binding.bounds[at]) as [Bound, Bound];
  const isMissing = missingOf(plan, target);
  const targets = !isMissing
    ? []
    : isHalf(target.type)
      ? viewOf(Uint16Array, target, views.f32.buffer)
      : viewOf(Float32Array, target, views.f32.buffer);
  const isThere = (i: number): boolean => !isMissing?.(targets[i] as number);
  if (!hasMask) return isThere;
  const bytes = viewOf(Uint8Array, mask, views.f32.buffer);
  const at = placeOf(mask, rowLength);
  return isMissing
    ? (i, row) => bytes[at(i, row)] !== 0 && isThere(i)
    : (i, row) => bytes[at(i, row)] !== 0;
}

/** Whether a target, or the 16 bits of one, means that the element is masked; undefined if none does. */
function missingOf(
  { ignoresNaN, ignoreValue }: Plan,
  { type }: Bound,
): ((target: number) => boolean) | undefined {
  if (!ignoresNaN && ignoreValue === undefined) return undefined;
  // NaN, which equals nothing, if there is none.
  const value = ignoreValue ?? Number.NaN;
  if (!isHalf(type)) {
    const nearest = Math.fround(value);
    return (target) => target === nearest || (ignoresNaN && Number.isNaN(target));
  }
  const bits = ignoreValue === undefined ? -1 : narrow(type, value);
  // Both zeros.
  const isZero = (bits & 0x7fff) === 0;
  return (target) =>
    target === bits || (isZero && (target & 0x7fff) === 0) || (ignoresNaN && isNaNOf(type, target));
}

/** The outside weight of an element. */
function weightsOf({ views }: Kernel, plan: Plan, { binding }: Job): Of<number> {
  const weight = plan.given[plan.outsideName];
  if (typeof weight === 'number') return () => Math.fround(weight);
  const bound = binding.bounds[slot.OUTSIDE] as Bound;
  const weights = viewOf(Float32Array, bound, views.f32.buffer);
  const at = placeOf(bound, plan.rowLength);
  return (i, row) => weights[at(i, row)] as number;
}

/** Where the value of an element is in an array. */
function placeOf({ layout: is, isLongRow }: Bound, rowLength: number): Of<number> {
  if (is === layout.ROW) return (_, row) => row;
  return is === layout.COLUMN || isLongRow ? (i) => i % rowLength : (i) => i;
}

/** An array of a call, wherever it is. */
function viewOf<T>(
  type: new (buffer: ArrayBuffer, start: number, length: number) => T,
  { buffer, start, length }: Bound,
  own: ArrayBufferLike,
): T {
  return new type((buffer ?? own) as ArrayBuffer, start, length);
}
