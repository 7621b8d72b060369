// A thread of the pool; threads.ts describes the protocol. It is a script of its own, and knows the
// kernel only by what its first message brings.

import {
  AWAKE,
  BELL,
  CHUNK_SIZE,
  CHUNKS,
  CLAIM,
  control,
  DONE,
  FAILED,
  PIECE,
  RETIRED,
  type Start,
} from './control.ts';
import type { Exports } from './exports.ts';
import { builtin } from './node.ts';

interface Port {
  postMessage(message: unknown): void;
  onmessage?: ((event: { data: Start }) => void) | null;
}

/**
 * How long a thread looks for the next job before it sleeps: about what waking costs. Where other
 * programs are busy it may well sit on the caller's core, which longer looking keeps from its work.
 */
const SPIN_MS = 0.05;

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
  const totals = new Float64Array(memory.buffer, work, 3);
  port.postMessage('ready');
  const { words } = block;
  Atomics.add(words, AWAKE, 1);
  for (;;) {
    // Before the looks at RETIRED and CLAIM: who changes one of them rings the bell afterwards.
    const bell = Atomics.load(words, BELL);
    if (Atomics.load(words, RETIRED) !== 0) break;
    if (findChunk() || spin()) continue;
    Atomics.sub(words, AWAKE, 1);
    Atomics.wait(words, BELL, bell);
    Atomics.add(words, AWAKE, 1);
  }
  port.postMessage('gone');

  /** Waits a little for a job; false if none came. */
  function spin(): boolean {
    const end = performance.now() + SPIN_MS;
    do {
      for (let i = 0; i < 500; i++) if (Atomics.load(words, CLAIM) !== 0) return true;
    } while (performance.now() < end && Atomics.load(words, RETIRED) === 0);
    return false;
  }

  /** Claims a chunk and computes it; false if there is none. */
  function findChunk(): boolean {
    const left = block.claim();
    if (left === 0) return false;
    // The job is read after the claim: while a chunk of it is claimed, it does not change.
    const index = (words[CHUNKS] as number) - left;
    const [from, to] = block.rangeOf(index, words[CHUNK_SIZE] as number);
    totals.fill(0);
    try {
      for (let first = from; first < to; first += PIECE) {
        // Given up meanwhile: what this thread would write is not its own any more.
        if (Atomics.load(words, RETIRED) !== 0) return true;
        run(block.job, first, Math.min(PIECE, to - first), work);
      }
    } catch (error) {
      Atomics.add(words, FAILED, 1);
      throw error;
    }
    block.finish(index, totals[0] as number, totals[1] as number);
    Atomics.add(words, DONE, 1);
    return true;
  }
}
