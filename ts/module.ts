// Where the compiled kernel comes from: here, from bytes in the package. Hosts that do not compile
// bytes have module.workerd.ts in its place, the plain JavaScript entry module.none.ts.
import { kernel, sharedFlag } from './generated/kernel.ts';

/** Bytes of a memory that cannot grow, if nobody says how many. */
export const CAPACITY = 256 * 2 ** 20;

/** Compiles the kernel for unshared or shared memory. */
export function compile(shared: boolean): WebAssembly.Module | undefined {
  const bytes = Uint8Array.from(atob(kernel), (c) => c.charCodeAt(0));
  if (shared) bytes[sharedFlag.at] = sharedFlag.value;
  return new WebAssembly.Module(bytes);
}
