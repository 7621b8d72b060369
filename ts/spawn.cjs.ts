// How a host makes a worker of a CommonJS module, which cannot tell where its files are.
import { fromText } from './spawn.text.ts';

export function ways(): (() => unknown)[] {
  return [fromText];
}
