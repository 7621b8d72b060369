// What a call computes, and its arrays: each checked to fit the others before anything is written.
import { checkArray, lengthOf, plainView } from './check.ts';
import { type field, kind } from './generated/job.ts';
import type { Heap } from './heap.ts';
import type { Settings, Weights } from './options.ts';

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
  /** What input and target are called in errors. */
  readonly names?: readonly [input: string, target: string];
  readonly curvature?: Float32Array | undefined;
  readonly threshold?: boolean;
  readonly upstream?: number | Float32Array | undefined;
  readonly direction?: Float32Array | undefined;
  /** Receives the losses for the reductions "none" and "rows". */
  readonly out?: Float32Array | undefined;
}

export type Field = keyof typeof field;

/** An array of a call and its place in the job. */
export interface Part {
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

/** Lists the arrays of a request, each checked to fit. */
export function partsOf(request: Request): Part[] {
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
    parts.push({ name, field: at, array: plainView(array), is, isOutput, offset: -1, slot: 0 });
  };
  const full = (
    name: string,
    at: Field,
    array: Float32Array | undefined,
    isOutput: boolean,
  ): void => {
    if (array === undefined) return;
    checkLength(fn, name, array, n, `one for each element of ${inputName}`);
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

  const [inputName, targetName] = request.names ?? ['input', 'target'];
  add(inputName, 'input', request.input, kind.FULL);
  add(targetName, 'target', request.target, kind.FULL);
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

export function checkLength(
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

/** True if two ranges of bytes have none in common. */
export function areApart(a: number, aBytes: number, b: number, bBytes: number): boolean {
  return a + aBytes <= b || b + bBytes <= a;
}

/** An output may be exactly a full-size input; any other overlap would read what was just written. */
export function checkOverlaps(fn: string, heap: Heap, parts: Part[]): void {
  for (const part of parts) part.offset = heap.offsetOf(part.array);
  const start = (part: Part): number => (part.offset < 0 ? part.array.byteOffset : part.offset);
  for (const out of parts) {
    if (!out.isOutput) continue;
    for (const other of parts) {
      if (other === out || out.offset < 0 !== other.offset < 0) continue;
      if (out.offset < 0 && out.array.buffer !== other.array.buffer) continue;
      const isApart = areApart(
        start(out),
        out.array.byteLength,
        start(other),
        other.array.byteLength,
      );
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
              : `it must be apart from it, or exactly ${parts[0]?.name} or ${parts[1]?.name}`
          }`,
        );
    }
  }
}
