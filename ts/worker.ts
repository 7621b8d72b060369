// A thread of the pool; threads.ts describes the protocol. It is a script of its own, and knows the
// kernel only by what its first message brings.

import {
  AWAKE,
  BELL,
  CLAIM,
  control,
  DONE,
  EXACTS,
  FAILED,
  PIECES,
  RETIRED,
  SIZE,
  type Start,
} from './control.ts';
import { field, TOTALS_WORDS, totals } from './generated/job.ts';
import type { Exports } from './job.ts';
import { builtin } from './node.ts';
import { clearTotals, isExact } from './totals.ts';

interface Port {
  postMessage(message: unknown): void;
  onmessage?: ((event: { data: Start }) => void) | null;
}

/**
 * How long a thread looks for the next job before it sleeps. Waking costs some 50 us, so that it is for
 * jobs that follow at once; longer, it would take the place of a program's other work.
 */
const SPIN_MS = 0.2;
/** Lets the other thread of the core go ahead, where there is that. */
const { pause } = Atomics as { pause?: () => void };

// In Node, messages do not come to the global object.
const parent = builtin('node:worker_threads')?.parentPort;
const port = (parent ?? globalThis) as Port;
if (parent) parent.once('message', start);
else port.onmessage = ({ data }) => start(data);

function start({ memory, module, address, threads, work }: Start): void {
  if (!parent) port.onmessage = null;
  const { run } = new WebAssembly.Instance(module, { env: { memory } })
    .exports as unknown as Exports;
  const block = control(memory.buffer, address, threads);
  const sums = new Float64Array(memory.buffer, work, TOTALS_WORDS);
  const exact = new Uint32Array(memory.buffer, work + sums.byteLength, EXACTS);
  port.postMessage('ready');
  const { words, jobWords } = block;
  Atomics.add(words, AWAKE, 1);
  for (;;) {
    // Read before RETIRED and CLAIM: a thread that changes one of these rings the bell afterwards.
    const bell = Atomics.load(words, BELL);
    if (Atomics.load(words, RETIRED) !== 0) break;
    if (findPieces() || spin()) continue;
    Atomics.sub(words, AWAKE, 1);
    Atomics.wait(words, BELL, bell);
    Atomics.add(words, AWAKE, 1);
  }
  port.postMessage('gone');

  /** Waits a little for a job; false if none came. */
  function spin(): boolean {
    const end = performance.now() + SPIN_MS;
    do {
      for (let i = 0; i < 100; i++) {
        if (Atomics.load(words, CLAIM) !== 0) return true;
        pause?.();
      }
    } while (performance.now() < end && Atomics.load(words, RETIRED) === 0);
    return false;
  }

  /** Claims pieces and computes them; false if there are none. */
  function findPieces(): boolean {
    const left = block.claim();
    if (left === 0) return false;
    // The job is read after the claim: while a piece of it is claimed, it does not change.
    const begin = (words[PIECES] as number) - left;
    const share = block.shareOf(left);
    const hasExact = isExact(jobWords[field.want] as number, jobWords[field.count] as number);
    try {
      for (let index = begin; index < begin + share; index++) {
        // Given up meanwhile: what this thread would write is not its own any more.
        if (Atomics.load(words, RETIRED) !== 0) return true;
        const [from, to] = block.rangeOf(index, words[SIZE] as number);
        clearTotals(sums, 0, exact, 0, hasExact);
        run(block.job, from, to - from, work);
        if (hasExact) block.exacts.set(exact, EXACTS * index);
        block.finish(index, sums[totals.LOSS] as number, sums[totals.COUNT] as number);
      }
    } catch (error) {
      Atomics.add(words, FAILED, share);
      throw error;
    }
    Atomics.add(words, DONE, share);
    return true;
  }
}
