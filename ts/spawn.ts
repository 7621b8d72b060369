// How a host makes a worker. Hosts that know no `import.meta`, or no workers, have spawn.cjs.ts or
// spawn.none.ts in its place.
import { builtin, isNode } from './node.ts';

/** A worker that runs worker.ts. */
export function spawn(): unknown {
  const node = builtin('node:worker_threads');
  // Without the process's flags: some (--input-type) are not for a file, and none is needed.
  const options = { execArgv: [] };
  // In Node a global Worker is somebody's imitation. Deno's own would keep the process alive, but
  // that of Node takes files alone.
  if (node && (isNode() || typeof Worker === 'undefined' || isDenoFile()))
    return new node.Worker(new URL('./worker.js', import.meta.url), options);
  // Bundlers look for just this expression.
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
}

function isDenoFile(): boolean {
  return 'Deno' in globalThis && new URL('./worker.js', import.meta.url).protocol === 'file:';
}
