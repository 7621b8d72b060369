// The physical limit in WebAssembly: a loop that only reads (and writes) what a pass reads and writes.

import { readFileSync } from 'node:fs';
import binaryen from 'binaryen';
import { load } from 'smooth-l1';
import { type Contender, FAR, runOf } from './contender.ts';
import { freeWindows, kernelWindows } from './javascript.ts';

interface Exports {
  read(x: number, y: number, n: number): number;
  write(x: number, y: number, z: number, n: number): void;
}

export interface Limit extends Contender {
  /** Reads `n` floats at each of two places in the kernel's memory. */
  read(x: number, y: number, n: number): number;
}

/** To be called before the kernel is used: it shares its memory with this module. */
export function limit(): Limit {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  load({ memory });
  const text = readFileSync(new URL('limit.wat', import.meta.url), 'utf8');
  const assembled = binaryen.parseText(text);
  assembled.setFeatures(binaryen.Features.SIMD128 | binaryen.Features.Atomics);
  const module = new WebAssembly.Module(assembled.emitBinary() as BufferSource);
  assembled.dispose();
  const exports = new WebAssembly.Instance(module, { env: { memory } })
    .exports as unknown as Exports;
  return {
    name: 'limit: WebAssembly that only moves the bytes',
    largest: FAR,
    read: exports.read,
    prepare(task) {
      const windows = kernelWindows(task).map((w) => ({
        ...w,
        // In numbers: asking an array where it is takes longer than a short pass.
        x: w.input.byteOffset,
        y: w.target.byteOffset,
        z: w.grad.byteOffset,
      }));
      const { operation, n } = task;
      const read = (w: (typeof windows)[0]) => exports.read(w.x, w.y, n);
      const write = (w: (typeof windows)[0]) => {
        exports.write(w.x, w.y, w.z, n);
        return 0;
      };
      const call = operation === 'forward' ? read : write;
      return {
        ...runOf(task, windows, call, () => freeWindows(windows)),
        check: () => undefined,
      };
    },
  };
}
