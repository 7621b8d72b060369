// No contender is timed before its answer was found right, by the definition in doubles.

import { slope, value } from '../test/oracle.ts';
import type { Outcome, Task } from './contender.ts';

/** Within this part of the truth. Those that add up in single precision are this far off. */
const LOSS_TOLERANCE = 2e-3;
/** Of a gradient times n, which is -1 to 1. */
const GRADIENT_TOLERANCE = 1e-5;

/** Throws unless a contender's outcome on the first window is right. */
export function mustBeRight(name: string, { operation, n, pool }: Task, outcome: Outcome): void {
  const { input, target, beta } = pool;
  let sum = 0;
  let wrong = 0;
  for (let i = 0; i < n; i++) {
    const d = input[i]! - target[i]!;
    sum += value('smoothL1', beta, d);
    // "Not close", and not "far", so that a NaN counts as wrong.
    if (
      operation !== 'forward' &&
      !(Math.abs(outcome.gradient![i]! * n - slope('smoothL1', beta, d)) < GRADIENT_TOLERANCE)
    ) {
      wrong++;
    }
  }
  if (wrong > 0) throw new Error(`${name}: ${wrong} of ${n} gradients are wrong`);
  if (operation === 'backward') return;
  if (!(Math.abs(outcome.loss! / (sum / n) - 1) < LOSS_TOLERANCE)) {
    throw new Error(`${name}: the mean loss is ${sum / n}, it found ${outcome.loss}`);
  }
}
