// A process that computes with threads, while it and its workers are stopped at random moments. Each
// result must have the bits of one thread. It exits with 1 at the first that has not.
//
//   npm run soak:stops -- --seconds 600
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import * as smooth from 'smooth-l1';
import { secondsOf } from './soak-seconds.ts';

const random = xoroshiro128plus(Date.now());
const below = (n: number): number => uniformInt(random, 0, n - 1);

/** Computes until it is told to end. */
async function compute(): Promise<void> {
  let isOver = false;
  process.once('message', () => {
    isOver = true;
  });
  const n = 1_000_003;
  const [x, y, gradient] = [smooth.float32(n), smooth.float32(n), smooth.float32(n)];
  for (let i = 0; i < n; i++) x[i] = ((i * 7919) % 4001) / 1000 - 2;
  const result = (): string => {
    gradient.fill(NaN);
    const loss = smooth.smoothL1LossWithGrad(x, y, gradient);
    return `${loss} ${smooth.l1Loss(gradient, y, { reduction: 'sum', sum: 'exact' })}`;
  };
  const right = result();
  process.send?.('ready');
  const done = { calls: 0, terminated: 0, warnings: 0, pools: 0 };
  while (!isOver) {
    const workers: Worker[] = [];
    const createWorker = (): Worker => {
      // Without the flags of this process, which have it load TypeScript.
      const worker = new Worker(new URL('../dist/worker.js', import.meta.url), { execArgv: [] });
      workers.push(worker);
      return worker;
    };
    const onWarning = (): void => void done.warnings++;
    // On a machine that is busy, and in a process that stands still, workers may come too late.
    await smooth.setNumThreads(3, { createWorker, onWarning }).catch(() => {});
    done.pools++;
    for (let i = 0; i < 40 && !isOver; i++) {
      if (below(10) === 0) {
        void workers[below(workers.length)]?.terminate();
        done.terminated++;
      }
      const found = result();
      if (found !== right) throw new Error(`${found}, not ${right}`);
      done.calls++;
      await wait(below(3));
    }
    await smooth.setNumThreads(1);
  }
  console.log(
    `${done.calls} calls with the right bits, ${done.pools} pools, ${done.terminated} workers terminated, ${done.warnings} warnings`,
  );
  process.disconnect();
  if (done.calls === 0) throw new Error('no call was made: give more --seconds');
}

/** Stops and continues it. */
async function stop(seconds: number): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), {
    env: { ...process.env, SOAK_COMPUTE: '1' },
  });
  const exit = once(child, 'exit');
  await Promise.race([once(child, 'message'), exit]);
  const end = performance.now() + 1000 * seconds;
  let stops = 0;
  while (performance.now() < end && child.exitCode === null) {
    await wait(below(1000));
    child.kill('SIGSTOP');
    await wait(below(4) === 0 ? below(3000) : below(100));
    child.kill('SIGCONT');
    stops++;
  }
  if (child.exitCode === null) child.send('end');
  const [code] = await exit;
  console.log(`stopped and continued ${stops} times`);
  process.exitCode = code === 0 ? 0 : 1;
}

await (process.env.SOAK_COMPUTE ? compute() : stop(secondsOf(process.argv.slice(2))));
