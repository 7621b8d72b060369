// The worker of the package, over a kernel that goes wrong when a test wants it to. It counts the
// runs of the kernel in `cells[0]`; after run number `at`, or before it, it does what `fault` says.
import { workerData } from 'node:worker_threads';

const { fault, at, cells } = workerData;

const faults = {
  throw() {
    throw new Error('a broken kernel');
  },
  end() {
    process.exit();
  },
  /** Goes on when the test sets `cells[1]`, if ever. */
  hold() {
    Atomics.wait(cells, 1, 0);
  },
};
faults['hold before'] = faults.hold;

const { Instance } = WebAssembly;
WebAssembly.Instance = function FaultyInstance(module, imports) {
  const { run } = new Instance(module, imports).exports;
  const faultyRun = (...args) => {
    if (fault !== 'hold before') run(...args);
    if (Atomics.add(cells, 0, 1) === at) faults[fault]();
    if (fault === 'hold before') run(...args);
  };
  return { exports: { run: faultyRun } };
};

// The first message waits for the listener that this adds.
await import('../../dist/worker.js');
