// How far a mean is from the exact one, as the arrays grow.

import { fsum } from 'd3-array';
import { progress } from '../demo/progress.ts';
import { value } from '../test/oracle.ts';
import type { Task } from './contender.ts';
import type { Pool } from './data.ts';
import type { AccuracyRow } from './results.ts';
import type { Section } from './section.ts';

/** The mean of the losses in doubles, added up without rounding. */
export function exactMean({ input, target, beta }: Pool, n: number): number {
  return fsum(input.subarray(0, n), (x, i) => value('smoothL1', beta, x - target[i]!)) / n;
}

export const accuracy: Section = async ({ contenders, pool, isQuick }) => {
  const lengths = Array.from({ length: isQuick ? 6 : 9 }, (_, k) => 2 ** (10 + 2 * k));
  const bar = progress('accuracy', lengths.length * contenders.length);
  const rows: AccuracyRow[] = [];
  for (const n of lengths) {
    const exact = exactMean(pool, n);
    const task: Task = { operation: 'forward', n, windows: 1, threads: 1, pool };
    for (const contender of contenders) {
      bar.step(1, contender.name);
      if (n > (contender.largest ?? 2 ** 24)) continue;
      try {
        const run = await contender.prepare(task);
        if (typeof run === 'string') continue;
        const outcome = await run.check();
        run.dispose();
        if (outcome?.loss === undefined) continue;
        const relativeError = Math.abs(outcome.loss / exact - 1);
        rows.push({ contender: contender.name, n, relativeError });
      } catch {
        // It had not enough memory: the speed section says so.
      }
    }
  }
  bar.stop();
  return { accuracy: rows };
};
