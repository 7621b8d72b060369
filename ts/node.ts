// Node's own modules, asked for in a way that bundlers for browsers do not stumble over. Other hosts
// have none, or the same.

interface Modules {
  'node:worker_threads': {
    Worker: new (script: URL | string, options: { execArgv: string[] }) => unknown;
    parentPort: {
      postMessage(message: unknown): void;
      once(event: 'message', listener: unknown): void;
    } | null;
  };
  'node:os': { availableParallelism?: () => number };
}

export function builtin<Name extends keyof Modules>(name: Name): Modules[Name] | undefined {
  const { process } = globalThis as {
    process?: { getBuiltinModule?: (name: Name) => Modules[Name] };
  };
  return process?.getBuiltinModule?.(name);
}

/** True in Node itself, and not in what imitates it, nor in a page of Electron. */
export function isNode(): boolean {
  const { process } = globalThis as {
    process?: { versions?: Record<string, string | undefined>; type?: string };
  };
  const { node, bun } = process?.versions ?? {};
  return (
    node !== undefined &&
    bun === undefined &&
    !('Deno' in globalThis) &&
    process?.type !== 'renderer'
  );
}
