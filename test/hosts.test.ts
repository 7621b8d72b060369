// Hosts that lack something, or refuse it: `backend` tells what really runs, and results are right.
import { afterEach, describe, expect, test, vi } from 'vitest';
import { kernel } from '../ts/generated/kernel.ts';
import { type Backend, reloaded } from './backends.ts';

const real = WebAssembly;
afterEach(() => {
  vi.unstubAllGlobals();
});

/** WebAssembly with some of its functions replaced. */
function replaced(parts: { [name: string]: unknown }): typeof WebAssembly {
  return Object.create(
    real,
    Object.fromEntries(Object.entries(parts).map(([name, value]) => [name, { value }])),
  );
}

function refuse(type: new (message: string) => Error, message: string): () => never {
  return function Refused() {
    throw new type(message);
  };
}

/** A memory that may not be shared, as on a page that is not isolated, or not that large. */
function memoryWithin(pages: number, canBeShared: boolean) {
  return class Memory extends real.Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      if (descriptor.shared && !canBeShared) throw new TypeError('shared memory is not enabled');
      if ((descriptor.maximum ?? 0) > pages) throw new RangeError('could not allocate memory');
      super(descriptor);
    }
  };
}

const csp = 'Wasm code generation disallowed by embedder';
const hosts: [string, { [name: string]: unknown }, Backend][] = [
  ['all there is', {}, 'wasm-shared'],
  ['no WebAssembly', { WebAssembly: undefined }, 'js'],
  [
    'WebAssembly that compiles nothing',
    { WebAssembly: replaced({ Module: refuse(real.CompileError, csp) }) },
    'js',
  ],
  [
    'WebAssembly without SIMD',
    { WebAssembly: replaced({ Module: refuse(real.CompileError, 'invalid simd opcode') }) },
    'js',
  ],
  [
    'WebAssembly that runs nothing',
    { WebAssembly: replaced({ Instance: refuse(RangeError, 'out of memory') }) },
    'js',
  ],
  ['no shared memory', { WebAssembly: replaced({ Memory: memoryWithin(65536, false) }) }, 'wasm'],
  [
    'no shared memory, nor SharedArrayBuffer',
    { SharedArrayBuffer: undefined, WebAssembly: replaced({ Memory: memoryWithin(65536, false) }) },
    'wasm',
  ],
  ['shared memory without SharedArrayBuffer', { SharedArrayBuffer: undefined }, 'wasm-shared'],
  ['little memory', { WebAssembly: replaced({ Memory: memoryWithin(4096, true) }) }, 'wasm-shared'],
  ['too little memory', { WebAssembly: replaced({ Memory: memoryWithin(512, true) }) }, 'js'],
];

describe.each(hosts)('%s', (_, globals, backend) => {
  test(`runs ${backend}, says so, and is right`, async () => {
    for (const [name, value] of Object.entries(globals)) vi.stubGlobal(name, value);
    const smooth = await reloaded();
    // What will be tried first is all that is known before the first use.
    expect(smooth.backend).toBe(
      globals.WebAssembly === undefined && 'WebAssembly' in globals ? 'js' : 'wasm-shared',
    );
    const input = smooth.float32([1, 2, 3]);
    expect(smooth.backend).toBe(backend);
    const target = Float32Array.of(1.5, 2, 5);
    const gradInput = new Float32Array(3);
    expect(smooth.smoothL1LossWithGrad(input, target, gradInput, { reduction: 'sum' })).toBe(1.625);
    expect(Array.from(gradInput)).toEqual([-0.5, 0, -1]);
    const weight = smooth.float32([2, 0, 1]);
    const mask = smooth.uint8([1, 1, 0]);
    expect(smooth.huberLoss(input, target, { weight, mask, reduction: 'sum' })).toBe(0.25);
    for (const array of [input, weight, mask]) smooth.free(array);
    expect(smooth.backend).toBe(backend);
  });
});

const headers = /Cross-Origin-Opener-Policy.*Cross-Origin-Embedder-Policy/;
const unshared = { WebAssembly: replaced({ Memory: memoryWithin(65536, false) }) };
test.each([
  ['a page that is not isolated', 'wasm', 'this host has no shared memory', false, unshared, true],
  ['a host without shared memory', 'wasm', 'this host has no shared memory', undefined, unshared],
  [
    'a page whose policy forbids WebAssembly',
    'js',
    csp,
    false,
    { WebAssembly: replaced({ Module: refuse(real.CompileError, csp) }) },
  ],
])(
  '%s has no threads, and says why',
  async (_, backend, reason, isolated, globals, helps = false) => {
    for (const [name, value] of Object.entries({ ...globals, crossOriginIsolated: isolated }))
      vi.stubGlobal(name, value);
    const smooth = await reloaded();
    const message = await smooth.setNumThreads(2).catch(String);
    expect(message).toContain(`the backend here is "${backend}" (wasm-shared: ${reason})`);
    // Headers are named where they help, and nowhere else.
    expect(headers.test(message as string)).toBe(helps);
  },
);

test('a host that refuses a large memory is asked for smaller ones, never for more than the capacity', async () => {
  const asked: (number | undefined)[] = [];
  class Memory extends real.Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      asked.push(descriptor.maximum);
      if (asked.length < 3) throw new RangeError('could not allocate memory');
      super(descriptor);
    }
  }
  vi.stubGlobal('WebAssembly', replaced({ Memory }));
  const smooth = await reloaded();
  smooth.load({ backend: 'wasm-shared', capacity: 16_384 * 65_536 });
  expect(asked).toEqual([16_384, 4096, 1024]);
});

test.each([
  [1, 'wasm', [false]],
  [2, 'js', []],
] as const)(
  'the entry for hosts whose first backend is number %i tries none before',
  async (START, backend, compiled) => {
    const asked: boolean[] = [];
    const compile = (shared: boolean) => {
      asked.push(shared);
      return shared ? undefined : new real.Module(Buffer.from(kernel, 'hex'));
    };
    vi.doMock('#module', () => ({ START, CAPACITY: 2 ** 20, compile }));
    const smooth = await reloaded();
    vi.doUnmock('#module');
    expect(smooth.backend).toBe(backend);
    expect(smooth.l1Loss(Float32Array.of(3), Float32Array.of(1))).toBe(2);
    expect(smooth.backend).toBe(backend);
    expect(asked).toEqual(compiled);
    void smooth.unload();
    expect(() => smooth.load({ backend: 'wasm-shared' })).toThrow(
      new Error('smooth-l1 cannot run here (wasm-shared: this entry has no such module)'),
    );
  },
);

test('a host that compiles nothing runs a module that it is given', async () => {
  const module = new real.Module(Buffer.from(kernel, 'hex'));
  const Module = refuse(real.CompileError, csp);
  Module.prototype = real.Module.prototype;
  vi.stubGlobal('WebAssembly', replaced({ Module }));
  const smooth = await reloaded({ backend: 'wasm', module });
  expect(smooth.l1Loss(Float32Array.of(3), Float32Array.of(1))).toBe(2);
  expect(smooth.backend).toBe('wasm');
});

test.each([
  ['wasm', { WebAssembly: replaced({ Module: refuse(real.CompileError, csp) }) }, `wasm: ${csp}`],
  ['wasm', { WebAssembly: undefined }, 'wasm: this host has no WebAssembly'],
  [
    'wasm-shared',
    { WebAssembly: replaced({ Memory: memoryWithin(65536, false) }) },
    'wasm-shared: this host has no shared memory',
  ],
] as const)(
  '%s is not replaced by less where it is asked for',
  async (backend, globals, reason) => {
    for (const [name, value] of Object.entries(globals)) vi.stubGlobal(name, value);
    const smooth = await reloaded();
    expect(() => smooth.load({ backend })).toThrow(
      new Error(`smooth-l1 cannot run here (${reason})`),
    );
    smooth.load({ backend: 'js' });
    expect(smooth.backend).toBe('js');
  },
);

test.each([
  ['module', 'TypeError: load: module must be a WebAssembly.Module, got an Object'],
  ['memory', 'TypeError: load: memory must be a WebAssembly.Memory, got an Object'],
])('without WebAssembly, load refuses a %s as ever', async (name, text) => {
  vi.stubGlobal('WebAssembly', undefined);
  const smooth = await reloaded();
  let error: unknown;
  try {
    smooth.load({ [name]: {} });
  } catch (thrown) {
    error = thrown;
  }
  expect(String(error)).toBe(text);
});
