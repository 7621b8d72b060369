// For hosts that refuse to compile bytes, and let a module be imported instead.
import kernel from './smooth_l1.wasm';

/** Its memory is not shared. */
export const START = 1;

/** Cloudflare gives a worker 128 MiB in all. */
export const CAPACITY = 48 * 2 ** 20;

export function compile(shared: boolean): WebAssembly.Module | undefined {
  return shared ? undefined : kernel;
}
