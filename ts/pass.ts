// One pass of the kernel over the arrays of a call: checks that they fit, finds where they are,
// copies through a small buffer those that are elsewhere, and runs the job chunk by chunk.
import { checkArray, describe, lengthOf } from './check.ts';
import { type Curve, curveOf } from './curve.ts';
import { count, field, JOB_WORDS, kind, shape, want } from './generated/job.ts';
import { type Kernel, theKernel } from './kernel.ts';
import { checkThreshold, type Settings, type Weights } from './options.ts';
import { runJob } from './threads.ts';

/** Elements that are added up together; sums of chunks are added in order. */
const CHUNK = 65536;
/** Elements that are copied at once: in and out of the second-level cache. */
const PIECE = 8192;
const SLOT_BYTES = 4 * (PIECE + 16);
const SLOTS = 12;

/** What a call computes. */
export interface Request {
  readonly fn: string;
  readonly settings: Settings;
  readonly input: Float32Array;
  readonly target: Float32Array;
  /** Length of `input` and `target`, as {@link checkPair} found it. */
  readonly n: number;
  /** What is wanted, of `want`, without how the loss is reduced. */
  readonly loss: boolean;
  readonly grad?: Float32Array | undefined;
  readonly gradName?: string;
  readonly curvature?: Float32Array | undefined;
  readonly threshold?: boolean;
  readonly upstream?: number | Float32Array | undefined;
  readonly direction?: Float32Array | undefined;
  /** Receives the losses for the reductions "none" and "rows". */
  readonly out?: Float32Array | undefined;
}

type Field = keyof typeof field;

/** An array of a call and its place in the job. */
interface Part {
  readonly name: string;
  readonly field: Field;
  readonly array: Float32Array | Uint8Array;
  readonly is: number;
  readonly isOutput: boolean;
  /** Byte offset in the kernel's memory, or -1. */
  offset: number;
  /** Where it is copied to, if it is elsewhere. */
  slot: number;
}

let copied = 0;
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

/** Checks that two arrays belong together; their length. */
export function checkPair(
  fn: string,
  input: Float32Array,
  target: Float32Array,
  inputName = 'input',
  targetName = 'target',
): number {
  checkArray(fn, inputName, input, 'Float32Array');
  checkArray(fn, targetName, target, 'Float32Array');
  const n = lengthOf(fn, inputName, input);
  const m = lengthOf(fn, targetName, target);
  if (n !== m)
    throw new RangeError(
      `${fn}: ${inputName} has length ${n} and ${targetName} has length ${m}; they must be equal`,
    );
  return n;
}

/** A new array for a result that was given no place. */
export function freshArray(
  fn: string,
  name: string,
  settings: Settings,
  length: number,
): Float32Array {
  if (settings.forbidsCopy)
    throw new TypeError(
      `${fn}: ${name} is missing, and copy: "throw" forbids a new array outside of the kernel's memory`,
    );
  return new Float32Array(length);
}

/**
 * The plain pass, for small calls: no weights, no mask, one gradient at most, all arrays at their
 * offsets in the kernel's memory. Returns the sum of the losses.
 */
export function plainSum(
  kernel: Kernel,
  settings: Settings,
  wanted: number,
  input: number,
  target: number,
  grad: number,
  gradScale: number,
  n: number,
): number {
  const { u32, f32, f64 } = kernel.heap;
  const job = kernel.job >>> 2;
  if (held !== settings) {
    clear(kernel);
    writeCurve(kernel, curveOf(settings.form, settings.threshold as number));
    held = settings;
  }
  u32[job + field.want] = wanted;
  u32[job + field.input] = input;
  u32[job + field.target] = target;
  u32[job + field.grad_input] = grad;
  f32[job + field.grad_scale] = gradScale;
  const loss = kernel.work >>> 3;
  if (n <= CHUNK) {
    f64[loss] = 0;
    kernel.run(kernel.job, 0, n, kernel.work);
    return f64[loss] as number;
  }
  const isInPlace = wanted & want.GRAD && (grad === input || grad === target);
  return runJob(kernel, 0, n, CHUNK, !isInPlace).loss;
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

/** Computes a request, and returns the loss for the reductions "sum" and "mean". */
export function compute(request: Request): number {
  const parts = partsOf(request);
  checkOverlaps(request.fn, parts);
  const kernel = theKernel();
  const taken: number[] = [];
  let runner: Runner | undefined;
  try {
    place(kernel, request, parts, taken);
    runner = new Runner(kernel, request, parts);
    return reduce(kernel, request, parts, runner);
  } finally {
    if (!runner?.isLost) for (const offset of taken) kernel.heap.release(offset);
  }
}

/** Lists the arrays of a request, each checked to fit. */
function partsOf(request: Request): Part[] {
  const { fn, settings, n, direction, upstream = 1 } = request;
  const { rowLength } = settings;
  if (rowLength > 0 && n % rowLength !== 0)
    throw new RangeError(`${fn}: rowLength ${rowLength} does not divide ${n}, the length of input`);
  const rows = rowLength > 0 ? n / rowLength : 0;
  const parts: Part[] = [];
  const add = (
    name: string,
    at: Field,
    array: Float32Array | Uint8Array,
    is: number,
    isOutput = false,
  ): void => {
    parts.push({ name, field: at, array, is, isOutput, offset: -1, slot: 0 });
  };
  const full = (
    name: string,
    at: Field,
    array: Float32Array | undefined,
    isOutput: boolean,
  ): void => {
    if (array === undefined) return;
    checkLength(fn, name, array, n, 'one for each element of input');
    add(name, at, array, kind.FULL, isOutput);
  };
  const spread = (name: string, at: Field, weights: Weights | undefined, columns = true): void => {
    if (weights === undefined || typeof weights === 'number') return;
    if ('perRow' in weights) {
      checkLength(fn, `${name}.perRow`, weights.perRow, rows, 'one for each row');
      add(name, at, weights.perRow, kind.ROW);
    } else if ('perColumn' in weights) {
      checkLength(fn, `${name}.perColumn`, weights.perColumn, rowLength, 'one for each column');
      add(name, at, weights.perColumn, kind.COLUMN);
    } else add(name, at, weights, layoutOf(fn, name, weights, n, rows, columns ? rowLength : 0));
  };

  add('input', 'input', request.input, kind.FULL);
  add('target', 'target', request.target, kind.FULL);
  spread('insideWeights', 'inside', settings.insideWeights);
  spread(settings.outsideName, 'outside', settings.outsideWeights);
  spread('gradOutput', 'upstream', upstream, false);
  full('gradGradInput', 'direction', direction, false);
  const { mask } = settings;
  if (mask !== undefined) add('mask', 'mask', mask, layoutOf(fn, 'mask', mask, n, rows, 0));
  const { reduction } = settings;
  if (request.out && reduction === 'rows') {
    checkLength(fn, 'out', request.out, rows, 'one for each row');
    add('out', 'out', request.out, kind.ROW, true);
  } else full('out', 'out', request.out, true);
  full(request.gradName ?? 'gradInput', 'grad_input', request.grad, true);
  full('out', 'grad_input', request.curvature, true);
  if (request.grad) {
    full('gradTarget', 'grad_target', settings.gradTarget, true);
    full('gradInsideWeights', 'grad_inside', settings.gradInsideWeights, true);
    full('gradOutsideWeights', 'grad_outside', settings.gradOutsideWeights, true);
  }
  return parts;
}

function checkLength(
  fn: string,
  name: string,
  array: Float32Array,
  length: number,
  why: string,
): void {
  const actual = lengthOf(fn, name, array);
  if (actual !== length)
    throw new RangeError(`${fn}: ${name} has length ${actual}; it must be ${length}, ${why}`);
}

/** Whether an array has one value for each element, row or column. */
function layoutOf(
  fn: string,
  name: string,
  array: Float32Array | Uint8Array,
  n: number,
  rows: number,
  columns: number,
): number {
  const length = lengthOf(fn, name, array);
  if (length === n) return kind.FULL;
  const perRow = rows > 0 && length === rows;
  const perColumn = columns > 0 && length === columns;
  if (perRow && perColumn)
    throw new RangeError(
      `${fn}: ${name} has length ${length}, which fits the rows as well as the columns; say which: { perRow: ... } or { perColumn: ... }`,
    );
  if (perRow) return kind.ROW;
  if (perColumn) return kind.COLUMN;
  const choices = [`${n} (one for each element)`];
  if (rows > 0) choices.push(`${rows} (one for each row)`);
  if (columns > 0) choices.push(`${columns} (one for each column)`);
  const hint = rows > 0 ? '' : ', unless rowLength says that there are rows';
  throw new RangeError(
    `${fn}: ${name} has length ${length}; it must be ${choices.join(' or ')}${hint}`,
  );
}

/** An output may be exactly a full-size input; any other overlap would read what was just written. */
function checkOverlaps(fn: string, parts: Part[]): void {
  const { heap } = theKernel();
  for (const part of parts) part.offset = heap.offsetOf(part.array);
  const start = (part: Part): number => (part.offset < 0 ? part.array.byteOffset : part.offset);
  for (const out of parts) {
    if (!out.isOutput) continue;
    for (const other of parts) {
      if (other === out || out.offset < 0 !== other.offset < 0) continue;
      if (out.offset < 0 && out.array.buffer !== other.array.buffer) continue;
      const isApart =
        start(out) + out.array.byteLength <= start(other) ||
        start(other) + other.array.byteLength <= start(out);
      const isSame =
        !other.isOutput &&
        start(out) === start(other) &&
        out.array.byteLength === other.array.byteLength &&
        other.is === kind.FULL;
      if (!isApart && !isSame)
        throw new RangeError(
          `${fn}: ${out.name} overlaps ${other.name}; ${
            other.isOutput
              ? 'results must be apart'
              : `it must be apart from it, or exactly input or target`
          }`,
        );
    }
  }
}

/** Finds a place in the kernel's memory for everything, and fills the job. */
function place(kernel: Kernel, request: Request, parts: Part[], taken: number[]): void {
  const { fn, settings } = request;
  const { heap } = kernel;
  const elsewhere = parts.filter((part) => part.offset < 0);
  if (settings.forbidsCopy && elsewhere[0])
    throw new TypeError(
      `${fn}: ${elsewhere[0].name} is not in the kernel's memory, and copy: "throw" forbids copying it; float32() makes arrays there`,
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
    } else part.slot = stage + index * SLOT_BYTES;
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
  for (const [column, value] of threshold.entries()) {
    checkThreshold(fn, `${thresholdName}[${column}]`, value);
    const numbers = curveOf(form, thresholdName === 'sigma' ? 1 / (value * value) : value);
    curves[column] = numbers.pre;
    curves[rowLength + column] = numbers.inv;
    curves[2 * rowLength + column] = numbers.lim;
    curves[3 * rowLength + column] = curvature ? numbers.kink : numbers.half;
  }
  return curves;
}

/** Runs the passes of a request, and reduces. */
function reduce(kernel: Kernel, request: Request, parts: Part[], run: Runner): number {
  const { settings, n, loss, upstream = 1 } = request;
  const { reduction, scale } = settings;
  const gradients = request.grad !== undefined || request.curvature !== undefined;
  const isMean = reduction === 'mean';
  const counted = isMean ? countOf(settings) : count.NOTHING;

  // The gradient needs the divisor, and sometimes the mean, before anything is written.
  let divisor = isMean ? divisorOf(settings, n, 0) : 1;
  let mean = 0;
  const shifts =
    isMean &&
    settings.divisor === 'weights' &&
    settings.gradOutsideWeights !== undefined &&
    request.grad;
  if (counted !== count.NOTHING && (gradients || request.threshold)) {
    const totals = run.all(shifts ? want.SUM : 0, counted);
    divisor = divisorOf(settings, n, totals.count);
    if (shifts && divisor === totals.count) mean = totals.loss / divisor;
  }
  if (shifts && typeof upstream !== 'number')
    throw new TypeError(
      `${request.fn}: gradOutsideWeights with divisor "weights" needs one number as gradOutput, got ${describe(upstream)}`,
    );
  const scaled = typeof upstream === 'number' ? upstream * scale : scale;
  if ((gradients || request.threshold) && divisor === 0 && settings.zeroOnZero) {
    for (const { isOutput, array, field: at } of parts)
      if (isOutput && at !== 'out' && !settings.accumulates) array.fill(0);
    return 0;
  }
  const factor = divisor === 0 ? Number.NaN : scaled / divisor;
  kernel.heap.f32[(kernel.job >>> 2) + field.grad_scale] = request.threshold ? 1 : factor;
  kernel.heap.f32[(kernel.job >>> 2) + field.shift] = mean;
  kernel.heap.f32[(kernel.job >>> 2) + field.scale] = scale;

  let wanted = typeof upstream === 'number' ? 0 : want.UPSTREAM;
  if (request.grad) wanted |= want.GRAD;
  if (request.curvature) wanted |= want.CURVATURE;
  if (request.threshold) wanted |= settings.form === 'huber' ? want.DELTA : want.BETA;
  if (loss)
    wanted |= reduction === 'none' ? want.STORE : reduction === 'rows' ? want.ROWS : want.SUM;
  const late = gradients || request.threshold ? count.NOTHING : counted;
  const totals = run.all(wanted, late);
  if (request.threshold) return totals.loss * factor;
  if (late !== count.NOTHING) divisor = divisorOf(settings, n, totals.count);
  if (divisor === 0) return settings.zeroOnZero ? 0 : Number.NaN;
  return (totals.loss * scale) / divisor;
}

function countOf({ divisor }: Settings): number {
  if (divisor === 'weights') return count.WEIGHTS;
  if (divisor === 'nonzeroWeights') return count.NONZERO;
  if (divisor === 'unmasked') return count.UNMASKED;
  return count.NOTHING;
}

function divisorOf(
  { divisor, minDivisor, rowLength }: Settings,
  n: number,
  counted: number,
): number {
  const value =
    typeof divisor === 'number'
      ? divisor
      : divisor === 'elements'
        ? n
        : divisor === 'rows'
          ? n / rowLength
          : counted;
  return minDivisor === undefined ? value : Math.max(value, minDivisor);
}

interface Sums {
  loss: number;
  count: number;
}

/** Runs the job that `place` wrote over ranges of elements. */
class Runner {
  readonly #kernel: Kernel;
  readonly #request: Request;
  readonly #parts: Part[];
  readonly #isStaged: boolean;
  readonly #mayShare: boolean;
  /** True if threads were given up that may still read what the job points to. */
  isLost = false;

  constructor(kernel: Kernel, request: Request, parts: Part[]) {
    this.#kernel = kernel;
    this.#request = request;
    this.#parts = parts;
    this.#isStaged = parts.some((part) => part.slot !== 0);
    // What a lost thread left half done must be there to be done again.
    const outputs = parts.filter((part) => part.isOutput);
    const isInPlace = outputs.some((out) =>
      parts.some((part) => part !== out && part.offset === out.offset),
    );
    this.#mayShare = !isInPlace && !request.settings.accumulates;
  }

  all(wanted: number, counted: number): Sums {
    const { settings, n, out } = this.#request;
    const { rowLength } = settings;
    this.#write(wanted, counted);
    if (!(wanted & want.ROWS)) return this.#range(0, n, CHUNK);
    if (rowLength <= CHUNK) return this.#range(0, n, CHUNK - (CHUNK % rowLength));
    // A row longer than a chunk is a sum like any other.
    this.#write((wanted & ~want.ROWS) | want.SUM, counted);
    for (let row = 0; row < n / rowLength; row++)
      (out as Float32Array)[row] =
        this.#range(row * rowLength, rowLength, CHUNK).loss * settings.scale;
    return { loss: 0, count: 0 };
  }

  #write(wanted: number, counted: number): void {
    const { settings, grad } = this.#request;
    const { u32 } = this.#kernel.heap;
    const job = this.#kernel.job >>> 2;
    u32[job + field.want] = wanted;
    u32[job + field.count] = counted;
    u32[job + field.accumulate] = Number(settings.accumulates);
    const more =
      counted !== count.NOTHING ||
      settings.accumulates ||
      (grad &&
        (settings.gradTarget || settings.gradInsideWeights || settings.gradOutsideWeights)) ||
      (wanted & want.UPSTREAM && u32[job + field.upstream_kind] !== kind.FULL);
    u32[job + field.shape] =
      ((u32[job + field.shape] as number) & ~shape.MORE) | (more ? shape.MORE : 0);
  }

  #range(first: number, n: number, chunk: number): Sums {
    const totals = { loss: 0, count: 0 };
    if (!this.#isStaged) {
      const { loss, count, lost } = runJob(this.#kernel, first, n, chunk, this.#mayShare);
      this.isLost ||= lost;
      return { loss, count };
    }
    const { work, heap } = this.#kernel;
    const at = work >>> 3;
    for (let c = first; c < first + n; c += chunk) {
      heap.f64.fill(0, at, at + 3);
      this.#staged(c, Math.min(chunk, first + n - c));
      totals.loss += heap.f64[at] as number;
      totals.count += heap.f64[at + 1] as number;
    }
    return totals;
  }

  /** The same as one run of the kernel, with the arrays that are elsewhere copied through. */
  #staged(first: number, n: number): void {
    const { run, job, work, heap } = this.#kernel;
    const { rowLength, accumulates } = this.#request.settings;
    for (let p = first; p < first + n; p += PIECE) {
      const size = Math.min(PIECE, first + n - p);
      const row = rowLength ? Math.floor(p / rowLength) : 0;
      const endRow = rowLength ? (p + size) / rowLength : 0;
      heap.u32[(job >>> 2) + field.origin] = p;
      heap.u32[(job >>> 2) + field.row_origin] = row;
      for (const part of this.#parts) {
        if (part.is === kind.COLUMN) continue;
        const from = part.is === kind.ROW ? row : p;
        const to = part.is === kind.ROW ? Math.ceil(endRow) : p + size;
        const place = part.slot || part.offset + from * part.array.BYTES_PER_ELEMENT;
        heap.u32[(job >>> 2) + field[part.field]] = place;
        if (part.slot && (!part.isOutput || accumulates))
          copyIn(this.#kernel, part.array.subarray(from, to), place);
      }
      run(job, p, size, work);
      for (const part of this.#parts) {
        if (!part.slot || !part.isOutput) continue;
        const from = part.is === kind.ROW ? row : p;
        const to = part.is === kind.ROW ? Math.floor(endRow) : p + size;
        const slot = part.slot >>> 2;
        part.array.set(heap.f32.subarray(slot, slot + to - from), from);
        copied += 4 * (to - from);
      }
    }
  }
}

function copyIn({ heap }: Kernel, array: Float32Array | Uint8Array, offset: number): void {
  if (array.BYTES_PER_ELEMENT === 1) heap.u8.set(array, offset);
  else heap.f32.set(array, offset >>> 2);
  copied += array.byteLength;
}
