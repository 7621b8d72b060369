// The package once for each backend, side by side in one process: each test suite runs over all.
import { vi } from 'vitest';
import * as smooth from '../ts/index.ts';
import { type Kernel, runningKernel, use } from '../ts/kernel.ts';

export type Package = typeof smooth;
export type Backend = Package['backend'];

type Call = (...args: unknown[]) => unknown;

/** The package with a kernel of its own: as loaded with these options, or else started on first use. */
export function fresh(options?: Parameters<Package['load']>[0]): Package {
  let kernel: Kernel | undefined;
  const withKernel = (call: Call): Call =>
    function (this: unknown, ...args) {
      const before = runningKernel();
      use(kernel);
      try {
        return new.target ? Reflect.construct(call, args, new.target) : call.apply(this, args);
      } finally {
        kernel = runningKernel();
        use(before);
      }
    };
  /** A class whose methods use that kernel. */
  const classWithKernel = (type: new (...args: never[]) => object): Call => {
    const own = class extends type {};
    for (const name of ['forward', 'backward', 'withGrad', 'add', 'addWithGrad'])
      if (name in type.prototype)
        Object.defineProperty(own.prototype, name, {
          value: withKernel(type.prototype[name]),
        });
    return own as unknown as Call;
  };
  const members = Object.entries(smooth).map(([name, value]) => {
    if (/^[A-Z]/.test(name)) return [name, classWithKernel(value as never)] as const;
    return [name, typeof value === 'function' ? withKernel(value as Call) : value] as const;
  });
  const own = Object.fromEntries(members) as unknown as Package;
  Object.defineProperty(own, 'backend', {
    get: withKernel(() => smooth.backend) as () => Backend,
  });
  if (options) own.load(options);
  return own;
}

/** The package with all of its modules loaded afresh, for tests of what they find at that time. */
export async function reloaded(options?: Parameters<Package['load']>[0]): Promise<Package> {
  vi.resetModules();
  const smooth: Package = await import('../ts/index.ts');
  if (options) smooth.load(options);
  return smooth;
}

export const backends: [Backend, Package][] = [
  ['wasm-shared', fresh({ backend: 'wasm-shared' })],
  ['wasm', fresh({ backend: 'wasm', capacity: 2 ** 28 })],
  ['js', fresh({ backend: 'js' })],
];

/** The bits of an f64, or of f32 numbers: NaN and -0 compare like anything else. */
export function bits(value: number | Float32Array): string {
  const { buffer, byteOffset, byteLength } =
    typeof value === 'number' ? Float64Array.of(value) : value;
  const words = new Uint32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4);
  // Which NaN it is, is up to the engine.
  const isNaNBits = (word: number): boolean => (word & 0x7fffffff) > 0x7f800000;
  if (typeof value === 'number') return Number.isNaN(value) ? 'NaN' : `${words[0]},${words[1]}`;
  return Array.from(words, (word) => (isNaNBits(word) ? 'NaN' : word.toString(16))).join();
}
