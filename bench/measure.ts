// The clock: contenders take turns, round after round, so that whatever else the machine does hits
// them alike.

import { median, quantile } from 'd3-array';
import { Bench, type FnReturnedObject } from 'tinybench';
import type { Run } from './contender.ts';

export interface Effort {
  readonly rounds: number;
  /** The least time, in milliseconds, between two looks at the clock. */
  readonly batch: number;
  /** The least time, in milliseconds, that each contender runs before. */
  readonly warmUp: number;
}

/** Of one contender, over the rounds. */
export interface Sample {
  /** The median time of a call, in nanoseconds. */
  readonly ns: number;
  /** Times as long as the first contender, in the same round: the median and the quartiles. */
  readonly ratio: number;
  readonly ratioLow: number;
  readonly ratioHigh: number;
}

/** How often tinybench times a batch in one round. */
const BATCHES = 3;

/** Times each run. `onRound` hears of every contender's round. */
export async function race(
  runs: readonly Run[],
  effort: Effort,
  onRound: () => void = () => {},
): Promise<Sample[]> {
  const calls: number[] = [];
  for (const run of runs) calls.push(await warmUp(run, effort));
  const times = runs.map((): number[] => []);
  for (let round = 0; round < effort.rounds; round++) {
    // tinybench runs its tasks one after the other: a bench for each round makes them take turns.
    const bench = new Bench({ iterations: BATCHES, time: 0, warmup: false, throws: true });
    for (let k = 0; k < runs.length; k++) {
      const j = (round + k) % runs.length; // so that none always follows the same
      const run = runs[j]!;
      bench.add(String(j), () => run.calls(calls[j]!), {
        async: true,
        async beforeAll() {
          await run.begin?.();
          await run.calls(1); // its data is in the cache again, where it fits one
        },
        afterAll: onRound,
      });
    }
    for (const { name, result } of await bench.run()) {
      if (result.state !== 'completed') throw new Error('A contender did not finish its round');
      times[Number(name)]!.push((result.latency.p50 / calls[Number(name)]!) * 1e6);
    }
  }
  return times.map((own) => {
    const ratios = own.map((ns, round) => ns / times[0]![round]!);
    return {
      ns: median(own)!,
      ratio: median(ratios)!,
      ratioLow: quantile(ratios, 0.25)!,
      ratioHigh: quantile(ratios, 0.75)!,
    };
  });
}

/** Runs until the engine has optimised it, and finds how many calls make a batch. */
async function warmUp(run: Run, { batch, warmUp }: Effort): Promise<number> {
  await run.begin?.();
  let calls = 1;
  let spent = 0;
  for (;;) {
    const start = performance.now();
    const own = (await run.calls(calls)) as FnReturnedObject | undefined;
    const milliseconds = own?.overriddenDuration ?? performance.now() - start;
    spent += milliseconds;
    if (milliseconds < batch) calls = Math.ceil(calls * Math.min(8, (1.3 * batch) / milliseconds));
    else if (spent >= warmUp) break;
  }
  if (batch < 100 * GRAIN) {
    throw new Error(`The clock of this host is too coarse (${GRAIN} ms) for such batches.`);
  }
  return calls;
}

/** The least step of the clock that was seen, in milliseconds. */
export const GRAIN = Math.min(
  ...Array.from({ length: 20 }, () => {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    return now - start;
  }),
);
