// For the plain JavaScript entry: there is no WebAssembly in it.
export function compile(_shared: boolean): WebAssembly.Module | undefined {
  return undefined;
}
