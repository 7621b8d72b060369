// The clock: contenders take turns, round after round, so that whatever else the machine does hits
// them alike.

import { Bench } from 'tinybench';
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
  /** The quartiles' distance from each other, as a part of the median. */
  readonly spread: number;
  /** Times as long as the first contender, in the same round: the median and the quartiles. */
  readonly ratio: number;
  readonly ratioLow: number;
  readonly ratioHigh: number;
}

/** Times each run. `onRound` hears of every sample taken. */
export async function race(
  runs: readonly Run[],
  effort: Effort,
  onRound: () => void = () => {},
): Promise<Sample[]> {
  const calls: number[] = [];
  for (const run of runs) calls.push(await warmUp(run, effort));
  const times = runs.map((): number[] => []);
  for (let round = 0; round < effort.rounds; round++) {
    // One iteration each; another one begins every round, so that none always follows the same.
    const bench = new Bench({ iterations: 1, time: 0, warmup: false, throws: true });
    bench.addEventListener('warning', ({ reason }) => {
      throw new Error(`The clock is too coarse for this (${reason}): make the batches longer.`);
    });
    for (let k = 0; k < runs.length; k++) {
      const j = (round + k) % runs.length;
      const sample = async () => {
        await runs[j]!.time(1); // its data is in the cache again, where it fits one
        const milliseconds = await runs[j]!.time(calls[j]!);
        onRound();
        return { overriddenDuration: milliseconds / calls[j]! };
      };
      bench.add(String(j), sample, { async: true });
    }
    await bench.run();
    for (const task of bench.tasks) {
      if (!('latency' in task.result)) throw new Error(`A contender did not finish its round`);
      times[Number(task.name)]!.push(task.result.latency.p50 * 1e6);
    }
  }
  return times.map((own) => {
    const ratios = own.map((ns, round) => ns / times[0]![round]!);
    return {
      ns: quantile(own, 0.5),
      spread: (quantile(own, 0.75) - quantile(own, 0.25)) / quantile(own, 0.5),
      ratio: quantile(ratios, 0.5),
      ratioLow: quantile(ratios, 0.25),
      ratioHigh: quantile(ratios, 0.75),
    };
  });
}

/** Runs until the engine has optimised it, and finds how many calls make a batch. */
async function warmUp(run: Run, { batch, warmUp }: Effort): Promise<number> {
  let calls = 1;
  let spent = 0;
  for (;;) {
    const milliseconds = await run.time(calls);
    spent += milliseconds;
    if (milliseconds < batch) calls = Math.ceil(calls * Math.min(8, (1.3 * batch) / milliseconds));
    else if (spent >= warmUp) break;
  }
  if (batch < 100 * resolution()) {
    throw new Error(`The clock of this host is too coarse (${resolution()} ms) for such batches.`);
  }
  return calls;
}

let grain = 0;
/** The least step of the clock that was seen, in milliseconds. */
function resolution(): number {
  if (grain > 0) return grain;
  grain = Infinity;
  for (let k = 0; k < 20; k++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    grain = Math.min(grain, now - start);
  }
  return grain;
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = part * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low]! + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)]! - sorted[low]!);
}
