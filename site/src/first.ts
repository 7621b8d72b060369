// The first number: loss and gradient of a million pairs, beside plain JavaScript.

import { raceRight } from '../../bench/check.ts';
import type { Contender } from '../../bench/contender.ts';
import { randomPool } from '../../bench/data.ts';
import { branchFree, naive, object } from '../../bench/javascript.ts';
import { GRAIN, type Sample } from '../../bench/measure.ts';
import { byId, time } from './dom.ts';

const N = 2 ** 20;
/** A tenth of a millisecond is the clock of most pages that are not isolated. */
const COARSE = 0.2;

/** Two digits, three from 100 on. */
const short = (ratio: number): string => (ratio < 10 ? ratio.toFixed(1) : ratio.toFixed(0));

/** The page breathes before each turn: it stays responsive, and the number may change what it shows. */
function withBreaks(contender: Contender): Contender {
  return {
    ...contender,
    async prepare(task) {
      const run = await contender.prepare(task);
      if (typeof run === 'string') return run;
      return {
        ...run,
        async begin() {
          await run.begin?.();
          await new Promise((resolve) => setTimeout(resolve));
        },
      };
    },
  };
}

export async function measureFirst(): Promise<void> {
  const panel = byId('first');
  // The example and the panel are drawn first.
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  try {
    const task = { operation: 'fused', n: N, windows: 1, threads: 1, pool: randomPool(N) } as const;
    const effort = { rounds: GRAIN > COARSE ? 1 : 3, batch: Math.max(6, 100 * GRAIN), warmUp: 30 };
    const contenders = [object, naive, branchFree].map(withBreaks);
    const [ours, plain, free] = await raceRight(task, contenders, effort);
    const times = ({ ns, ratio }: Sample): string => `${time(ns)}, ${short(ratio)}×`;
    byId('first-ratio').textContent = short(Math.min(plain!.ratio, free!.ratio));
    byId('first-ours').textContent = time(ours!.ns);
    byId('first-free').textContent = times(free!);
    byId('first-naive').textContent = times(plain!);
    byId('first-note').textContent =
      'One thread, medians of turns side by side, arrays in place. Checked: the loss, and each of the 1,048,576 gradients, against the definition in double precision.';
    performance.mark('first number');
    panel.dataset.state = 'done';
  } catch (error) {
    byId('first-note').textContent = `Not measured: ${(error as Error).message}`;
    panel.dataset.state = 'failed';
  }
}
