/**
 * What every implementation here is tested against: the textbook formulas in f64, one element at a
 * time. Slow on purpose, so that it can be checked by eye.
 *
 * With d = input - target and e = inside * d, an element's loss is outside * L(e).
 */

/** The quantile Huber loss is Huber, with a factor for each side of 0; see {@link side}. */
export type Form = 'smoothL1' | 'huber' | 'l1' | 'quantileHuber';

/** What the loss is multiplied by: for quantile Huber `tau` where d < 0, and `1 - tau` elsewhere. */
export function side(form: Form, tau: number, d: number): number {
  if (form !== 'quantileHuber') return 1;
  return d < 0 ? tau : 1 - tau;
}

/** L(d), without that factor. `threshold` is beta or delta, already rounded to f32; L1 ignores it. */
export function value(form: Form, threshold: number, d: number): number {
  if (form === 'quantileHuber') return value('huber', threshold, d);
  const a = Math.abs(d);
  if (form === 'l1' || Number.isNaN(d)) return a;
  // Nothing costs nothing; infinity times zero is neither.
  if (form === 'huber' && threshold === 0) return a === Infinity ? NaN : 0;
  if (a === Infinity) return Infinity;
  if (form === 'huber') return a < threshold ? (d * d) / 2 : threshold * (a - threshold / 2);
  return a < threshold ? (d * d) / (2 * threshold) : a - threshold / 2;
}

/** dL/dd, without that factor. */
export function slope(form: Form, threshold: number, d: number): number {
  if (form === 'quantileHuber') return slope('huber', threshold, d);
  if (form === 'l1') return Math.sign(d);
  if (form === 'huber') return Math.abs(d) < threshold ? d : threshold * Math.sign(d);
  return Math.abs(d) < threshold ? d / threshold : Math.sign(d);
}

/** The second derivative with respect to d; at the kink, where it jumps, 0. */
export function curvature(form: Form, threshold: number, d: number): number {
  if (Number.isNaN(d)) return NaN;
  if (form === 'l1' || Math.abs(d) >= threshold) return 0;
  return form === 'huber' ? 1 : 1 / threshold;
}

/** The weight of robust fitting, L'(d) / d, without that factor; at 0, its limit. */
export function robustWeight(form: Form, threshold: number, d: number): number {
  if (form === 'quantileHuber') return robustWeight('huber', threshold, d);
  const a = Math.abs(d);
  if (form === 'l1') return 1 / a;
  if (form === 'huber') return a <= threshold ? 1 : threshold / a;
  return 1 / Math.max(threshold, a);
}

/** dL/d(beta) or dL/d(delta). */
export function thresholdDerivative(form: Form, threshold: number, d: number): number {
  const a = Math.abs(d);
  if (Number.isNaN(d)) return NaN;
  // A residual of 0 costs nothing at any threshold, the smallest included.
  if (form === 'l1' || d === 0) return 0;
  if (form === 'huber') return a <= threshold ? 0 : a - threshold;
  return a < threshold ? -(d * d) / (2 * threshold * threshold) : -1 / 2;
}

/** A number for all elements, one for each, one for each row, or one for each column. */
export type Layout =
  | number
  | ArrayLike<number>
  | { perRow: ArrayLike<number> }
  | { perColumn: ArrayLike<number> };

export interface Job {
  form: Form;
  /** An array holds one threshold for each column. */
  threshold: number | ArrayLike<number>;
  /** The quantile of quantile Huber; an array holds one for each column. */
  tau?: number | ArrayLike<number> | undefined;
  input: ArrayLike<number>;
  target: ArrayLike<number>;
  /** Columns; without it, everything is one row. */
  rowLength?: number | undefined;
  insideWeights?: Layout | undefined;
  outsideWeights?: Layout | undefined;
  mask?: Layout | undefined;
  ignoreNaNTargets?: boolean | undefined;
  ignoreValue?: number | undefined;
  reduction?: 'none' | 'sum' | 'mean' | 'rows' | 'rowMeans' | 'columns' | undefined;
  divisor?:
    | 'elements'
    | 'rows'
    | 'weights'
    | 'nonzeroWeights'
    | 'unmasked'
    | 'unmaskedRows'
    | number
    | undefined;
  minDivisor?: number | undefined;
  onZeroDivisor?: 'nan' | 'zero' | undefined;
  scale?: number | undefined;
  /** What the gradients are multiplied by; the loss is not. */
  gradOutput?: Layout | undefined;
}

export interface Result {
  loss: number | number[];
  /** The losses of the elements, which are not divided. */
  outLosses: number[];
  /** Likewise: the factors of the squared residual in a weighted least squares that has the same gradient. */
  outRobustWeights: number[];
  divisor: number;
  /** What each row is divided by: for all but `"rowMeans"`, the one divisor. */
  rowDivisors: number[];
  gradInput: number[];
  gradTarget: number[];
  gradInsideWeights: number[];
  gradOutsideWeights: number[];
  /** The diagonal of the Hessian with respect to the input. */
  hessian: number[];
  /** The derivative to beta or delta; with one for each column, to a shift of them all. */
  thresholdGrad: number;
}

interface Element {
  row: number;
  counts: boolean;
  d: number;
  e: number;
  inside: number;
  outside: number;
  upstream: number;
  threshold: number;
  side: number;
}

export function oracle(job: Job): Result {
  const { form, reduction = 'mean', scale = 1 } = job;
  const n = job.input.length;
  const rowLength = job.rowLength ?? Math.max(n, 1);
  const elements = Array.from({ length: n }, (_, i) => elementAt(job, i, rowLength));
  const counted = elements.filter((el) => el.counts);
  const count = countOf(job, elements, rowLength);
  const least = job.minDivisor ?? -Infinity;
  const divisor = reduction === 'mean' ? Math.max(count, least) : 1;
  const rowsOf = Array.from({ length: n / rowLength }, (_, row) =>
    elements.slice(row * rowLength, (row + 1) * rowLength),
  );
  const rowDivisors = rowsOf.map((row) =>
    reduction === 'rowMeans' ? Math.max(countOf(job, row, rowLength), least) : divisor,
  );

  // A masked element is left out, not multiplied by zero: its value may be NaN.
  const shareOf = (x: number, divisor: number) =>
    divisor !== 0 ? (scale * x) / divisor : job.onZeroDivisor === 'zero' ? 0 : NaN;
  const share = (x: number, row: number) => shareOf(x, rowDivisors[row] as number);
  // A row that has nothing to be divided by has 0 as upstream gradient, which NaN survives.
  const isDropped = (row: number) =>
    reduction === 'rowMeans' && rowDivisors[row] === 0 && job.onZeroDivisor === 'zero';
  const part = (f: (el: Element) => number, el: Element) =>
    isDropped(el.row) ? scale * f({ ...el, upstream: 0 }) : share(f(el), el.row);
  const each = (f: (el: Element) => number) => elements.map((el) => (el.counts ? part(f, el) : 0));
  const total = (f: (el: Element) => number) =>
    reduction === 'rowMeans'
      ? sum(counted.map((el) => part(f, el)))
      : shareOf(sum(counted.map(f)), divisor);

  const cost = (el: Element) => el.side * value(form, el.threshold, el.e);
  const steepness = (el: Element) =>
    el.upstream * el.outside * el.side * slope(form, el.threshold, el.e);
  const loss = (el: Element) => el.outside * cost(el);

  // Where the weights also make the divisor, (sum w L / sum w)' = (L - mean) / sum w.
  const weightsDivide = reduction === 'mean' && job.divisor === 'weights' && divisor === count;
  const mean = weightsDivide ? sum(counted.map((el) => el.upstream * loss(el))) / divisor : 0;

  const costs = elements.map((el) => (el.counts ? loss(el) : 0));
  const rowTotals = () => byRow(costs, rowLength).map(share);
  const lossOf = () => {
    if (reduction === 'none') return each(loss);
    if (reduction === 'rows' || reduction === 'rowMeans') return rowTotals();
    if (reduction === 'columns') return byColumn(costs, rowLength).map((x) => scale * x);
    return total(loss);
  };

  const gradInput = each((el) => steepness(el) * el.inside);
  return {
    loss: lossOf(),
    outLosses: elements.map((el) => (el.counts ? scale * loss(el) : 0)),
    outRobustWeights: elements.map((el) => {
      const weight = el.outside * el.inside ** 2;
      const isNothing = !el.counts || weight === 0;
      return isNothing ? 0 : scale * weight * el.side * robustWeight(form, el.threshold, el.e);
    }),
    divisor,
    rowDivisors,
    gradInput,
    gradTarget: gradInput.map((g) => -g),
    gradInsideWeights: each((el) => steepness(el) * el.d),
    gradOutsideWeights: each((el) => el.upstream * cost(el) - mean),
    hessian: each(
      (el) => el.upstream * el.outside * el.inside ** 2 * curvature(form, el.threshold, el.e),
    ),
    thresholdGrad: total(
      (el) => el.upstream * el.outside * thresholdDerivative(form, el.threshold, el.e),
    ),
  };
}

function elementAt(job: Job, i: number, rowLength: number): Element {
  const row = Math.floor(i / rowLength);
  const column = i % rowLength;
  const at = (layout: Layout | undefined): number => {
    if (layout === undefined) return 1;
    if (typeof layout === 'number') return layout;
    if ('perRow' in layout) return layout.perRow[row] as number;
    if ('perColumn' in layout) return layout.perColumn[column] as number;
    return layout[i] as number;
  };
  const { threshold, tau = 0.5 } = job;
  const target = job.target[i] as number;
  const d = (job.input[i] as number) - target;
  const inside = at(job.insideWeights);
  return {
    row,
    counts:
      at(job.mask) !== 0 &&
      !(job.ignoreNaNTargets && Number.isNaN(target)) &&
      target !== job.ignoreValue,
    d,
    e: inside * d,
    inside,
    outside: at(job.outsideWeights),
    upstream: at(job.gradOutput),
    threshold: typeof threshold === 'number' ? threshold : (threshold[column] as number),
    side: side(job.form, typeof tau === 'number' ? tau : (tau[column] as number), inside * d),
  };
}

/** What 'mean' divides by, before `minDivisor`. */
function countOf(job: Job, elements: Element[], rowLength: number): number {
  const { divisor = 'elements' } = job;
  const weights = elements.filter((el) => el.counts).map((el) => el.outside);
  if (typeof divisor === 'number') return divisor;
  if (divisor === 'elements') return elements.length;
  if (divisor === 'rows') return elements.length / rowLength;
  if (divisor === 'weights') return sum(weights);
  if (divisor === 'unmaskedRows')
    return new Set(elements.filter((el) => el.counts).map((el) => el.row)).size;
  if (divisor === 'nonzeroWeights') return weights.filter((w) => w !== 0).length;
  return weights.length;
}

/** The sums of rows. */
export function byRow(xs: number[], rowLength: number): number[] {
  const starts = Array.from({ length: xs.length / rowLength }, (_, row) => row * rowLength);
  return starts.map((start) => sum(xs.slice(start, start + rowLength)));
}

/** The sums of columns. */
export function byColumn(xs: number[], rowLength: number): number[] {
  const sums = new Array<number>(rowLength).fill(0);
  for (const [i, x] of xs.entries()) sums[i % rowLength] = (sums[i % rowLength] as number) + x;
  return sums;
}

function sum(xs: number[]): number {
  return xs.reduce((total, x) => total + x, 0);
}
