// Calls whose worker the system holds up for longer than the caller's patience. As soon as such a call
// has returned, its result array has other data, which must stay. It exits with 1 where any has changed.
//
//   npm run soak:late -- --seconds 60
//
// Linux alone can stop a single thread, for those who may trace the process: root, or anybody where
// /proc/sys/kernel/yama/ptrace_scope is 0 or is not there. Python makes the system calls.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import * as smooth from 'smooth-l1';
import { secondsOf } from './soak-seconds.ts';

/** Stops a thread by its number, after so many seconds and for so many. */
const hold = `
import ctypes, os, sys, time
SEIZE, INTERRUPT, DETACH, ANY_THREAD = 0x4206, 0x4207, 17, 0x40000000
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes, ptrace.restype = [ctypes.c_long] * 4, ctypes.c_long
thread, after, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
def ask(request):
    if ptrace(request, thread, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'this process may not trace another')
time.sleep(after)
ask(SEIZE)
ask(INTERRUPT)
os.waitpid(thread, ANY_THREAD)
time.sleep(seconds)
ask(DETACH)`;

const OTHER = 7;
const n = 1_000_000;
const [x, y, gradient] = [smooth.float32(n).fill(3), smooth.float32(n), smooth.float32(n)];
const threads = (): string[] => readdirSync('/proc/self/task');
const end = performance.now() + 1000 * secondsOf(process.argv.slice(2));
const done = { calls: 0, holds: 0, late: 0, changed: 0, longest: 0 };

while (performance.now() < end) {
  const before = threads();
  const worker = new Worker(new URL('../dist/worker.js', import.meta.url), { execArgv: [] });
  // As in a browser, where a worker is not ended at once: Node's would write a few elements at most.
  const createWorker = () => ({
    postMessage: worker.postMessage.bind(worker),
    on: worker.on.bind(worker),
    terminate() {},
  });
  await smooth.setNumThreads(2, { createWorker: createWorker as never });
  const [thread] = threads().filter((other) => !before.includes(other));
  const seconds = 1.2 + 2 * Math.random();
  const args = ['-c', hold, thread as string, String(Math.random() / 20), String(seconds)];
  const holder = spawn('python3', args, { stdio: 'inherit' });
  let isOver = false;
  const over = once(holder, 'exit').then(([code]) => {
    isOver = true;
    if (code !== 0) throw new Error('no thread was stopped');
  });
  done.holds++;
  while (!isOver && smooth.getNumThreads() === 2) {
    const start = performance.now();
    smooth.smoothL1LossWithGrad(x, y, gradient);
    done.calls++;
    done.longest = Math.max(done.longest, performance.now() - start);
    if (smooth.getNumThreads() === 2) await nextTurn();
  }
  gradient.fill(OTHER);
  if (smooth.getNumThreads() === 1) done.late++;
  await over;
  // It goes on, and ends.
  await wait(200);
  done.changed += gradient.reduce((count, value) => count + Number(value !== OTHER), 0);
  await smooth.setNumThreads(1);
  await worker.terminate();
}
console.log(
  `${done.holds} times a worker was held up, ${done.late} of them in the middle of a piece; ${done.changed} elements changed after a call; the longest call took ${(done.longest / 1000).toFixed(1)} s of ${done.calls}`,
);
if (done.late === 0) throw new Error('no worker was held up within a piece: give more --seconds');
process.exitCode = done.changed === 0 ? 0 : 1;
