// The general pass: any request, and what its parts add up to.
import { describe } from './check.ts';
import { count, field, want } from './generated/job.ts';
import { place } from './job.ts';
import { type Kernel, theKernel } from './kernel.ts';
import type { Settings } from './options.ts';
import { checkOverlaps, type Part, partsOf, type Request } from './request.ts';
import { Runner } from './runner.ts';
import { releaseAfter } from './threads.ts';

/** Computes a request, and returns the loss for the reductions "sum" and "mean". */
export function compute(request: Request): number {
  const parts = partsOf(request);
  const kernel = theKernel();
  checkOverlaps(request.fn, kernel.heap, parts);
  const taken: number[] = [];
  let runner: Runner | undefined;
  try {
    place(kernel, request, parts, taken);
    runner = new Runner(kernel, request, parts);
    return reduce(kernel, request, parts, runner);
  } finally {
    if (runner?.lostTo) releaseAfter(runner.lostTo, taken);
    else for (const offset of taken) kernel.heap.release(offset);
  }
}

/** Runs the passes of a request, and reduces. */
function reduce(kernel: Kernel, request: Request, parts: Part[], run: Runner): number {
  const { settings, n, loss, upstream = 1 } = request;
  const { reduction, scale } = settings;
  const { grad, curvature, threshold = false } = request;
  const isGradient = grad !== undefined || curvature !== undefined || threshold;
  const isMean = reduction === 'mean';
  const counted = isMean ? countOf(settings) : count.NOTHING;

  // The gradient needs the divisor, and sometimes the mean, before anything is written.
  let divisor = isMean ? divisorOf(settings, n, 0) : 1;
  let mean = 0;
  const shifts =
    isMean && settings.divisor === 'weights' && settings.gradOutsideWeights !== undefined && grad;
  if (shifts && typeof upstream !== 'number')
    throw new TypeError(
      `${request.fn}: gradOutsideWeights with divisor "weights" needs one number as gradOutput, got ${describe(upstream)}`,
    );
  if (counted !== count.NOTHING && isGradient) {
    const totals = run.all(shifts ? want.SUM : 0, counted);
    divisor = divisorOf(settings, n, totals.count);
    if (shifts && divisor === totals.count) mean = totals.loss / divisor;
  }
  const scaled = typeof upstream === 'number' ? upstream * scale : scale;
  if (isGradient && divisor === 0 && settings.zeroOnZero) {
    for (const { isOutput, array, field: at } of parts)
      if (isOutput && at !== 'out' && !settings.accumulates) array.fill(0);
    return 0;
  }
  const factor = divisor === 0 ? Number.NaN : scaled / divisor;
  const { f32 } = kernel.heap;
  const job = kernel.job >>> 2;
  f32[job + field.grad_scale] = threshold ? 1 : factor;
  f32[job + field.shift] = mean;
  f32[job + field.scale] = scale;

  let wanted = typeof upstream === 'number' ? 0 : want.UPSTREAM;
  if (grad) wanted |= want.GRAD;
  if (curvature) wanted |= want.CURVATURE;
  if (threshold) wanted |= settings.form === 'huber' ? want.DELTA : want.BETA;
  if (loss)
    wanted |= reduction === 'none' ? want.STORE : reduction === 'rows' ? want.ROWS : want.SUM;
  const late = isGradient ? count.NOTHING : counted;
  const totals = run.all(wanted, late);
  if (threshold) return totals.loss * factor;
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
