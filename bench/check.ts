// No contender is timed before its answer was found right, by the definition in doubles.

import { slope, value } from '../test/oracle.ts';
import type { Contender, Outcome, Run, Task } from './contender.ts';
import { type Effort, race, type Sample } from './measure.ts';

/**
 * The part of the truth that a mean may be off. Who adds up in one f32 is off the more the longer the
 * arrays are: that counts as right here, and the accuracy section shows it.
 */
const lossTolerance = (n: number) => Math.max(1e-5, 2e-9 * n);
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
  if (!(Math.abs(outcome.loss! / (sum / n) - 1) < lossTolerance(n))) {
    throw new Error(`${name}: the mean loss is ${sum / n}, it found ${outcome.loss}`);
  }
}

/** Races contenders that can all do a task, each of which must be right. */
export async function raceRight(
  task: Task,
  contenders: readonly Contender[],
  effort: Effort,
): Promise<Sample[]> {
  const runs: Run[] = [];
  try {
    for (const contender of contenders) {
      const run = await contender.prepare(task);
      if (typeof run === 'string') throw new Error(`${contender.name}: ${run}`);
      runs.push(run);
      mustBeRight(contender.name, task, (await run.check())!);
    }
    return await race(runs, effort);
  } finally {
    for (const run of runs) run.dispose();
  }
}
