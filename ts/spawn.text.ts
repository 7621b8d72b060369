// A worker from text that the package has in it: no file to find, so that no bundler can lose it.
import { script } from './generated/worker.ts';
import { builtin } from './node.ts';

/** The script as a page has it, once it is needed. */
let address: string | undefined;

/** A worker that runs worker.ts. */
export function fromText(): unknown {
  const node = nodeWorkers();
  // Without the process's flags: some (--input-type) are not for workers, and none is needed.
  if (node) return new node.Worker(script, { eval: true, execArgv: [] });
  address ??= URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  return new Worker(address);
}

/**
 * Workers of Node, Deno and Bun, which do not keep the process alive. A global `Worker` beside them
 * is somebody's imitation in Node; in a page of Electron it is the one that works.
 */
export function nodeWorkers() {
  const { process } = globalThis as { process?: { type?: string } };
  return process?.type === 'renderer' ? undefined : builtin('node:worker_threads');
}
