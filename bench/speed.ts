// The races: which contenders meet over which data, of how many elements, with how many threads.

import { mustBeRight } from './check.ts';
import type { Contender, Operation, Run, Task } from './contender.ts';
import { OPERATIONS } from './contender.ts';
import { type Data, type Pool, sortedPool } from './data.ts';
import { type Machine, regime } from './machine.ts';
import { type Effort, race } from './measure.ts';
import { type Row, type Skipped, short } from './results.ts';

export interface Race {
  readonly operation: Operation;
  readonly data: Data;
  readonly n: number;
  readonly windows: number;
  readonly pool: Pool;
  /** The others are compared with the first. */
  readonly entries: readonly { readonly contender: Contender; readonly threads: number }[];
}

/** Everybody, one thread, random residuals. */
export function randomRaces(
  contenders: readonly Contender[],
  sizes: readonly number[],
  pool: Pool,
): Race[] {
  return OPERATIONS.flatMap((operation) =>
    sizes.map((n) => ({
      operation,
      data: 'random' as const,
      n,
      windows: windowsFor(n),
      pool,
      entries: contenders
        .filter(({ largest = 2 ** 24 }) => n <= largest)
        .map((contender) => ({ contender, threads: 1 })),
    })),
  );
}

/**
 * A processor learns the branches of a short array that comes again and again. So calls take turns
 * on up to 256 pieces, as long as all of them stay in the second-level cache.
 */
function windowsFor(n: number): number {
  return Math.max(1, Math.min(256, 2 ** 16 / n));
}

/** Residuals whose branches are easy, or real, for those whose speed depends on them. */
export function otherRaces(
  contenders: readonly Contender[],
  data: 'sorted' | 'flights',
  sizes: readonly number[],
  pool: Pool,
): Race[] {
  return OPERATIONS.flatMap((operation) =>
    sizes.map((n) => ({
      operation,
      data,
      n,
      windows: 1,
      pool: data === 'sorted' ? sortedPool(pool, n) : pool,
      entries: contenders.map((contender) => ({ contender, threads: 1 })),
    })),
  );
}

/** All threads, for those that have them; and the first contender with one, as a measure. */
export function threadedRaces(
  contenders: readonly Contender[],
  threads: number,
  sizes: readonly number[],
  pool: Pool,
): Race[] {
  return OPERATIONS.flatMap((operation) =>
    sizes.map((n) => ({
      operation,
      data: 'random' as const,
      n,
      windows: 1,
      pool,
      entries: [
        ...contenders
          .filter(({ largest = 2 ** 24 }) => n <= largest)
          .map((contender) => ({ contender, threads })),
        { contender: contenders[0]!, threads: 1 },
      ],
    })),
  );
}

export const samplesOf = (races: readonly Race[], { rounds }: Effort) =>
  races.reduce((sum, { entries }) => sum + entries.length * rounds, 0);

export async function hold(
  races: readonly Race[],
  machine: Machine,
  effort: Effort,
  skipped: Skipped[],
  onSamples: (count: number, what: string) => void,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { entries, ...own } of races) {
    const what = `${own.operation}, ${short(own.n)} elements`;
    const taking: { contender: Contender; task: Task; run: Run }[] = [];
    try {
      for (const { contender, threads } of entries) {
        const task = { ...own, threads };
        const run = contender.costs[own.operation]
          ? await ready(contender, task, skipped)
          : undefined;
        if (run) taking.push({ contender, task, run });
        else onSamples(effort.rounds, what);
      }
      const runs = taking.map(({ run }) => run);
      const samples = await race(runs, effort, () => onSamples(1, what));
      for (const [j, { contender, task }] of taking.entries()) {
        const { operation, data, n, windows, threads } = { ...own, ...task };
        const cost = contender.costs[operation]!;
        rows.push({
          contender: contender.name,
          operation,
          data,
          n,
          threads,
          regime: regime(machine, windows * n * (operation === 'forward' ? 8 : 12)),
          cost,
          ...samples[j]!,
        });
      }
    } finally {
      for (const { run } of taking) run.dispose();
    }
  }
  return rows;
}

/** A run whose answer is right; or nothing, with the reason noted. A wrong answer ends the bench. */
async function ready(
  contender: Contender,
  task: Task,
  skipped: Skipped[],
): Promise<Run | undefined> {
  const { operation, n, threads } = task;
  const skip = (why: string) => {
    const what = `${contender.name}, ${operation}, ${short(n)}, ${threads} thread(s)`;
    skipped.push({ what, why });
    return undefined;
  };
  let run: Run | string;
  let outcome: Awaited<ReturnType<Run['check']>>;
  try {
    run = await contender.prepare(task);
    if (typeof run === 'string') return skip(run);
    outcome = await run.check();
  } catch (error) {
    return skip(error instanceof Error ? error.message.split('\n')[0]! : String(error));
  }
  if (outcome) mustBeRight(contender.name, task, outcome);
  return run;
}
