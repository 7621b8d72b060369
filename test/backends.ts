// The package once for each backend, side by side in one process: each test suite runs over all.
import { vi } from 'vitest';

export type Package = typeof import('../ts/index.ts');
export type Backend = Package['backend'];

/** A package of its own: its modules are loaded afresh, so that it has its own kernel and memory. */
export async function fresh(options?: Parameters<Package['load']>[0]): Promise<Package> {
  vi.resetModules();
  const smooth: Package = await import('../ts/index.ts');
  if (options) smooth.load(options);
  return smooth;
}

export const backends: [Backend, Package][] = [];
for (const backend of ['wasm-shared', 'wasm', 'js'] as const)
  backends.push([backend, await fresh({ backend, capacity: 2 ** 28 })]);

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
