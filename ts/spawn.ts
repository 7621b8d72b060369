// How a host makes a worker. CommonJS, which knows no `import.meta`, has spawn.cjs.ts in place of
// this file, and hosts without workers spawn.none.ts.
import { fromText, nodeWorkers } from './spawn.text.ts';

/**
 * The ways to make a worker that runs worker.ts, in the order in which to try them. A page's policy
 * may forbid scripts from text; a bundler, or another origin, may leave the file where no page
 * finds it.
 */
export function ways(): (() => unknown)[] {
  return nodeWorkers() ? [fromText] : [fromFile, fromText];
}

function fromFile(): unknown {
  // Bundlers look for just this expression.
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
}
