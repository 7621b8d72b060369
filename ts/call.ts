// One call: its arrays are bound to its plan, passes over the elements compute what is wanted, and what
// they add up to is divided as the reduction says.
import { type Bound, bind, placeCurves, placeUpstream } from './bind.ts';
import { describe } from './check.ts';
import { placeFolds } from './fold.ts';
import { count, want } from './generated/job.ts';
import type { Job } from './job.ts';
import { type Kernel, theKernel } from './kernel.ts';
import type { Given, InputArray } from './options.ts';
import { type Plan, slot } from './plan.ts';
import { rowDivisors, unmaskedRows } from './rows.ts';
import { type Sums, walk } from './walk.ts';

/** What is stored of the elements, beside gradients. */
const ELEMENTS = want.STORE | want.ROBUST;

/**
 * Computes a call.
 *
 * @param upstream the gradient of what follows to the loss: a number or an array.
 * @param direction for the backward of the backward.
 * @param gradInput where the gradient (or the curvature) goes; made where the plan says so.
 * @param out where losses go, for the reductions "none" and "rows"; made if it is not given.
 * @param kernel if it is known already that all arrays are in the memory of an attached one.
 * @returns the array of gradients or losses that the function returns, otherwise the loss.
 */
export function compute(
  plan: Plan,
  given: Given,
  input: InputArray,
  target: InputArray,
  upstream: number | Float32Array,
  direction: Float32Array | undefined,
  gradInput: Float32Array | undefined,
  out: Float32Array | undefined,
  kernel: Kernel = theKernel(),
): number | Float32Array {
  const job = kernel.jobOf(plan);
  const { binding } = job;
  try {
    // The same arrays again, as in a training loop: it saves a fifth of a call of 16 elements.
    if (!binding.isSame(given, input, target, upstream, direction, gradInput, out)) {
      const home = bind(
        kernel,
        plan,
        job,
        given,
        input,
        target,
        upstream,
        direction,
        gradInput,
        out,
      );
      if (home !== kernel) {
        const loss = compute(plan, given, input, target, upstream, direction, gradInput, out, home);
        if (plan.role === 'add' || plan.role === 'addWithGrad') kernel.sums.take(home.sums);
        return loss;
      }
    }
    if (plan.hasColumns) placeCurves(kernel, plan, job);
    if (binding.hasFolds) placeFolds(kernel, plan, job);
    const loss = plan.dividesRows
      ? divideRows(kernel, plan, job, upstream)
      : reduce(kernel, plan, job, upstream);
    if (plan.makesArray)
      return gradInput ?? (binding.bounds[slot.GRAD_INPUT]?.array as Float32Array);
    if (plan.isLossArray) return out ?? (binding.bounds[slot.OUT]?.array as Float32Array);
    return loss;
  } finally {
    if (binding.hasOthers) binding.end();
    kernel.end();
  }
}

/** Computes a call, and gives its sums as they are before they are rounded and divided. */
export function addUp(
  plan: Plan,
  given: Given,
  input: InputArray,
  target: InputArray,
  gradInput: Float32Array | undefined,
): Sums {
  const kernel = theKernel();
  compute(plan, given, input, target, 1, undefined, gradInput, undefined, kernel);
  return kernel.sums;
}

/**
 * Runs the passes of a call, and reduces. It is short, as is what most calls use of it, so that V8 inlines
 * it: a prepared call of 16 elements takes 0.9 of the time then.
 */
function reduce(kernel: Kernel, plan: Plan, job: Job, upstream: number | Float32Array): number {
  const { sums } = kernel;
  const { n } = job.binding;
  const isNumber = typeof upstream === 'number';
  const mean = plan.countsFirst ? countFirst(kernel, plan, job, upstream) : 0;
  if (plan.isGradient) {
    const divisor = plan.divisorFor(n, sums.count);
    if (divisor === 0 && plan.zeroOnZero) {
      fillWithZeros(kernel, plan, job);
      return 0;
    }
    job.gradients(gradientFactor(plan, isNumber ? upstream : 1, divisor), mean);
  }
  const wanted = isNumber ? plan.want : plan.want | want.UPSTREAM;
  walk(kernel, plan, job, n, wanted, plan.countsFirst ? count.NOTHING : plan.counted);
  const divisor = plan.divisorFor(n, sums.count);
  if (divisor === 0) return plan.zeroOnZero ? 0 : Number.NaN;
  const loss = (sums.loss * plan.scale) / divisor;
  return plan.isThresholdGrad && isNumber ? loss * upstream : loss;
}

/**
 * The same, with each row divided by a number of its own. That number is part of the upstream gradient of the
 * row; the kernel's sums of rows are divided here.
 */
function divideRows(kernel: Kernel, plan: Plan, job: Job, upstream: number | Float32Array): number {
  const { bounds } = job.binding;
  const divisors = rowDivisors(kernel, plan, job);
  if (plan.makesUpstream) placeUpstream(kernel, plan, job, upstream, divisors);
  const loss = reduce(kernel, plan, job, 1);
  if (!plan.hasRows) return loss;
  const { array, start } = bounds[slot.OUT] as Bound;
  const losses = array ?? kernel.views.f32.subarray(start / 4);
  for (let row = 0; row < divisors.length; row++) {
    const divisor = divisors[row] as number;
    losses[row] =
      divisor !== 0 ? (losses[row] as number) / divisor : plan.zeroOnZero ? 0 : Number.NaN;
  }
  return loss;
}

/** What the kernel multiplies gradients by. Derivatives to the threshold are divided as losses are. */
function gradientFactor(plan: Plan, upstream: number, divisor: number): number {
  if (plan.isThresholdGrad) return 1;
  return divisor === 0 ? Number.NaN : (upstream * plan.scale) / divisor;
}

/** Counts what the mean is divided by; returns the mean itself where gradients have a share of it. */
function countFirst(kernel: Kernel, plan: Plan, job: Job, upstream: number | Float32Array): number {
  const { sums } = kernel;
  const { n } = job.binding;
  if (plan.countsRows) {
    sums.count = unmaskedRows(kernel, plan, job);
    return 0;
  }
  if (plan.shifts && typeof upstream !== 'number')
    throw new TypeError(
      `${plan.fn}: gradOutsideWeights with divisor "weights" needs one number as gradOutput, got ${describe(upstream)}`,
    );
  walk(kernel, plan, job, n, plan.shifts ? plan.adds : want.NOTHING, plan.counted);
  const isWhole = plan.shifts && plan.divisorFor(n, sums.count) === sums.count;
  return isWhole ? sums.loss / sums.count : 0;
}

/** What a mean writes that is 0: zeros as gradients, and what it stores of its elements, which is not divided. */
function fillWithZeros(kernel: Kernel, plan: Plan, job: Job): void {
  const stored = plan.want & ELEMENTS;
  // First, since a gradient may be in the place of an input.
  if (stored !== 0) walk(kernel, plan, job, job.binding.n, stored, count.NOTHING);
  if (plan.accumulates) return;
  for (const { isResult, slot: at, buffer, start, length } of job.binding.list) {
    if (!isResult || at === slot.OUT || at === slot.ROBUST_WEIGHTS) continue;
    new Float32Array((buffer ?? kernel.views.f32.buffer) as ArrayBuffer, start, length).fill(0);
  }
}
