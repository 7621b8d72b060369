// A user's own thread: it computes over arrays that it was sent, as often as it is told.
import { parentPort, workerData } from 'node:worker_threads';
import * as smooth from '../../dist/index.js';

const { memory, input, target, gradInput, places, threads, rounds, cells } = workerData;

smooth.load({ memory });
const arrays = places
  ? places.map(([offset, length]) => new Float32Array(memory.buffer, offset, length))
  : [input, target, gradInput];
await smooth.setNumThreads(threads);

// Both threads begin together, and this one says when it has ended.
Atomics.store(cells, 0, 1);
Atomics.notify(cells, 0);
const losses = new Set();
for (let i = 0; i < rounds; i++) losses.add(smooth.smoothL1LossWithGrad(...arrays));
Atomics.store(cells, 1, 1);
parentPort.postMessage({ losses: [...losses], copied: smooth.copiedBytes() });
