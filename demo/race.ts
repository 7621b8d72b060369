// The same job, mean loss and its gradient, three ways: this package, the loop that one writes
// first, and the best loop that JavaScript is known to have.

import { backend, SmoothL1Loss } from 'smooth-l1';
import { definition } from './regression.ts';

type Job = readonly [
  prediction: Float32Array,
  observed: Float32Array,
  gradient: Float32Array,
  beta: number,
];
type Pass = (...job: Job) => number;

/** The options are checked once, before the race, as a training loop would have it. */
function kernel(beta: number): Pass {
  const loss = new SmoothL1Loss({ beta });
  return (prediction, observed, gradient) => loss.withGrad(prediction, observed, gradient);
}

/** The definition, word for word. */
const naive: Pass = (prediction, observed, gradient, beta) => {
  const scale = 1 / prediction.length;
  let loss = 0;
  for (let i = 0; i < prediction.length; i++) {
    const d = prediction[i]! - observed[i]!;
    const a = Math.abs(d);
    if (a < beta) {
      loss += (0.5 * d * d) / beta;
      gradient[i] = (d / beta) * scale;
    } else {
      loss += a - 0.5 * beta;
      gradient[i] = d < 0 ? -scale : scale;
    }
  }
  return loss * scale;
};

/** c is twice the residual clamped to +-beta: Math.abs is one instruction, Math.min several. */
const branchFree: Pass = (prediction, observed, gradient, beta) => {
  const scale = 1 / prediction.length;
  const slope = (0.5 / beta) * scale;
  let loss = 0;
  for (let i = 0; i < prediction.length; i++) {
    const d = prediction[i]! - observed[i]!;
    const c = Math.abs(d + beta) - Math.abs(d - beta);
    loss += c * (4 * d - c);
    gradient[i] = c * slope;
  }
  return (loss / (8 * beta)) * scale;
};

const WARM_UP = 3;
export const ROUNDS = 15;

export interface Result {
  readonly name: string;
  /** The median time of one pass. */
  readonly milliseconds: number;
  /** The median, over the rounds, of the time relative to the kernel's in the same round. */
  readonly ratio: number;
}

/**
 * Every round runs every contender on the same arrays, so that whatever else the machine does hits
 * them alike. A sample is `passes` passes: the clock cannot see a single pass over a short array.
 */
export function race(job: Job, passes: number): Result[] {
  const contenders = [
    { name: `smooth-l1 (${backend})`, pass: kernel(job[3]) },
    { name: 'branch-free JavaScript', pass: branchFree },
    { name: 'naive JavaScript', pass: naive },
  ];
  for (const { name, pass } of contenders) mustBeRight(name, pass, job);
  const rounds: number[][] = [];
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    const times = contenders.map(({ pass }) => timeOf(pass, job, passes));
    if (round >= 0) rounds.push(times);
  }
  return contenders.map(({ name }, j) => ({
    name,
    milliseconds: median(rounds.map((times) => times[j]!)),
    ratio: median(rounds.map((times) => times[j]! / times[0]!)),
  }));
}

function timeOf(pass: Pass, job: Job, passes: number): number {
  const start = performance.now();
  for (let k = 0; k < passes; k++) pass(...job);
  return (performance.now() - start) / passes;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** Throws unless the pass finds the loss and writes every gradient. */
function mustBeRight(name: string, pass: Pass, job: Job): void {
  const [prediction, observed, gradient, beta] = job;
  const n = prediction.length;
  gradient.fill(NaN);
  const loss = pass(...job);
  let sum = 0;
  let wrong = 0;
  for (let i = 0; i < n; i++) {
    const right = definition(prediction[i]! - observed[i]!, beta);
    sum += right.loss;
    // "Not close", and not "far", so that a NaN counts as wrong.
    if (!(Math.abs(gradient[i]! * n - right.slope) < 1e-6)) wrong++;
  }
  if (wrong > 0) throw new Error(`${name}: ${wrong} of ${n} gradients are wrong`);
  if (!(Math.abs(loss / (sum / n) - 1) < 1e-6)) {
    throw new Error(`${name}: the mean loss is ${sum / n}, it found ${loss}`);
  }
}
