// A thread of the pool; threads.ts describes the protocol. It is a script of its own, and knows the
// kernel only by what its first message brings.

import {
  AWAKE,
  BELL,
  CLAIM,
  control,
  DONE,
  FAILED,
  PIECES,
  RETIRED,
  SIZE,
  type Start,
} from './control.ts';
import { TOTALS_WORDS, totals } from './generated/job.ts';
import type { Exports } from './job.ts';
import { builtin } from './node.ts';

interface Port {
  postMessage(message: unknown): void;
  onmessage?: ((event: { data: Start }) => void) | null;
}

/** How long a thread looks for the next job before it sleeps: waking costs some 50 us. */
const SPIN_MS = 0.5;
/** After looking in vain it sleeps at once that often, at most. */
const MAX_PAUSE = 256;

// In Node, messages do not come to the global object.
const parent = builtin('node:worker_threads')?.parentPort;
const port = (parent ?? globalThis) as Port;
if (parent) parent.once('message', start);
else port.onmessage = ({ data }) => start(data);

function start({ memory, module, address, work }: Start): void {
  if (!parent) port.onmessage = null;
  const { run } = new WebAssembly.Instance(module, { env: { memory } })
    .exports as unknown as Exports;
  const block = control(memory.buffer, address);
  const sums = new Float64Array(memory.buffer, work, TOTALS_WORDS);
  port.postMessage('ready');
  const { words } = block;
  // Looking is in vain where calls are rare, and on a busy machine, where the caller may be waiting
  // for this very core: each time that it is, it is tried half as often.
  let pause = 1;
  let paused = 0;
  Atomics.add(words, AWAKE, 1);
  for (;;) {
    // Before the looks at RETIRED and CLAIM: who changes one of them rings the bell afterwards.
    const bell = Atomics.load(words, BELL);
    if (Atomics.load(words, RETIRED) !== 0) break;
    if (findPiece() || spin()) continue;
    Atomics.sub(words, AWAKE, 1);
    Atomics.wait(words, BELL, bell);
    Atomics.add(words, AWAKE, 1);
  }
  port.postMessage('gone');

  /** Waits a little for a job, if that has been of use; false if none came. */
  function spin(): boolean {
    if (paused > 0) {
      paused--;
      return false;
    }
    const end = performance.now() + SPIN_MS;
    do {
      for (let i = 0; i < 500; i++) {
        if (Atomics.load(words, CLAIM) === 0) continue;
        pause = 1;
        return true;
      }
    } while (performance.now() < end && Atomics.load(words, RETIRED) === 0);
    pause = Math.min(2 * pause, MAX_PAUSE);
    paused = pause;
    return false;
  }

  /** Claims a piece and computes it; false if there is none. */
  function findPiece(): boolean {
    const left = block.claim();
    if (left === 0) return false;
    // The job is read after the claim: while a piece of it is claimed, it does not change.
    const index = (words[PIECES] as number) - left;
    const [from, to] = block.rangeOf(index, words[SIZE] as number);
    // Given up meanwhile: what this thread would write is not its own any more.
    if (Atomics.load(words, RETIRED) !== 0) return true;
    sums.fill(0);
    try {
      run(block.job, from, to - from, work);
    } catch (error) {
      Atomics.add(words, FAILED, 1);
      throw error;
    }
    block.finish(index, sums[totals.LOSS] as number, sums[totals.COUNT] as number);
    Atomics.add(words, DONE, 1);
    return true;
  }
}
