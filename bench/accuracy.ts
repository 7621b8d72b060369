// How far a mean is from the exact one, as the arrays grow.

import { value } from '../test/oracle.ts';
import type { Contender, Task } from './contender.ts';
import type { Pool } from './data.ts';
import type { AccuracyRow } from './results.ts';

/** The mean of the losses in doubles, added up with Neumaier's correction: right to 1e-15. */
function exactMean({ input, target, beta }: Pool, n: number): number {
  let sum = 0;
  let lost = 0;
  for (let i = 0; i < n; i++) {
    const loss = value('smoothL1', beta, input[i]! - target[i]!);
    const next = sum + loss;
    lost += Math.abs(sum) >= loss ? sum - next + loss : loss - next + sum;
    sum = next;
  }
  return (sum + lost) / n;
}

export async function accuracy(
  contenders: readonly Contender[],
  sizes: readonly number[],
  pool: Pool,
  onDone: (what: string) => void,
): Promise<AccuracyRow[]> {
  const rows: AccuracyRow[] = [];
  for (const n of sizes) {
    const exact = exactMean(pool, n);
    const task: Task = { operation: 'forward', n, windows: 1, threads: 1, pool };
    for (const contender of contenders) {
      onDone(`accuracy of ${contender.name}`);
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
  return rows;
}
