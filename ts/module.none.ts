// For the plain JavaScript entry: there is no WebAssembly in it.

export const START = 2;
export const CAPACITY = 256 * 2 ** 20;

export function compile(_shared: boolean): WebAssembly.Module | undefined {
  return undefined;
}
