// The races: which contenders meet over which data, of how many elements, with how many threads.

import { progress } from '../demo/progress.ts';
import { mustBeRight } from './check.ts';
import { type Contender, OPERATIONS, type Run, type Task } from './contender.ts';
import { type Data, type Pool, sortedPool } from './data.ts';
import { exactSums } from './exact.ts';
import { flightsPool } from './flights.ts';
import { branchFree, naive, object, staged } from './javascript.ts';
import { regime } from './machine.ts';
import { race } from './measure.ts';
import { paths } from './paths.ts';
import { type Row, short } from './results.ts';
import type { Section, Setup } from './section.ts';

interface Race extends Task {
  readonly data: Data;
  /** The others are compared with the first. */
  readonly entries: readonly { readonly contender: Contender; readonly threads: number }[];
}

/** Everybody over random residuals; those whose speed depends on the residuals over others too. */
export const speed: Section = async (setup) => {
  const { sizes, pool } = setup;
  const plain = [object, staged, branchFree, naive];
  const races = [
    ...racesOf(setup.contenders, sizes, pool),
    ...racesOf(plain, sizes.slice(0, 6), pool, 'sorted'),
    ...racesOf(plain, sizes.slice(4, 6), await flightsPool(), 'flights'),
  ];
  return { speed: await hold('speed', races, setup) };
};

/** All threads, for those that have them; and this package with one, as a measure. */
export const threads: Section = async (setup) => {
  const parallel = setup.contenders.filter(({ name }) =>
    /^smooth-l1$|PyTorch|onnxruntime/.test(name),
  );
  const large = setup.sizes.filter((n) => n >= 2 ** 16);
  const races = racesOf(parallel, large, setup.pool, 'random', setup.machine.cores);
  return { threaded: await hold('threads', races, setup) };
};

/** In the second-level cache, beyond it, and in memory. */
const sizesOf = ({ isQuick }: Setup) =>
  isQuick ? [2 ** 16, 2 ** 20] : [2 ** 16, 2 ** 20, 2 ** 24];

/** Weighted and masked calls, and inputs of 16 bits, beside the plain call. */
export const besidePlain: Section = async (setup) => {
  return { paths: await hold('paths', racesOf(paths, sizesOf(setup), setup.pool), setup) };
};

/** Exact sums beside fast ones, with one thread and with two. */
export const exactBesideFast: Section = async (setup) => {
  const threads = Math.min(2, setup.machine.cores);
  const races = [...new Set([1, threads])].flatMap((threads) =>
    racesOf(
      exactSums.slice(0, threads > 1 ? 2 : undefined),
      sizesOf(setup),
      setup.pool,
      'random',
      threads,
    ),
  );
  const held = races.filter(({ operation }) => operation !== 'backward');
  return { exact: await hold('exact', held, setup) };
};

export function racesOf(
  contenders: readonly Contender[],
  sizes: readonly number[],
  pool: Pool,
  data: Data = 'random',
  threads = 1,
): Race[] {
  return OPERATIONS.flatMap((operation) =>
    sizes.map((n) => ({
      operation,
      data,
      n,
      // A processor learns the branches of a short array that comes again and again. So calls take
      // turns on up to 256 pieces, as long as all of them stay in the second-level cache.
      windows: data === 'random' ? Math.max(1, Math.min(256, 2 ** 16 / n)) : 1,
      threads,
      pool: data === 'sorted' ? sortedPool(pool, n) : pool,
      entries: [
        ...contenders
          .filter(({ operations = OPERATIONS }) => operations.includes(operation))
          .filter(({ largest = 2 ** 24 }) => n <= largest)
          .map((contender) => ({ contender, threads })),
        ...(threads > 1 ? [{ contender: contenders[0]!, threads: 1 }] : []),
      ],
    })),
  );
}

export async function hold(name: string, races: readonly Race[], setup: Setup): Promise<Row[]> {
  const { machine, effort } = setup;
  const { rounds } = effort;
  const all = races.reduce((sum, { entries }) => sum + entries.length, 0);
  const bar = progress(name, all * rounds);
  const rows: Row[] = [];
  for (const { entries, ...task } of races) {
    const { operation, data, n, windows } = task;
    const what = `${operation}, ${short(n)} elements`;
    const taking: { contender: string; threads: number; run: Run }[] = [];
    try {
      for (const { contender, threads } of entries) {
        const run = await ready(contender, { ...task, threads }, setup);
        if (run) taking.push({ contender: contender.name, threads, run });
        else bar.step(rounds, what);
      }
      const runs = taking.map(({ run }) => run);
      const samples = await race(runs, effort, () => bar.step(1, what));
      const fits = regime(machine, windows * n * (operation === 'forward' ? 8 : 12));
      for (const [j, { contender, threads }] of taking.entries())
        rows.push({ contender, operation, data, n, threads, regime: fits, ...samples[j]! });
    } finally {
      for (const { run } of taking) run.dispose();
    }
  }
  bar.stop();
  return rows;
}

/** A run whose answer is right; or nothing, with the reason noted. A wrong answer ends the setup. */
async function ready(contender: Contender, task: Task, setup: Setup): Promise<Run | undefined> {
  const { operation, n, threads } = task;
  const skip = (why: string) => {
    const what = `${contender.name}, ${operation}, ${short(n)}, ${threads} thread(s)`;
    setup.skipped.push({ what, why });
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
