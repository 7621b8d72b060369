// selfTest: nothing differs in a sound engine, and what an instruction computes wrongly is found.
import { describe, expect, test } from 'vitest';
import { kernel } from '../ts/generated/kernel.ts';
import { backends, fresh } from './backends.ts';

describe.each(backends)('%s', (_, smooth) => {
  test('nothing differs, and nothing stays in memory', () => {
    expect(smooth.selfTest()).toEqual([]);
    const before = smooth.float32(1);
    smooth.free(before);
    expect(smooth.selfTest()).toEqual([]);
    const after = smooth.float32(1);
    if (smooth.backend !== 'js') expect(after.byteOffset).toBe(before.byteOffset);
    smooth.free(after);
  });
});

/** Instructions of four floats, by the second byte of their code, and what takes their place. */
const others = new Map([
  [0xe4, 0xe5], // add: sub
  [0xe5, 0xe4],
  [0xe6, 0xe4], // mul: add
  [0xea, 0xeb], // pmin: pmax
  [0xeb, 0xea],
]);

test('a module with one wrong instruction is found out', () => {
  const bytes = Uint8Array.from(Buffer.from(kernel, 'hex'));
  const isInstruction = (_: number, i: number): boolean =>
    bytes[i] === 0xfd && others.has(bytes[i + 1] as number) && bytes[i + 2] === 1;
  const places = [...bytes.keys()].filter(isInstruction);
  // All of them take half a minute.
  const tried = places.filter((_, i) => i % 23 === 5);
  const missed = tried.filter((at) => {
    const changed = bytes.slice();
    changed[at + 1] = others.get(bytes[at + 1] as number) as number;
    const module = new WebAssembly.Module(changed);
    const smooth = fresh({ backend: 'wasm', module, capacity: 2 ** 21 });
    const differences = smooth.selfTest();
    for (const { what, index, expected, actual } of differences) {
      expect(what).toMatch(/^\w+, \d{3}: [\w ]+$/);
      expect(Number.isInteger(index)).toBe(true);
      expect(actual).not.toBe(expected);
    }
    return differences.length === 0;
  });
  expect(tried.length).toBeGreaterThan(40);
  // Not each is found: some change no result of these calls.
  expect(missed.length / tried.length).toBeLessThan(0.1);
});
