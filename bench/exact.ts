// Exact sums: those of this package beside its fast ones, and beside what JavaScript has.

import { fsum } from 'd3-array';
import { SmoothL1Loss } from 'smooth-l1';
import { type Contender, type Operation, runOf, type Task, type Window } from './contender.ts';
import { freeWindows, kernelWindows, plainWindows, threaded } from './javascript.ts';
import { OURS } from './results.ts';

const { fround } = Math;
/** Elements up to which an exact sum is compared with another one: that takes a second for each 16M. */
const COMPARED = 2 ** 20;

/** The losses as this package rounds them. */
function lossesOf({ input, target }: Window, beta: number, losses: Float32Array): Float32Array {
  const [inverse, half] = [fround(1 / beta), fround(beta / 2)];
  for (let i = 0; i < losses.length; i++) {
    const d = fround(input[i]! - target[i]!);
    const t = Math.min(Math.max(fround(d * inverse), -1), 1);
    losses[i] = t * fround(d - fround(half * t));
  }
  return losses;
}

function prepared(sum: 'fast' | 'exact', task: Task) {
  const loss = new SmoothL1Loss({ beta: task.pool.beta, sum });
  const windows = kernelWindows(task);
  const calls = {
    forward: (w: Window) => loss.forward(w.input, w.target),
    backward: () => Number.NaN,
    fused: (w: Window) => loss.withGrad(w.input, w.target, w.grad),
  };
  return threaded(
    task,
    runOf(task, windows, calls[task.operation], () => freeWindows(windows)),
  );
}

const OPERATIONS: readonly Operation[] = ['forward', 'fused'];
const fast: Contender = {
  name: OURS,
  operations: OPERATIONS,
  prepare: (task) => prepared('fast', task),
};

export const exact: Contender = {
  name: `${OURS}, exact`,
  operations: OPERATIONS,
  prepare(task) {
    const run = prepared('exact', task);
    const check = async () => {
      const outcome = await run.check();
      const { n, pool } = task;
      if (n <= COMPARED) {
        const first = plainWindows({ ...task, windows: 1 })[0]!;
        const right = fsum(lossesOf(first, pool.beta, new Float32Array(n))) / n;
        if (outcome?.loss !== right)
          throw new Error(`the exact mean is ${right}, it found ${outcome?.loss}`);
      }
      return outcome!;
    };
    return { ...run, check };
  },
};

/** The losses into an array, then their sum: as one does it without this package. */
function inJavaScript(name: string, sumOf: (losses: Float32Array) => number): Contender {
  return {
    name,
    operations: ['forward'],
    largest: 2 ** 20,
    prepare(task) {
      const losses = new Float32Array(task.n);
      const { beta } = task.pool;
      return runOf(task, plainWindows(task), (w) => sumOf(lossesOf(w, beta, losses)) / task.n);
    },
  };
}

const { sumPrecise } = Math as { sumPrecise?: (values: Iterable<number>) => number };

/** The first is what the others are compared with. */
export const exactSums: readonly Contender[] = [
  fast,
  exact,
  inJavaScript('fsum of d3-array', (losses) => fsum(losses)),
  ...(sumPrecise ? [inJavaScript('Math.sumPrecise', sumPrecise)] : []),
];
