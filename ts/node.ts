// Node's own modules, asked for in a way that bundlers for browsers do not stumble over. Other hosts
// have none, or the same.

interface Modules {
  'node:worker_threads': {
    Worker: new (script: string, options: { eval: true; execArgv: string[] }) => unknown;
    parentPort: {
      postMessage(message: unknown): void;
      on(event: 'message', listener: unknown): void;
      off(event: 'message', listener: unknown): void;
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
