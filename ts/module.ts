// Where the compiled kernel comes from: here, from bytes in the package. Hosts that do not compile
// bytes have module.workerd.ts in its place, the plain JavaScript entry module.none.ts.
import { kernel, sharedKernel } from './generated/kernel.ts';

/** Compiles the kernel for unshared or shared memory. */
export function compile(shared: boolean): WebAssembly.Module | undefined {
  const text = atob(shared ? sharedKernel : kernel);
  return new WebAssembly.Module(Uint8Array.from(text, (c) => c.charCodeAt(0)));
}
