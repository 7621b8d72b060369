// Fills the kernel's job with what a call computes.
import { plainView } from './check.ts';
import { type Curve, curveOf } from './curve.ts';
import { field, JOB_WORDS, kind, shape } from './generated/job.ts';
import type { Kernel } from './kernel.ts';
import { checkThreshold, type Settings } from './options.ts';
import { checkLength, type Field, type Part, type Request } from './request.ts';

/** Elements that are copied at once: in and out of the second-level cache. */
export const PIECE = 8192;
const SLOT_BYTES = 4 * (PIECE + 16);
const SLOTS = 12;

let copied = 0;
/** The place of all copies, once there are any. */
let stage = 0;
/** The settings that the job holds, if it holds those of a plain pass. */
let held: Settings | undefined;

/**
 * How many bytes were copied so far, into the kernel's memory or out of it, because an array of a
 * call was elsewhere. It stays 0 as long as all arrays are made by `float32()`.
 *
 * @example
 * ```ts
 * import { copiedBytes, float32, l1Loss } from 'smooth-l1';
 * const before = copiedBytes();
 * l1Loss(float32(10), float32(10));
 * console.log(copiedBytes() - before); // 0
 * l1Loss(new Float32Array(10), new Float32Array(10));
 * console.log(copiedBytes() - before); // 80
 * ```
 */
export function copiedBytes(): number {
  return copied;
}

/** Copies an array, which is of no subclass, to a place in the kernel's memory. */
export function copyIn(kernel: Kernel, array: Float32Array | Uint8Array, place: number): void {
  const { length } = array;
  if (array.BYTES_PER_ELEMENT === 4) copyFloatsIn(kernel, array as Float32Array, place, length);
  else {
    kernel.heap.u8.set(array, place);
    copied += length;
  }
}

/** The same for `n` floats, of which a subclass may say something else. */
export function copyFloatsIn(
  { heap }: Kernel,
  array: Float32Array,
  place: number,
  n: number,
): void {
  heap.f32.set(array, place >>> 2);
  copied += 4 * n;
}

/** Copies from a place in the kernel's memory to `array`, from element `first` on. */
export function copyOut(
  { heap }: Kernel,
  place: number,
  array: Float32Array | Uint8Array,
  first: number,
  n: number,
): void {
  array.set(heap.f32.subarray(place >>> 2, (place >>> 2) + n), first);
  copied += 4 * n;
}

/** True if arrays of that length may be copied, a piece at most, and there is a place for them. */
export function mayStage(settings: Settings, n: number): boolean {
  return n <= PIECE && stage !== 0 && !settings.forbidsCopy;
}

/** The place of copy number `index`. */
export function slotOf(index: number): number {
  return stage + index * SLOT_BYTES;
}

/** Makes the job that of a plain pass with these settings. */
export function holdPlain(kernel: Kernel, settings: Settings): void {
  if (held === settings) return;
  clear(kernel);
  writeCurve(kernel, curveOf(settings.form, settings.threshold as number));
  held = settings;
}

function clear(kernel: Kernel): void {
  const { u32, f32 } = kernel.heap;
  const job = kernel.job >>> 2;
  u32.fill(0, job, job + JOB_WORDS);
  for (const name of ['inside_number', 'outside_number', 'scale', 'grad_scale'] as const)
    f32[job + field[name]] = 1;
  held = undefined;
}

function writeCurve(kernel: Kernel, numbers: Curve, isCurvature = false): void {
  const { u32, f32 } = kernel.heap;
  const job = kernel.job >>> 2;
  f32[job + field.pre] = numbers.pre;
  f32[job + field.inv] = numbers.inv;
  f32[job + field.lim] = numbers.lim;
  f32[job + field.half] = isCurvature ? numbers.kink : numbers.half;
  u32[job + field.shape] =
    (numbers.pre === 1 ? 0 : shape.SCALED) | (numbers.lim === Infinity ? shape.COLUMNS : 0);
}

/** Finds a place in the kernel's memory for everything, and fills the job. */
export function place(kernel: Kernel, request: Request, parts: Part[], taken: number[]): void {
  const { fn, settings } = request;
  const { heap } = kernel;
  const elsewhere = parts.filter((part) => part.offset < 0);
  if (settings.forbidsCopy && elsewhere[0])
    throw new TypeError(
      `${fn}: ${elsewhere[0].name} is not in the kernel's memory, and copy: "throw" forbids copying it; ${elsewhere[0].field === 'mask' ? 'uint8' : 'float32'}() makes arrays there`,
    );
  const take = (bytes: number): number => {
    const offset = heap.allocate(bytes, fn);
    taken.push(offset);
    return offset;
  };
  const curves = curvesOf(request);
  const curvesAt = curves ? take(curves.byteLength) : 0;
  if (elsewhere.length > 0 && stage === 0) stage = heap.allocate(SLOTS * SLOT_BYTES, fn);
  for (const [index, part] of elsewhere.entries()) {
    if (part.is === kind.COLUMN) {
      part.offset = take(part.array.byteLength);
      copyIn(kernel, part.array, part.offset);
    } else part.slot = slotOf(index);
  }

  clear(kernel);
  const { u32, f32 } = heap;
  const job = kernel.job >>> 2;
  if (curves) {
    f32.set(curves, curvesAt >>> 2);
    u32[job + field.curves_kind] = kind.COLUMN;
    u32[job + field.curves] = curvesAt;
    u32[job + field.shape] = shape.COLUMNS;
  } else
    writeCurve(
      kernel,
      curveOf(settings.form, settings.threshold as number),
      request.curvature !== undefined,
    );
  u32[job + field.row_length] = settings.rowLength;
  for (const part of parts) {
    u32[job + field[part.field]] = part.offset;
    const kindField = `${part.field}_kind`;
    if (kindField in field) u32[job + field[kindField as Field]] = part.is;
  }
  const { insideWeights, outsideWeights } = settings;
  if (typeof insideWeights === 'number') f32[job + field.inside_number] = insideWeights;
  if (typeof outsideWeights === 'number') f32[job + field.outside_number] = outsideWeights;
  u32[job + field.ignore_nan] = Number(settings.ignoresNaN);
  let is = u32[job + field.shape] as number;
  if (insideWeights !== undefined || outsideWeights !== undefined) is |= shape.WEIGHTED;
  if (settings.mask !== undefined || settings.ignoresNaN) is |= shape.MASKED;
  u32[job + field.shape] = is;
}

/** The curves of thresholds by column, or undefined where there is one for all. */
function curvesOf({ fn, settings, curvature }: Request): Float32Array | undefined {
  const { threshold, thresholdName, rowLength, form } = settings;
  if (typeof threshold === 'number') return undefined;
  checkLength(fn, thresholdName, threshold, rowLength, 'one for each column');
  const curves = new Float32Array(4 * rowLength);
  for (const [column, value] of plainView(threshold).entries()) {
    checkThreshold(fn, `${thresholdName}[${column}]`, value);
    const numbers = curveOf(form, thresholdName === 'sigma' ? 1 / (value * value) : value);
    curves[column] = numbers.pre;
    curves[rowLength + column] = numbers.inv;
    curves[2 * rowLength + column] = numbers.lim;
    curves[3 * rowLength + column] = curvature ? numbers.kink : numbers.half;
  }
  return curves;
}
