// A thread of the pool; threads.ts describes the protocol. It is a script of its own, and knows the
// kernels, one for each memory, only by what its messages bring.

import {
  AWAKE,
  BELL,
  CLAIM,
  type Control,
  control,
  DONE,
  EXACTS,
  FAILED,
  ORDERS,
  type Orders,
  PIECES,
  PLACE,
  type Place,
  RETIRED,
  SIZE,
} from './control.ts';
import { field, JOB_WORDS, TOTALS_WORDS, totals } from './generated/job.ts';
import type { Exports } from './job.ts';
import { builtin } from './node.ts';
import { clearTotals, isExact } from './totals.ts';

interface Port {
  postMessage(message: unknown): void;
  onmessage?: ((event: { data: Orders }) => void) | null;
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
if (parent) parent.on('message', obey);
else port.onmessage = ({ data }) => obey(data);

/** A kernel over one memory. */
type Here = ReturnType<typeof kernelAt>;

function kernelAt({ memory, module, job, work }: Place) {
  const { run } = new WebAssembly.Instance(module, { env: { memory } })
    .exports as unknown as Exports;
  const { buffer } = memory;
  const sums = new Float64Array(buffer, work, TOTALS_WORDS);
  const exact = new Uint32Array(buffer, work + sums.byteLength, EXACTS);
  return { run, job, jobWords: new Uint32Array(buffer, job, JOB_WORDS), work, sums, exact };
}

let block: Control | undefined;
let kernels = new Map<number, Here>();
/** Orders after the first ones. */
let received = -1;

/** Keeps the kernels that are in the orders, makes those that are new, and goes to work. */
function obey({ places, address, threads }: Orders): void {
  kernels = new Map(places.map((place) => [place.id, kernels.get(place.id) ?? kernelAt(place)]));
  block ??= control((places[0] as Place).memory.buffer, address, threads);
  received++;
  port.postMessage('ready');
  work(block);
}

/** Works until the pool is over, or until there is a message, which comes after this has returned. */
function work({ words, claim, shareOf, rangeOf, exacts, finish }: Control): void {
  Atomics.add(words, AWAKE, 1);
  for (;;) {
    // Read before RETIRED, ORDERS and CLAIM: a thread that changes one of these rings the bell afterwards.
    const bell = Atomics.load(words, BELL);
    if (Atomics.load(words, RETIRED) !== 0) break;
    if (Atomics.load(words, ORDERS) !== received) {
      Atomics.sub(words, AWAKE, 1);
      return;
    }
    if (findPieces() || spin()) continue;
    Atomics.sub(words, AWAKE, 1);
    Atomics.wait(words, BELL, bell);
    Atomics.add(words, AWAKE, 1);
  }
  if (parent) parent.off('message', obey);
  else port.onmessage = null;
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
    const left = claim();
    if (left === 0) return false;
    // The job is read after the claim: while a piece of it is claimed, it does not change.
    const begin = (words[PIECES] as number) - left;
    const share = shareOf(left);
    const { run, job, jobWords, work, sums, exact } = kernels.get(words[PLACE] as number) as Here;
    const hasExact = isExact(jobWords[field.want] as number, jobWords[field.count] as number);
    let counted = FAILED;
    try {
      for (let index = begin; index < begin + share; index++) {
        // Given up meanwhile: what this thread would write is not its own any more.
        if (Atomics.load(words, RETIRED) !== 0) return true;
        const [from, to] = rangeOf(index, words[SIZE] as number);
        clearTotals(sums, 0, exact, 0, hasExact);
        run(job, from, to - from, work);
        if (hasExact) exacts.set(exact, EXACTS * index);
        finish(index, sums[totals.LOSS] as number, sums[totals.COUNT] as number);
      }
      counted = DONE;
    } finally {
      // Last of all: the caller may return once each share is counted.
      Atomics.add(words, counted, share);
    }
    return true;
  }
}
