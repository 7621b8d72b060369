// The fast path, which most calls take: it spares them the 1 us of the general pass.
import { bufferOf, elements, plainView } from './check.ts';
import { field } from './generated/job.ts';
import { stampOf } from './heap.ts';
import { copyFloatsIn, copyOut, holdPlain, mayStage, slotOf } from './job.ts';
import { type Kernel, theKernel } from './kernel.ts';
import type { Settings } from './options.ts';
import { areApart, checkPair } from './request.ts';
import { CHUNK } from './runner.ts';
import { runJob } from './threads.ts';

/**
 * The plain pass: no weights, no mask, one gradient at most, and arrays in the kernel's memory, or
 * short ones from anywhere. Returns the loss as the reduction says, or undefined where the pass must
 * be a general one; that also finds what is wrong with the arrays.
 */
export function plainPass(
  fn: string,
  settings: Settings,
  wanted: number,
  input: Float32Array,
  target: Float32Array,
  grad?: Float32Array,
  gradOutput = 1,
): number | undefined {
  if (!settings.isPlain) return undefined;
  // Each array is asked for its stamp just once: each time is a tenth of a call of 16 elements.
  const inputStamp = stampOf(input);
  const targetStamp = stampOf(target);
  const isKnown =
    inputStamp !== undefined && inputStamp.floats >= 0 && inputStamp.floats === targetStamp?.floats;
  const n = isKnown ? inputStamp.floats : checkPair(fn, input, target);
  const kernel = theKernel();
  const { heap } = kernel;
  const x = isKnown ? inputStamp.offset : heap.offsetOf(input);
  const y = isKnown ? targetStamp.offset : heap.offsetOf(target);
  let g = 0;
  if (grad !== undefined) {
    const stamp = stampOf(grad);
    if (stamp?.floats === n) g = stamp.offset;
    else if (elements(grad) === n) g = heap.offsetOf(grad);
    else return undefined;
    if (!isClear(grad, g, input, x, n) || !isClear(grad, g, target, y, n)) return undefined;
  }
  if ((x < 0 || y < 0 || g < 0) && !mayStage(settings, n)) return undefined;

  const { u32, f32, f64 } = heap;
  const job = kernel.job >>> 2;
  const { scale } = settings;
  const divisor = settings.reduction === 'mean' ? n : 1;
  holdPlain(kernel, settings);
  u32[job + field.want] = wanted;
  u32[job + field.input] = x < 0 ? copied(kernel, 0, input, n) : x;
  u32[job + field.target] = y < 0 ? copied(kernel, 1, target, n) : y;
  u32[job + field.grad_input] = g < 0 ? slotOf(2) : g;
  if (grad) f32[job + field.grad_scale] = (gradOutput * scale) / divisor;
  let sum: number;
  if (n <= CHUNK) {
    const loss = kernel.work >>> 3;
    f64[loss] = 0;
    kernel.run(kernel.job, 0, n, kernel.work);
    sum = f64[loss] as number;
  } else {
    const isInPlace = grad !== undefined && (g === x || g === y);
    sum = runJob(kernel, 0, n, CHUNK, !isInPlace).loss;
  }
  if (g < 0) copyOut(kernel, slotOf(2), plainView(grad as Float32Array), 0, n);
  return (sum * scale) / divisor;
}

/** Copies `n` floats to slot `index`, and returns its place. */
function copied(kernel: Kernel, index: number, array: Float32Array, n: number): number {
  const place = slotOf(index);
  copyFloatsIn(kernel, array, place, n);
  return place;
}

/**
 * True if a result is exactly where an input is, or overlaps nothing of it. Offsets are -1 for arrays
 * that are elsewhere; two of these in one buffer are left to the general pass.
 */
function isClear(
  grad: Float32Array,
  g: number,
  input: Float32Array,
  x: number,
  n: number,
): boolean {
  if (g < 0 || x < 0) return g >= 0 || x >= 0 || bufferOf(grad) !== bufferOf(input);
  return g === x || areApart(g, 4 * n, x, 4 * n);
}
