// How Node makes a worker of a CommonJS module, which has no `import.meta`.
import { builtin } from './node.ts';

declare const __dirname: string;

/** A worker that runs worker.ts. */
export function spawn(): unknown {
  const node = builtin('node:worker_threads');
  if (!node) throw new Error('it has no node:worker_threads');
  return new node.Worker(`${__dirname}/worker.js`, { execArgv: [] });
}
