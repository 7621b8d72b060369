// Races, off the page's thread: this worker is ended to stop them.

import { float16, float32, free, getNumThreads, SmoothL1Loss } from 'smooth-l1';
import { mustBeRight } from '../../bench/check.ts';
import {
  type Contender,
  OPERATIONS,
  type Operation,
  type Run,
  runOf,
  type Task,
} from '../../bench/contender.ts';
import { type Pool, randomPool } from '../../bench/data.ts';
import { branchFree, naive, object, plainWindows, threaded } from '../../bench/javascript.ts';
import { GRAIN, race } from '../../bench/measure.ts';

export interface Wish {
  /** The largest number of elements is 2 to this. */
  readonly largest: number;
  readonly threads: number;
  readonly tensorFlow: boolean;
}

/** One contender at one size. */
export interface Result {
  readonly contender: string;
  readonly operation: Operation;
  readonly n: number;
  readonly threads: number;
  /** The median time of a call, in nanoseconds. */
  readonly ns: number;
  /** How many times as fast as naive JavaScript. */
  readonly speed: number;
}

export type Message =
  | { readonly kind: 'step'; readonly done: number; readonly what: string }
  | { readonly kind: 'results'; readonly results: readonly Result[] }
  | { readonly kind: 'skipped'; readonly what: string; readonly why: string }
  | { readonly kind: 'end'; readonly clockStep: number };

const say = (message: Message): void => postMessage(message);

/** Inputs of 16 bits, half the bytes to read; the gradient is of 32. */
const half: Contender = {
  name: 'smooth-l1, inputs of 16 bits',
  prepare(task) {
    const windows = plainWindows(task).map(({ input, target }) => {
      const grad = float32(task.n);
      return {
        own: [float16(input), float16(target)] as const,
        options: { out: grad },
        input,
        target,
        grad,
      };
    });
    type Own = (typeof windows)[0];
    const loss = new SmoothL1Loss({ beta: task.pool.beta });
    const calls = {
      forward: ({ own: [x, y] }: Own) => loss.forward(x, y),
      backward: ({ own: [x, y], options }: Own) => loss.backward(1, x, y, options)[0]!,
      fused: ({ own: [x, y], grad }: Own) => loss.withGrad(x, y, grad),
    };
    const release = (): void => {
      for (const { own, grad } of windows) for (const array of [...own, grad]) free(array);
    };
    return threaded(task, runOf(task, windows, calls[task.operation], release));
  },
};

/** Values that f16 holds exactly, so that all contenders compute the same. */
function pool(n: number): Pool {
  const { input, target, beta } = randomPool(n);
  const round = (values: Float32Array): void => {
    for (let i = 0; i < values.length; i++) values[i] = Math.round(values[i]! * 256) / 256;
  };
  round(input);
  round(target);
  return { input, target, beta };
}

const isCoarse = GRAIN > 0.2;
const effort = { rounds: isCoarse ? 2 : 5, batch: Math.max(8, 100 * GRAIN), warmUp: 20 };

type Entry = { readonly contender: Contender; readonly threads: number };

async function measure({ largest, threads, tensorFlow }: Wish): Promise<void> {
  const alone = [naive, branchFree, object, half];
  if (tensorFlow) {
    say({ kind: 'step', done: 0, what: 'loading TensorFlow.js' });
    try {
      const { tensorFlowHere } = await import('./tensorflow.ts');
      alone.push(await tensorFlowHere());
    } catch (error) {
      say({ kind: 'skipped', what: 'TensorFlow.js', why: (error as Error).message });
    }
  }
  // Threads have a race of their own, beside the naive loop again: taking turns with contenders on one
  // thread would start and end the workers in each round, which can take longer than all else.
  const races: Entry[][] = [alone.map((contender) => ({ contender, threads: 1 }))];
  if (threads > 1)
    races.push([
      { contender: naive, threads: 1 },
      { contender: object, threads },
    ]);
  const sizes = [10, 12, 14, 16, 18, 20, 22, 24].filter((size) => size <= largest);
  const steps = OPERATIONS.length * sizes.length * races.flat().length * effort.rounds;
  let done = 0;
  for (const size of sizes) {
    const n = 2 ** size;
    const windows = Math.max(1, Math.min(256, 2 ** 16 / n));
    const data = pool(n * windows);
    for (const operation of OPERATIONS)
      for (const entries of races) {
        const what = `${operation}, ${n.toLocaleString('en')} elements`;
        const onRound = () => say({ kind: 'step', done: ++done / steps, what });
        try {
          const results = await raceOf(entries, { operation, n, windows, pool: data }, onRound);
          // The naive loop is in both: once is enough.
          const shown =
            entries === races[0] ? results : results.filter(({ threads }) => threads > 1);
          say({ kind: 'results', results: shown });
        } catch (error) {
          say({ kind: 'skipped', what, why: (error as Error).message });
        }
      }
  }
  say({ kind: 'end', clockStep: GRAIN });
}

/** Those of the entries that take part, one beside the other, after their answers were found right. */
async function raceOf(
  entries: readonly Entry[],
  shared: Omit<Task, 'threads'>,
  onRound: () => void,
): Promise<Result[]> {
  const { operation, n } = shared;
  const taking: { name: string; threads: number; run: Run }[] = [];
  try {
    for (const { contender, threads } of entries) {
      const { name, operations } = contender;
      if (operations && !operations.includes(operation)) continue;
      const task = { ...shared, threads };
      let run: Run | string | undefined;
      try {
        run = await contender.prepare(task);
        if (typeof run === 'string') throw new Error(run);
        await run.begin?.();
        mustBeRight(name, task, (await run.check())!);
        if (threads > 1 && getNumThreads() !== threads)
          throw new Error(`${getNumThreads()} threads run, not ${threads}`);
        taking.push({ name, threads, run });
      } catch (error) {
        if (typeof run === 'object') run.dispose();
        const what = `${name}, ${operation}, ${n.toLocaleString('en')} elements`;
        say({ kind: 'skipped', what, why: (error as Error).message });
      }
    }
    const samples = await race(
      taking.map(({ run }) => run),
      effort,
      onRound,
    );
    return taking.map(({ name, threads }, j) => {
      const { ns, ratio } = samples[j]!;
      return { contender: name, operation, n, threads, ns, speed: 1 / ratio };
    });
  } finally {
    for (const { run } of taking) run.dispose();
  }
}

addEventListener('message', ({ data }: MessageEvent<Wish>) => void measure(data));
