// The two variants of the kernel: pmin and pmax for x64, min and max for ARM64. Both run everywhere,
// and have to give the same bits.
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { compile } from '../ts/module.ts';
import { fresh, type Package, reloaded } from './backends.ts';
import { type Call, rolesOf } from './calls.ts';
import { anyBits, anyLength, call } from './draws.ts';
import type { Found } from './engines/checks.ts';
import { smoke } from './engines/smoke.js';
import type { Form } from './oracle.ts';
import { elsewhere, expectSame, inKernel, outcome } from './outcomes.ts';

afterEach(() => {
  vi.unstubAllGlobals();
});

/** The bytes that are compiled. */
function bytesOf(isShared: boolean, isStrict?: boolean): Uint8Array {
  let bytes: Uint8Array | undefined;
  class Module {
    constructor(given: Uint8Array) {
      bytes = given;
    }
  }
  vi.stubGlobal('WebAssembly', { Module });
  compile(isShared, isStrict);
  vi.unstubAllGlobals();
  return bytes as Uint8Array;
}

async function textOf(bytes: Uint8Array): Promise<string> {
  // Not with the file: tests without it run where a module that waits cannot be required.
  const { default: binaryen } = await import('binaryen');
  const module = binaryen.readBinary(bytes);
  const text = module.emitText();
  module.dispose();
  return text;
}

describe.each([true, false])('the modules, shared: %s', (isShared) => {
  const plain = bytesOf(isShared, false);
  const strict = bytesOf(isShared, true);

  test('that of x64 is the one that ships as a file', () => {
    const file = isShared ? 'smooth_l1_shared' : 'smooth_l1';
    const bytes = readFileSync(new URL(`../dist/${file}.wasm`, import.meta.url));
    expect(Buffer.compare(bytesOf(isShared, false), bytes)).toBe(0);
  });

  test('that of ARM64 has min and max for all pmin and pmax, and else the same text', async () => {
    const text = await textOf(plain);
    expect(text).toMatch(/f32x4\.pmin[\s\S]*f32x4\.pmax/);
    expect(WebAssembly.validate(strict as Uint8Array<ArrayBuffer>)).toBe(true);
    expect((await textOf(strict)) === text.replaceAll('f32x4.pm', 'f32x4.m')).toBe(true);
  });

  test('the processor says which one runs', () => {
    const wanted = process.arch === 'x64' ? plain : strict;
    expect(Buffer.compare(bytesOf(isShared), wanted)).toBe(0);
  });
});

test('the bytes of the modules are the same from each decoder, and the fastest is asked', () => {
  const asked: string[] = [];
  const real = Buffer;
  const wanted = bytesOf(true, true);
  const own = Object.assign(class extends Uint8Array {}, {
    fromHex(hex: string) {
      asked.push('fromHex');
      return real.from(hex, 'hex');
    },
  });
  const buffer = {
    from(hex: string) {
      asked.push('Buffer');
      return real.from(hex, 'hex');
    },
  };
  const none = class extends Uint8Array {};
  Object.defineProperty(none, 'fromHex', { value: undefined });
  for (const [type, Buffer] of [
    [own, buffer],
    [none, buffer],
    [none, undefined],
  ] as const) {
    vi.stubGlobal('Uint8Array', type);
    vi.stubGlobal('Buffer', Buffer);
    const bytes = bytesOf(true, true);
    expect(bytes.length).toBe(wanted.length);
    expect(wanted.every((byte, i) => byte === bytes[i])).toBe(true);
  }
  expect(asked).toEqual(['fromHex', 'Buffer']);
});

test('the suite of all engines finds the same in both variants', async () => {
  const texts = ['vectors', 'outside'].map((name) =>
    readFileSync(new URL(`./vectors/${name}.json`, import.meta.url), 'utf8'),
  );
  const createWorker = () => new Worker(new URL('../dist/worker.js', import.meta.url));
  const found: Found[] = [];
  for (const isStrict of [false, true]) {
    const smooth = await reloaded({ module: compile(true, isStrict) });
    found.push(await smoke(smooth, 'default', texts, { createWorker }));
    await smooth.setNumThreads(1);
  }
  const [plain, strict] = found;
  expect(plain).toMatchObject({ backend: 'wasm-shared', threads: 2, failures: [] });
  expect(strict).toEqual(plain);
});

const variants = [false, true].map((isStrict) => fresh({ module: compile(true, isStrict) })) as [
  Package,
  Package,
];

/** Fails unless both variants give the same in all functions that take such a call. */
function compare(call: Call): void {
  const [plain, strict] = variants;
  for (const role of rolesOf(call)) {
    const expected = outcome(plain, role, call, inKernel);
    expectSame(outcome(strict, role, call, inKernel), expected);
    expectSame(outcome(strict, role, call, elsewhere), expected);
  }
}

test('any options and bits', () => {
  fc.assert(fc.property(call(anyBits, anyLength), compare), {
    seed: 1,
    numRuns: 150,
    includeErrorInReport: true,
  });
});

const EDGES = [0, 2 ** -149, 2 ** -126, 0.5, 1, 3.4028234663852886e38, Infinity];
const residuals = [...EDGES.flatMap((x) => [x, -x]), NaN];

test.each<[Form, number[]]>([
  ['smoothL1', EDGES],
  ['huber', [-0, ...EDGES]],
  ['quantileHuber', [-0, ...EDGES]],
  ['l1', [0]],
])(
  '%s: every residual at every threshold, one for all or one for each column',
  (form, thresholds) => {
    for (const tau of form === 'quantileHuber' ? [0, 0.25, 1] : [0.5])
      for (const reduction of ['none', 'sum'] as const)
        for (const sign of [0, -0]) {
          const n = residuals.length * thresholds.length;
          const input = Float32Array.from(
            { length: n },
            (_, i) => residuals[Math.floor(i / thresholds.length)] as number,
          );
          const whole: Call = {
            form,
            tau,
            threshold: 1,
            reduction,
            input,
            target: new Float32Array(n).fill(sign),
          };
          for (const threshold of thresholds) compare({ ...whole, threshold });
          const columns = Float32Array.from(thresholds);
          if (form !== 'l1') compare({ ...whole, threshold: columns, rowLength: columns.length });
        }
  },
);
