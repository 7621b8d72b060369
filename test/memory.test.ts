// Arrays in the kernel's memory, the memory itself, and arrays from anywhere else.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';
import { transformSync } from 'esbuild';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { PIECE } from '../ts/generated/job.ts';
import { type Mask, type MaskValues, unload } from '../ts/index.ts';
import { compile } from '../ts/module.ts';
import { type Backend, backends, fresh, type Package, reloaded } from './backends.ts';
import type { Results } from './calls.ts';
import { thrown } from './functions.ts';
import { isCollected } from './garbage.ts';
import { expectSame } from './outcomes.ts';
import { Program } from './program.ts';

// biome-ignore lint/suspicious/noExplicitAny: wrong calls have wrong types
type Any = any;
const MiB = 2 ** 20;

/** How many bytes an error says are left. */
function bytesLeft(smooth: Package): number {
  return Number(/ (\d+) bytes left/.exec(thrown(() => smooth.float32(2 ** 40)))?.[1]);
}

const sizeOf = (smooth: Package): number => {
  using array = smooth.float32(1);
  return array.buffer.byteLength;
};

describe.each(backends)('%s: float32, uint8 and free', (backend, smooth) => {
  test('a length gives as many zeros, at a multiple of 64 bytes', () => {
    for (const n of [0, 1, 15, 16, 17, 1000]) {
      using floats = smooth.float32(n);
      using bytes = smooth.uint8(n);
      expect(floats).toEqual(new Float32Array(n));
      expect(bytes).toEqual(new Uint8Array(n));
      expect([floats.byteOffset % 64, bytes.byteOffset % 64]).toEqual([0, 0]);
    }
  });

  test('memory that is used again is zeroed', () => {
    const before = smooth.float32(100).fill(7);
    smooth.free(before);
    using after = smooth.float32(100);
    expect(after.byteOffset).toBe(before.byteOffset);
    expect(after).toEqual(new Float32Array(100));
  });

  test.each<[string, Iterable<number> | ArrayLike<number>]>([
    ['an Array', [1.1, -0, Number.NaN, 2 ** 25 + 1]],
    ['a Float64Array', Float64Array.of(1.1, -0, Number.NaN, 2 ** 25 + 1)],
    ['a Float32Array', Float32Array.of(1.1, -0, Number.NaN, 2 ** 25 + 1)],
    ['a Set', new Set([1.1, -0, Number.NaN, 2 ** 25 + 1])],
    ['an iterator', [1.1, -0, Number.NaN, 2 ** 25 + 1].values()],
    ['an array-like', { length: 4, 0: 1.1, 1: -0, 2: Number.NaN, 3: 2 ** 25 + 1 }],
    ['an array of another realm', vm.runInNewContext('[1.1, -0, NaN, 2 ** 25 + 1]')],
  ])('the values of %s, rounded to f32', (name, values) => {
    using array = smooth.float32(values);
    // A Set has only one zero.
    const zero = name === 'a Set' ? 0 : -0;
    expect(array).toEqual(Float32Array.of(1.1, zero, Number.NaN, 2 ** 25));
  });

  test('bytes are taken as Uint8Array takes them', () => {
    using mask = smooth.uint8([0, 1, 255, 256, -1, 1.9]);
    expect(mask).toEqual(Uint8Array.of(0, 1, 255, 0, 255, 1));
  });

  test.each<[string, Any, string]>([
    ['-1', -1, 'RangeError: F: the length must be an integer from 0, got -1'],
    ['1.5', 1.5, 'RangeError: F: the length must be an integer from 0, got 1.5'],
    ['NaN', Number.NaN, 'RangeError: F: the length must be an integer from 0, got NaN'],
    ['Infinity', Infinity, 'RangeError: F: the length must be an integer from 0, got Infinity'],
    [
      'a length of -1',
      { length: -1 },
      'RangeError: F: the length must be an integer from 0, got -1',
    ],
    ['a string', '12', 'TypeError: F: expected a length or a list of numbers, got "12"'],
    ['a BigInt', 12n, 'TypeError: F: expected a length or a list of numbers, got 12n'],
    ['null', null, 'TypeError: F: expected a length or a list of numbers, got null'],
    ['undefined', undefined, 'TypeError: F: expected a length or a list of numbers, got undefined'],
    ['true', true, 'TypeError: F: expected a length or a list of numbers, got true'],
    ['a function', () => 1, 'TypeError: F: expected a length or a list of numbers, got a function'],
    ['an object', {}, 'TypeError: F: expected a length or a list of numbers, got an Object'],
    [
      'a buffer',
      new ArrayBuffer(8),
      'TypeError: F: expected a length or a list of numbers, got an ArrayBuffer',
    ],
    [
      'a Promise',
      Promise.resolve(1),
      'TypeError: F: expected a length or a list of numbers, got a Promise',
    ],
    ['a Date', new Date(), 'TypeError: F: expected a length or a list of numbers, got a Date'],
    [
      'a DataView',
      new DataView(new ArrayBuffer(8)),
      'TypeError: F: expected a length or a list of numbers, got a DataView',
    ],
    ['a list of BigInts', [1n], 'TypeError: F: values[0] must be a number, got 1n'],
    ['a BigInt64Array', BigInt64Array.of(7n), 'TypeError: F: values[0] must be a number, got 7n'],
    [
      'a list with a symbol',
      [1, Symbol('s')],
      'TypeError: F: values[1] must be a number, got a symbol',
    ],
    [
      'rows',
      [
        [1, 2],
        [3, 4],
      ],
      'TypeError: F: values[0] must be a number, got an Array',
    ],
    ['a list of a list of one', [5, [7]], 'TypeError: F: values[1] must be a number, got an Array'],
    [
      'typed rows',
      [Float32Array.of(1)],
      'TypeError: F: values[0] must be a number, got a Float32Array',
    ],
    ['an empty text', [0, 1, ''], 'TypeError: F: values[2] must be a number, got ""'],
    ['a number as text', ['7'], 'TypeError: F: values[0] must be a number, got "7"'],
    ['a boolean', [true], 'TypeError: F: values[0] must be a number, got true'],
    ['a number object', [Object(7)], 'TypeError: F: values[0] must be a number, got a Number'],
    ['a Map', new Map([[1, 2]]), 'TypeError: F: values[0] must be a number, got an Array'],
    ['a Set of texts', new Set([1, 'a']), 'TypeError: F: values[1] must be a number, got "a"'],
    ['a String object', Object('12'), 'TypeError: F: values[0] must be a number, got "1"'],
    [
      'an array-like of texts',
      { length: 2, 0: 1, 1: '2' },
      'TypeError: F: values[1] must be a number, got "2"',
    ],
  ])('%s is no length and no list', (_, source, text) => {
    const left = bytesLeft(smooth);
    for (const fn of ['float32', 'uint8'] as const)
      expect(thrown(() => smooth[fn](source))).toBe(text.replace('F', fn));
    expect(bytesLeft(smooth)).toBe(left);
  });

  test.each<[string, Any]>([
    ['null', [1, null]],
    ['undefined', [1, undefined]],
    ['a hole', Object.assign(new Array(3), { 0: 1, 2: 3 })],
    ['an element that an array-like does not have', { length: 2, 0: 1 }],
  ])('%s is missing, and NaN is what to write for it', (name, values) => {
    const left = bytesLeft(smooth);
    const text = `TypeError: F: values[1] must be a number, got ${name === 'null' ? null : undefined}`;
    expect(thrown(() => smooth.float32(values))).toBe(
      `${text.replace('F', 'float32')}; use NaN for what is missing, and ignoreNaNTargets to leave it out`,
    );
    expect(thrown(() => smooth.uint8(values))).toBe(text.replace('F', 'uint8'));
    expect(bytesLeft(smooth)).toBe(left);
  });

  test.each([
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
  ])('the values of a %o of this realm and another', (type) => {
    for (const realm of [globalThis, vm.runInNewContext('globalThis')] as Any[]) {
      using floats = smooth.float32(realm[type.name].of(3, 1, 2));
      using bytes = smooth.uint8(realm[type.name].of(3, 1, 2));
      expect([...floats, ...bytes]).toEqual([3, 1, 2, 3, 1, 2]);
    }
  });

  test('a typed array is taken for what it is, whatever it says of itself', () => {
    const liar = Float64Array.of(1, 2, 3);
    Object.defineProperty(liar, 'length', { value: 1000 });
    using array = smooth.float32(liar);
    expect(array).toEqual(Float32Array.of(1, 2, 3));
  });

  test('a list that changes while it is copied writes nothing elsewhere', () => {
    const grows = {
      length: 2,
      get 0() {
        this.length = 1000;
        return 1;
      },
      1: 2,
      2: 7,
    };
    const proxy = new Proxy([1, 2], {
      get(target, key) {
        target.push(7);
        return Reflect.get(target, key);
      },
    });
    for (const list of [grows, proxy]) {
      using array = smooth.float32(list);
      // It is behind the array, on every backend with one memory.
      using next = smooth.float32(16);
      expect(Array.from(array.subarray(0, 2))).toEqual([1, 2]);
      expect(array.length).toBeLessThanOrEqual(10);
      expect(next).toEqual(new Float32Array(16));
    }
    const left = bytesLeft(smooth);
    const shrinks = [1, 2, 3];
    Object.defineProperty(shrinks, 1, {
      get() {
        shrinks.length = 2;
        return 2;
      },
    });
    expect(thrown(() => smooth.float32(shrinks))).toMatch(
      /^TypeError: float32: values\[2\] must be a number, got undefined/,
    );
    expect(bytesLeft(smooth)).toBe(left);
  });

  test('the iterator of a list runs before memory is taken, and its error is what is thrown', () => {
    const left = bytesLeft(smooth);
    let inside = 0;
    const lists: Iterable<number>[] = [
      (function* () {
        inside = bytesLeft(smooth);
        yield 1;
        throw new Error('mine');
      })(),
      Object.defineProperty([1, 2] as Any, 1, {
        get() {
          throw new Error('mine');
        },
      }),
    ];
    for (const list of lists) expect(thrown(() => smooth.float32(list))).toBe('Error: mine');
    expect([inside, bytesLeft(smooth)]).toEqual([left, left]);
  });

  test.each([Float32Array, Float64Array, Uint8Array])('a detached %o is no list', (type) => {
    const gone = new type(4);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    for (const fn of ['float32', 'uint8'] as const)
      expect(thrown(() => smooth[fn](gone))).toMatch(/^TypeError: (float32|uint8): .*detached/);
  });

  test('an array can be released once, as it was made', () => {
    const array = smooth.float32(100);
    const again =
      'RangeError: free: the array was released before, or is a view on one that float32(), float16(), bfloat16() or uint8() made';
    for (const view of [
      array.subarray(),
      array.subarray(0, 10),
      array.subarray(16),
      new Float32Array(array.buffer, array.byteOffset, 100),
      new Uint8Array(array.buffer, array.byteOffset, 400),
    ])
      expect(thrown(() => smooth.free(view))).toBe(again);
    array.fill(5);
    smooth.free(array);
    expect(thrown(() => smooth.free(array))).toBe(again);
    using next = smooth.float32(100);
    // The place has another owner now.
    if (backend !== 'js') expect(next.byteOffset).toBe(array.byteOffset);
    expect(thrown(() => smooth.free(array))).toBe(again);
    using apart = smooth.float32(100);
    next.fill(3);
    expect(apart).toEqual(new Float32Array(100));
  });

  test('empty arrays are released like others', () => {
    const [a, b, c] = [smooth.float32(0), smooth.float32([]), smooth.uint8(0)];
    for (const array of [a, b, c]) smooth.free(array);
    for (const array of [a, b, c])
      expect(thrown(() => smooth.free(array))).toMatch(/^RangeError: free:/);
  });

  test.each<[string, Any, string]>([
    [
      'an array elsewhere',
      new Float32Array(4),
      "RangeError: free: the array is not in the kernel's memory; float32() makes arrays there",
    ],
    [
      'an Array',
      [1],
      'TypeError: free: expected an array that float32(), float16(), bfloat16() or uint8() made, got an Array',
    ],
    [
      'a Float64Array',
      new Float64Array(1),
      'TypeError: free: expected an array that float32(), float16(), bfloat16() or uint8() made, got a Float64Array',
    ],
    [
      'null',
      null,
      'TypeError: free: expected an array that float32(), float16(), bfloat16() or uint8() made, got null',
    ],
    [
      'undefined',
      undefined,
      'TypeError: free: expected an array that float32(), float16(), bfloat16() or uint8() made, got undefined',
    ],
    [
      'a number',
      64,
      'TypeError: free: expected an array that float32(), float16(), bfloat16() or uint8() made, got 64',
    ],
  ])('%s cannot be released', (_, array, text) => {
    expect(thrown(() => smooth.free(array))).toBe(text);
  });

  test('an array of another package cannot be released', async () => {
    const other = await reloaded({ backend: smooth.backend });
    using array = smooth.float32(4);
    expect(thrown(() => other.free(array))).toMatch(
      /^RangeError: free: the array is not in the kernel's memory/,
    );
  });

  test.skipIf(backend === 'js')(
    'using releases at the end of the scope, also if it is left by an error',
    () => {
      const left = bytesLeft(smooth);
      let inside = left;
      const scope = () => {
        using array = smooth.float32(1000);
        using mask = smooth.uint8(1000);
        inside = bytesLeft(smooth);
        throw new Error(`${array.length + mask.length}`);
      };
      expect(thrown(scope)).toBe('Error: 2000');
      expect(inside).toBe(left - 4032 - 1024);
      expect(bytesLeft(smooth)).toBe(left);
    },
  );

  test('using, as compiled for hosts without Symbol.dispose, releases too', () => {
    const script = '{ using array = float32(1000); call(array); }';
    const { code } = transformSync(script, { target: 'es2022' });
    let array: Any;
    // Everything that Symbol has, but for `dispose`.
    const older = Object.assign((name: string) => Symbol(name), {
      for: Symbol.for,
      iterator: Symbol.iterator,
    });
    vi.stubGlobal('Symbol', older);
    try {
      const call = (inside: Float32Array) => {
        array = inside;
        expect(smooth.l1Loss(inside, inside)).toBe(0);
      };
      new Function('float32', 'call', code)(smooth.float32, call);
    } finally {
      vi.unstubAllGlobals();
    }
    expect(thrown(() => smooth.free(array))).toMatch(/^RangeError: free: .*released before/);
  });

  test.skipIf(backend === 'js')(
    '100,000 arrays that come and go leave the memory as it was',
    () => {
      const kept: Float32Array[] = [];
      let size = 0;
      let left = 0;
      for (let i = 0; i < 100_000; i++) {
        const place = Math.imul(i, 0x9e3779b1) >>> 26;
        if (kept[place]) smooth.free(kept[place]);
        kept[place] = smooth.float32((Math.imul(i, 0x85ebca6b) >>> 20) + 1);
        if (i === 5000) size = sizeOf(smooth);
      }
      for (const array of kept) smooth.free(array);
      expect(sizeOf(smooth)).toBe(size);
      left = bytesLeft(smooth);
      // All that is left is one piece again, or can be had as one.
      using all = smooth.float32(left / 4);
      expect(all.length * 4).toBe(left);
    },
  );

  test('a call with an array that was released is an error that names it', () => {
    const { l1Loss, l1LossBackward, l1LossWithGrad } = smooth;
    const [gone, other] = [smooth.float32([1, 2]), smooth.float32([1, 2])];
    const mask = smooth.uint8([1, 1]);
    const view = gone.subarray();
    smooth.free(gone);
    smooth.free(mask);
    // It has the place of the first now.
    const next = smooth.float32([3, 4]);
    const calls: [string, () => unknown][] = [
      ['l1Loss: input', () => l1Loss(gone, other)],
      ['l1Loss: target', () => l1Loss(other, gone)],
      ['l1Loss: mask', () => l1Loss(other, other, { mask })],
      ['l1Loss: weight', () => l1Loss(other, other, { weight: gone })],
      ['l1LossBackward: out', () => l1LossBackward(1, other, other, { out: gone })],
      ['l1LossWithGrad: gradInput', () => l1LossWithGrad(other, other, gone)],
      ['l1LossBackward: gradOutput', () => l1LossBackward(gone, other, other)],
    ];
    for (const [start, call] of calls)
      expect(thrown(call)).toMatch(new RegExp(`^TypeError: ${start} was released by free\\(\\)`));
    expect([...next, ...other]).toEqual([3, 4, 1, 2]);
    // A view is not known to be one of an array that was released.
    expect(l1Loss(view, view)).toBe(0);
    smooth.free(next);
    smooth.free(other);
  });

  test('nobody can make or change what an array remembers of itself', () => {
    const array = smooth.float32([1, 2, 3, 4]);
    const victim = smooth.float32([5, 6, 7, 8]);
    const keys = Object.getOwnPropertySymbols(array).filter(
      (key) => key.description === 'smooth-l1',
    );
    expect(keys.length).toBe(1);
    const key = keys[0] as symbol;
    const stamp = (array as Any)[key];
    expect(Reflect.defineProperty(array, key, { value: {} })).toBe(false);
    expect(Reflect.deleteProperty(array, key)).toBe(false);
    expect([Object.isFrozen(stamp), Object.isFrozen(Object.getPrototypeOf(stamp))]).toEqual([
      true,
      true,
    ]);
    expect(Reflect.ownKeys(stamp)).toEqual([]);
    // Nothing that it shows leads to the memory, or to a new one.
    for (let at = stamp; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
      expect(Reflect.has(at, 'constructor') && stamp.constructor !== Object).toBe(false);
      for (const name of Reflect.ownKeys(at))
        expect(['number', 'string', 'boolean', 'function']).toContain(typeof stamp[name]);
    }
    // Copied to others, it is believed of none.
    const withStamp = (value: unknown) =>
      Object.defineProperty(Float32Array.of(1, 2, 3, 5), key, { value });
    for (const other of [withStamp(stamp), withStamp((victim as Any)[key])]) {
      expect(smooth.l1LossWithGrad(other, array, other, { reduction: 'sum' })).toBe(1);
      expect(Array.from(other)).toEqual([0, 0, 0, 1]);
      expect(thrown(() => smooth.free(other))).toMatch(/^RangeError: free: the array is not in/);
    }
    const fake = { array: null, offset: victim.byteOffset, length: 4, bytesPerElement: 4 };
    for (const value of [fake, Object.create(stamp), new Proxy(stamp, {}), 5, null, 'x']) {
      const other = withStamp(value);
      for (const call of [
        () => smooth.l1LossWithGrad(other, array, other),
        () => smooth.free(other),
      ])
        expect(thrown(call)).toMatch(/^TypeError/);
      expect(Array.from(other)).toEqual([1, 2, 3, 5]);
    }
    expect(Array.from(victim)).toEqual([5, 6, 7, 8]);
    for (const mine of [array, victim]) smooth.free(mine);
    // To release it twice releases nothing of others.
    const next = smooth.float32(4);
    stamp.release();
    const apart = smooth.float32(4);
    if (smooth.backend !== 'js') expect(apart.byteOffset).not.toBe(next.byteOffset);
    smooth.free(next);
    smooth.free(apart);
  });
});

describe.each(['wasm-shared', 'wasm'] as const)('%s: the allocator', (backend) => {
  test('arrays never overlap, whatever comes and goes', async () => {
    const smooth = await fresh({ backend, capacity: MiB });
    const steps = fc.array(fc.tuple(fc.nat({ max: 15 }), fc.nat({ max: 900 })), { maxLength: 60 });
    const property = fc.property(steps, (steps) => {
      const arrays = new Map<number, Float32Array>();
      for (const [key, length] of steps) {
        const old = arrays.get(key);
        if (old) smooth.free(old);
        arrays.set(key, smooth.float32(length).fill(key));
      }
      for (const [key, array] of arrays) {
        expect(array.every((x) => x === key)).toBe(true);
        smooth.free(array);
      }
    });
    fc.assert(property, { seed: 1, numRuns: 60 });
  });

  test('neighbours that are released are one again, in any order', async () => {
    const smooth = await fresh({ backend, capacity: MiB });
    const orders = permutations([0, 1, 2, 3]);
    expect(orders.length).toBe(24);
    for (const order of orders) {
      const arrays = [1, 2, 3, 4].map((k) => smooth.float32(16 * k));
      const first = arrays[0] as Float32Array;
      // Nothing behind them may be of use.
      using fence = smooth.float32(16);
      for (const i of order) smooth.free(arrays[i] as Float32Array);
      using all = smooth.float32(16 * 10);
      expect(all.byteOffset).toBe(first.byteOffset);
      expect(fence.byteOffset).toBe(first.byteOffset + 640);
    }
  });
});

function permutations(items: number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}

describe('a shared memory', () => {
  test('grows, and arrays stay what and where they are', async () => {
    const smooth = await fresh({ backend: 'wasm-shared' });
    const input = smooth.float32([1, 2, 3]);
    const size = input.buffer.byteLength;
    const large = smooth.float32(size);
    const target = smooth.float32([3, 3, 3]);
    expect(target.buffer.byteLength).toBeGreaterThanOrEqual(5 * size);
    expect(target.buffer).not.toBe(input.buffer);
    expect(input).toEqual(Float32Array.of(1, 2, 3));
    const before = smooth.copiedBytes();
    expect(smooth.l1Loss(input, target, { reduction: 'sum' })).toBe(3);
    smooth.l1LossBackward(1, target, input, { out: input, reduction: 'sum' });
    expect(smooth.copiedBytes()).toBe(before);
    expect(input).toEqual(Float32Array.of(1, 1, 0));
    for (const array of [input, large, target]) smooth.free(array);
  });

  test('views through different buffer objects are seen to overlap', async () => {
    const smooth = await fresh({ backend: 'wasm-shared' });
    const input = smooth.float32(100);
    const { buffer } = smooth.float32(input.buffer.byteLength);
    expect(buffer).not.toBe(input.buffer);
    const out = new Float32Array(buffer, input.byteOffset + 4, 100);
    expect(thrown(() => smooth.l1LossBackward(1, input, input, { out }))).toMatch(
      /^RangeError: .*overlaps input/,
    );
    const same = new Float32Array(buffer, input.byteOffset, 100);
    expect(smooth.l1LossBackward(1, input, input, { out: same })).toBe(same);
  });

  test('that may not grow that much is an error, and goes on', async () => {
    const memory = new WebAssembly.Memory({ initial: 3, maximum: 40, shared: true });
    const smooth = await fresh({ memory });
    const left = bytesLeft(smooth);
    expect(thrown(() => smooth.float32(2 ** 20))).toBe(
      `RangeError: float32: 4194304 bytes asked for, ${left} bytes left of ${memory.buffer.byteLength} in the kernel's memory, which cannot grow that much; release arrays with free()`,
    );
    // To the last page, though each growth asks for more first.
    const arrays: Float32Array[] = [];
    const text = thrown(() => {
      for (;;) arrays.push(smooth.float32(8192 - 16));
    });
    expect(text).toMatch(/^RangeError: float32: 32704 bytes asked for, \d+ bytes left of 2621440 /);
    expect(memory.buffer.byteLength).toBe(40 * 65536);
    expect(smooth.l1Loss(arrays[0] as Float32Array, arrays[1] as Float32Array)).toBe(0);
  });

  test('that its owner grew is the same memory', async () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 100, shared: true });
    const smooth = await fresh({ memory });
    const array = smooth.float32([5, 6]);
    memory.grow(1);
    const view = new Float32Array(memory.buffer, array.byteOffset, 2);
    const before = smooth.copiedBytes();
    expect(smooth.l1Loss(view, array)).toBe(0);
    expect(smooth.copiedBytes()).toBe(before);
  });
});

describe('buffer objects of one shared memory that the package has not seen', () => {
  // Each time that somebody grows the memory, `memory.buffer` is another object.
  const setUp = async () => {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 100, shared: true });
    const smooth = await fresh({ memory });
    return { memory, smooth, array: smooth.float32([5, 6, 7, 8]) };
  };
  const others: [string, (memory: WebAssembly.Memory, array: Float32Array) => ArrayBufferLike][] = [
    [
      'between two growths',
      (memory) => {
        memory.grow(1);
        const { buffer } = memory;
        memory.grow(1);
        return buffer;
      },
    ],
    ['by a clone of the memory', (memory) => structuredClone(memory).buffer],
    ['by a clone of an array', (_, array) => structuredClone(array).buffer],
  ];

  test.each(others)('%s: arrays are used in place, and overlaps are seen', async (_, make) => {
    const { memory, smooth, array } = await setUp();
    const buffer = make(memory, array);
    const view = new Float32Array(buffer, array.byteOffset, 4);
    const before = smooth.copiedBytes();
    expect(smooth.l1Loss(view, array, { copy: 'throw' })).toBe(0);
    expect(smooth.l1LossBackward(4, view, array, { out: view, copy: 'throw' })).toBe(view);
    expect(array).toEqual(new Float32Array(4));
    expect(smooth.copiedBytes()).toBe(before);
    const shifted = new Float32Array(buffer, array.byteOffset + 4, 4);
    expect(thrown(() => smooth.l1LossBackward(1, array, array, { out: shifted }))).toMatch(
      /^RangeError: l1LossBackward: out overlaps input/,
    );
    expect(thrown(() => smooth.free(view))).toMatch(/^RangeError: free: .* is a view on one/);
  });

  test('a copy of the memory, as long as it, is another memory', async () => {
    const { memory, smooth, array } = await setUp();
    for (const like of [SharedArrayBuffer, vm.runInNewContext('ArrayBuffer')]) {
      const copy = new like(memory.buffer.byteLength);
      new Uint8Array(copy).set(new Uint8Array(memory.buffer));
      const bytes = new Uint8Array(memory.buffer).slice();
      const view = new Float32Array(copy, array.byteOffset, 4);
      for (let i = 0; i < 3; i++) {
        expect(() => smooth.l1Loss(view, array, { copy: 'throw' })).toThrow(/not in the kernel/);
        expect(smooth.l1Loss(view, array)).toBe(0);
      }
      // What is written to find out lies in the kernel's own part.
      expect(Buffer.compare(new Uint8Array(copy), bytes)).toBe(0);
    }
  });

  test("nothing is written to the part of the memory that is not the kernel's", async () => {
    const { memory, smooth, array } = await setUp();
    const start = 2 * 65536;
    const pattern = Uint8Array.from({ length: start }, (_, i) => i % 251);
    new Uint8Array(memory.buffer).set(pattern);
    memory.grow(1);
    const { buffer } = memory;
    memory.grow(1);
    new Uint8Array(buffer, buffer.byteLength - 65536).fill(9);
    smooth.l1Loss(new Float32Array(buffer, array.byteOffset, 4), array);
    expect(new Uint8Array(memory.buffer, 0, start).every((x, i) => x === pattern[i])).toBe(true);
    expect(new Uint8Array(buffer, buffer.byteLength - 65536).every((x) => x === 9)).toBe(true);
  });
});

describe('an unshared memory of the user that grows', () => {
  test('goes on: new arrays work, and old ones are detached', async () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 64 });
    const smooth = await fresh({ memory, capacity: MiB });
    // From now on there is a place for copies.
    smooth.l1Loss(new Float32Array(2), new Float32Array(2));
    const left = bytesLeft(smooth);
    const [old, mask] = [smooth.float32([1, 2]), smooth.uint8(2)];
    // Twice: once with calls in between, once without any.
    memory.grow(1);
    expect(smooth.l1Loss(Float32Array.of(3), Float32Array.of(1))).toBe(2);
    memory.grow(1);
    const [input, target] = [smooth.float32([4, 6]), smooth.float32([1, 1])];
    expect(input.buffer).toBe(memory.buffer);
    const before = smooth.copiedBytes();
    expect(smooth.l1Loss(input, target, { copy: 'throw', reduction: 'sum' })).toBe(8);
    expect(smooth.copiedBytes()).toBe(before);
    // The user's own part.
    const own = new Float32Array(memory.buffer, 4, 2);
    expect(smooth.l1Loss(own, own, { copy: 'throw' })).toBe(0);
    expect(thrown(() => smooth.l1Loss(old, input))).toMatch(
      /^TypeError: l1Loss: input is detached/,
    );
    expect(thrown(() => smooth.l1Loss(input, target, { mask }))).toMatch(
      /^TypeError: l1Loss: mask is detached/,
    );
    expect(bytesLeft(smooth)).toBeLessThan(left);
    for (const array of [old, mask, input, target]) smooth.free(array);
    expect(thrown(() => smooth.free(old))).toMatch(/^RangeError: free: .*released before/);
    expect(bytesLeft(smooth)).toBe(left);
  });

  test('what grows while a list is read is no error, nor a leak', async () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 64 });
    const smooth = await fresh({ memory, capacity: MiB });
    const left = bytesLeft(smooth);
    const list = {
      length: 2,
      get 0() {
        memory.grow(1);
        return 1;
      },
      1: 2,
    };
    const array = smooth.float32(list);
    expect(thrown(() => smooth.l1Loss(array, array))).toMatch(
      /^TypeError: l1Loss: input is detached/,
    );
    smooth.free(array);
    expect(bytesLeft(smooth)).toBe(left);
    expect(smooth.l1Loss(smooth.float32([3]), smooth.float32([1]))).toBe(2);
  });
});

describe('a memory of a fixed size', () => {
  const backend = 'wasm';
  test('says what was asked and what is left, which is true, and goes on', async () => {
    const smooth = await fresh({ backend, capacity: MiB });
    const left = bytesLeft(smooth);
    expect(left).toBeGreaterThan(MiB / 2);
    expect(thrown(() => smooth.uint8(left + 1))).toBe(
      `RangeError: uint8: ${left + 1} bytes asked for, ${left} bytes left of 1048576 in the kernel's memory, whose size is fixed; release arrays with free()`,
    );
    const all = smooth.float32(left / 4);
    expect(thrown(() => smooth.float32(1))).toBe(
      "RangeError: float32: 4 bytes asked for, 0 bytes left of 1048576 in the kernel's memory, whose size is fixed; release arrays with free()",
    );
    expect(smooth.l1Loss(all, all)).toBe(0);
    smooth.free(all);
    expect(bytesLeft(smooth)).toBe(left);
  });

  test('a call that cannot get what it needs takes nothing and writes nothing', async () => {
    const columns = 2000;
    const n = 5 * columns;
    const values = new Float32Array(n).fill(2);
    const beta = new Float32Array(columns).fill(1);
    const weights = { perColumn: new Float32Array(columns).fill(3) };
    // What it needs is asked for piece by piece: each time, another piece fails.
    const failed = new Set<string>();
    for (const room of [0, 4, 448, 450, 458, 468, 490, 528].map((kiB) => kiB * 1024)) {
      const smooth = await fresh({ backend, capacity: MiB });
      using _ = smooth.float32((bytesLeft(smooth) - room) / 4);
      const before = bytesLeft(smooth);
      const out = new Float32Array(n).fill(7);
      const options = { beta, insideWeights: weights, outsideWeights: weights, rowLength: columns };
      const call = () =>
        smooth.smoothL1LossBackward(1, values, new Float32Array(n), { ...options, out });
      const text = thrown(call);
      if (text === 'nothing was thrown') continue;
      failed.add(text.replace(/, .*/, ''));
      expect(text).toMatch(
        /^RangeError: smoothL1LossBackward: \d+ bytes asked for, \d+ bytes left of 1048576/,
      );
      expect(out.every((x) => x === 7)).toBe(true);
      // The room for copies stays, being of use to every call.
      expect(before - bytesLeft(smooth)).toBeLessThan(500 * 1024);
      if (room <= 448 * 1024) expect(bytesLeft(smooth)).toBe(before);
    }
    expect(failed.size).toBe(2);
  });

  test('arrays that are elsewhere may be larger than the memory', async () => {
    const smooth = await fresh({ backend, capacity: MiB });
    const [input, target] = [new Float32Array(MiB).fill(3), new Float32Array(MiB).fill(1)];
    const gradInput = new Float32Array(MiB);
    expect(smooth.l1LossWithGrad(input, target, gradInput)).toBe(2);
    expect(gradInput.every((g) => g === 2 ** -20)).toBe(true);
  });

  test('thresholds by column take 24 bytes a column, until the call ends', async () => {
    const smooth = await fresh({ backend, capacity: MiB });
    const call = (columns: number) => {
      const values = new Float32Array(columns).fill(2);
      const beta = new Float32Array(columns).fill(1);
      return smooth.smoothL1Loss(values, new Float32Array(columns), { beta, rowLength: columns });
    };
    expect(call(10_000)).toBe(1.5);
    const left = bytesLeft(smooth);
    expect(call(Math.floor(left / 24) - 10)).toBe(1.5);
    expect(bytesLeft(smooth)).toBe(left);
    expect(thrown(() => call(50_000))).toMatch(
      /^RangeError: smoothL1Loss: 1200000 bytes asked for/,
    );
    expect(bytesLeft(smooth)).toBe(left);
  });

  test('weights by column may be larger, too, and rows end within pieces: the bits of plain JavaScript', async () => {
    const columns = 300_001;
    const values = (n: number, step: number) =>
      Float32Array.from({ length: n }, (_, i) => ((i * step) % 1009) / 256 - 2);
    const [input, target] = [values(2 * columns, 7), values(2 * columns, 11)];
    const options = {
      rowLength: columns,
      insideWeights: { perColumn: values(columns, 13) },
      outsideWeights: { perColumn: values(columns, 17) },
    };
    const outcomes: Results[] = [];
    for (const from of [{ backend, capacity: MiB } as const, { backend: 'js' } as const]) {
      const smooth = await fresh(from);
      const { smoothL1Loss, smoothL1LossBackward } = smooth;
      const before = smooth.copiedBytes();
      const sum = smoothL1Loss(input, target, { ...options, reduction: 'sum' });
      const rows = smoothL1Loss(input, target, { ...options, reduction: 'rows' });
      const grad = smoothL1LossBackward(1, input, target, options);
      outcomes.push({ sum, rows, grad });
      if (from.backend === 'js') continue;
      // Three calls read four arrays of all elements; the gradient comes back.
      expect(smooth.copiedBytes() - before).toBe(4 * (3 * 8 * columns + 2 * columns));
    }
    const [found, right] = outcomes as [Results, Results];
    expectSame(found, right);
  });

  test.each([MiB, MiB + 1, MiB + 7.5, 3 * MiB + 100])(
    'any capacity will do: %d',
    async (capacity) => {
      const smooth = await fresh({ backend, capacity });
      expect(smooth.backend).toBe(backend);
      expect(smooth.l1Loss(smooth.float32([3]), smooth.float32([1]))).toBe(2);
    },
  );
});

describe('load', () => {
  const errors: [Any, string][] = [
    [null, 'TypeError: load: options must be an object, got null'],
    [5, 'TypeError: load: options must be an object, got 5'],
    [
      { simd: true },
      'TypeError: load: there is no option "simd"; there are backend, module, memory, capacity',
    ],
    [
      { backend: 'gpu' },
      'RangeError: load: backend must be "wasm-shared", "wasm" or "js", got "gpu"',
    ],
    [{ backend: 1n }, 'TypeError: load: backend must be "wasm-shared", "wasm" or "js", got 1n'],
    [{ backend: null }, 'TypeError: load: backend must be "wasm-shared", "wasm" or "js", got null'],
    [{ module: {} }, 'TypeError: load: module must be a WebAssembly.Module, got an Object'],
    [
      { module: new Uint8Array(8) },
      'TypeError: load: module must be a WebAssembly.Module, got a Uint8Array',
    ],
    [
      { memory: new ArrayBuffer(8) },
      'TypeError: load: memory must be a WebAssembly.Memory, got an ArrayBuffer',
    ],
    [{ capacity: '64' }, 'TypeError: load: capacity must be a number, got "64"'],
    ...[0, MiB - 1, -1, 2 ** 32, Number.NaN].map((capacity): [Any, string] => [
      { capacity },
      `RangeError: load: capacity must be from 1 MiB to less than 4 GiB, got ${capacity}`,
    ]),
  ];
  test.each(errors)('%o is refused, and changes nothing', async (options, text) => {
    const smooth = await fresh();
    expect(thrown(() => smooth.load(options))).toBe(text);
    smooth.load({ backend: 'js' });
    expect(smooth.backend).toBe('js');
  });

  test('comes once, and before the first use', async () => {
    const text = (backend: Backend) =>
      `Error: load: the kernel runs already (${backend}); load must come before the first use, or after unload()`;
    const loaded = await fresh({ backend: 'js' });
    expect(thrown(() => loaded.load())).toBe(text('js'));
    const used = await fresh();
    used.free(used.float32(1));
    expect(thrown(() => used.load({ backend: 'js' }))).toBe(text('wasm-shared'));
    expect(used.backend).toBe('wasm-shared');
  });

  test('takes the first backend that works where none is asked for', async () => {
    const smooth = await fresh({});
    expect(smooth.backend).toBe('wasm-shared');
  });

  test('says why what is asked for cannot run, and can be called again', async () => {
    const smooth = await fresh();
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2 });
    expect(thrown(() => smooth.load({ memory }))).toMatch(
      /^Error: smooth-l1 cannot run here \(wasm: .+\)$/,
    );
    expect(thrown(() => smooth.load({ memory, backend: 'wasm-shared' }))).toMatch(
      /^Error: smooth-l1 cannot run here \(wasm-shared: .+\)$/,
    );
    smooth.load({ backend: 'wasm', capacity: MiB });
    expect(smooth.backend).toBe('wasm');
  });

  test.each([
    ['wasm', compile(false)],
    ['wasm-shared', compile(true)],
  ] as const)('takes a compiled module: %s', async (backend, module) => {
    const smooth = await fresh({ module: module as WebAssembly.Module, capacity: MiB });
    expect(smooth.backend).toBe(backend);
    expect(smooth.l1Loss(Float32Array.of(3), Float32Array.of(1))).toBe(2);
  });

  test('does not fall back to JavaScript where a module was given', async () => {
    const smooth = await fresh();
    const empty = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    expect(thrown(() => smooth.load({ module: empty, capacity: MiB }))).toMatch(
      /^Error: smooth-l1 cannot run here \(/,
    );
  });
});

describe.each([true, false])('a memory of the user, shared: %s', (shared) => {
  test('keeps what it holds, and is used in place', async () => {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 64, shared });
    const start = memory.buffer.byteLength;
    const pattern = Uint8Array.from({ length: start }, (_, i) => i % 251);
    new Uint8Array(memory.buffer).set(pattern);
    const smooth = await fresh({ memory, capacity: MiB });
    expect(smooth.backend).toBe(shared ? 'wasm-shared' : 'wasm');
    const n = 20_000;
    using input = smooth.float32(new Float32Array(n).fill(2));
    expect(input.buffer).toBe(memory.buffer);
    expect(input.byteOffset).toBeGreaterThanOrEqual(start);
    // Zero-copy, staged, with everything.
    const elsewhere = new Float32Array(n).fill(1);
    const mask = new Uint8Array(n).fill(1);
    for (const target of [input, elsewhere])
      smooth.smoothL1LossBackward(elsewhere, input, target, {
        mask,
        weight: elsewhere,
        out: elsewhere.slice(),
      });
    expect(Buffer.compare(new Uint8Array(memory.buffer, 0, start), pattern)).toBe(0);

    // An array of the user's own, in their part of the memory.
    const own = new Float32Array(memory.buffer, 4, 100).fill(5);
    const before = smooth.copiedBytes();
    expect(smooth.l1Loss(own, input.subarray(0, 100))).toBe(3);
    smooth.l1LossBackward(100, own, input.subarray(0, 100), { out: own });
    expect(own.every((g) => g === 1)).toBe(true);
    expect(smooth.copiedBytes()).toBe(before);
    expect(
      Buffer.compare(new Uint8Array(memory.buffer, 404, start - 404), pattern.subarray(404)),
    ).toBe(0);
  });

  if (!shared)
    test('is grown once, by the capacity', async () => {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 64, shared });
      const smooth = await fresh({ memory, capacity: MiB });
      const array = smooth.float32([5]);
      expect(thrown(() => smooth.uint8(MiB))).toMatch('left of 1114112 in the kernel');
      expect(array).toEqual(Float32Array.of(5));
      expect(memory.buffer.byteLength).toBe(65536 + MiB);
    });
});

test('js: an array that is too large for the host is an error that says its bytes', () => {
  const smooth = fresh({ backend: 'js' });
  for (const [name, bytes] of [
    ['float32', 2 ** 42],
    ['float16', 2 ** 41],
    ['uint8', 2 ** 40],
  ] as const)
    expect(() => smooth[name](2 ** 40)).toThrow(
      RegExp(`^${name}: no memory left for ${bytes} bytes \\(Array buffer allocation failed`),
    );
  expect(smooth.float32(2).length).toBe(2);
});

test('nothing is read behind the memory', async () => {
  const smooth = await fresh({ backend: 'wasm', capacity: MiB });
  // Up to the last byte, so that any more would be a trap.
  const last = smooth.float32(bytesLeft(smooth) / 4);
  expect(last.byteOffset + last.byteLength).toBe(last.buffer.byteLength);
  for (const n of [last.length, 5000, 1281, 1280, 1025, 17, 1]) {
    const end = last.subarray(last.length - n);
    expect(smooth.smoothL1Loss(end, end)).toBe(0);
    expect(smooth.huberLossWithGrad(end, end, end)).toBe(0);
    const mask = new Uint8Array(last.buffer, last.buffer.byteLength - n, n);
    expect(smooth.l1Loss(end, end, { mask, reduction: 'sum' })).toBe(0);
    expect(smooth.l1Loss(end, end, { reduction: 'none', out: end })).toBe(end);
  }
});

test('arrays whose memory is taken from the kernel are detached, not empty', async () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 64 });
  const takes = new Map<Package, (array: Float32Array) => unknown>([
    [
      await fresh({ backend: 'js' }),
      (array: Float32Array) =>
        structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] }),
    ],
    [await fresh({ memory, capacity: MiB }), () => memory.grow(1)],
  ]);
  for (const [smooth, take] of takes) {
    const [input, target] = [smooth.float32(20), smooth.float32(20)];
    take(input);
    const wanted = /^TypeError: l1Loss: input is detached/;
    expect(thrown(() => smooth.l1Loss(input, target))).toMatch(wanted);
  }
});

/** Its constructor is not that of its views. */
class Four extends Float32Array {
  constructor() {
    super(4);
  }
}

describe.each(backends)('%s: arrays from elsewhere', (backend, smooth) => {
  const Resizable = ArrayBuffer as unknown as new (
    bytes: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & { resize(bytes: number): void };
  const resized = () => {
    const buffer = new Resizable(8, { maxByteLength: 64 });
    const array = new Float32Array(buffer);
    buffer.resize(16);
    return array;
  };
  const makers: [string, () => Float32Array][] = [
    ['a view at an odd offset', () => new Float32Array(7).subarray(3)],
    ['a shared buffer', () => new Float32Array(new SharedArrayBuffer(16))],
    ['a buffer that was resized', resized],
    ['another realm', () => vm.runInNewContext('new Float32Array(4)')],
    ['a subclass', () => new Four()],
    [
      'a memory of WebAssembly',
      () => new Float32Array(new WebAssembly.Memory({ initial: 1 }).buffer, 4, 4),
    ],
  ];
  test.each(makers)('%s', (_, make) => {
    const of = (...values: number[]) => {
      const array = make();
      array.set(values);
      return array;
    };
    const [input, target] = [of(1, 2, 3, 4), of(3, 2, 1, 0)];
    const options = { reduction: 'sum', weight: of(1, 1, 2, 2) } as const;
    expect(smooth.l1Loss(input, target, options)).toBe(2 + 4 + 8);
    const gradInput = make();
    expect(smooth.l1LossWithGrad(input, target, gradInput, options)).toBe(14);
    expect(Array.from(gradInput)).toEqual([-1, 0, 2, 2]);
    expect(smooth.l1LossBackward(of(1, 2, 3, 4), input, target, { ...options, out: input })).toBe(
      input,
    );
    expect(Array.from(input)).toEqual([-1, 0, 6, 8]);
  });

  test('a mask may be clamped bytes or booleans, and go by row or column', () => {
    const [input, target] = [Float32Array.of(1, 2, 4, 8, 16, 32), new Float32Array(6)];
    const sum = (mask: Mask, rowLength = 3): number =>
      smooth.l1Loss(input, target, { mask, rowLength, reduction: 'sum' });
    for (const [bytes, rows, columns] of [
      [Uint8Array.of(0, 1, 0, 1, 0, 9), Uint8Array.of(0, 1), Uint8Array.of(0, 1, 1)],
      [
        Uint8ClampedArray.of(0, 1, 0, 1, 0, 9),
        Uint8ClampedArray.of(0, 1),
        Uint8ClampedArray.of(0, 1, 1),
      ],
      [
        [false, true, false, true, false, true],
        [false, true],
        [false, true, true],
      ],
    ] as [MaskValues, MaskValues, MaskValues][]) {
      expect(sum(bytes)).toBe(42);
      expect(sum(rows)).toBe(56);
      expect(sum({ perRow: rows })).toBe(56);
      expect(sum({ perColumn: columns })).toBe(54);
    }
    expect(sum({ perColumn: smooth.uint8([1, 0, 1]) })).toBe(45);
    // Two rows of two: an array of two is one for each row, as long as nothing else is said.
    const two = (mask: Mask): number =>
      smooth.l1Loss(input.subarray(0, 4), target.subarray(0, 4), {
        mask,
        rowLength: 2,
        reduction: 'sum',
      });
    expect([two([true, false]), two({ perColumn: [true, false] })]).toEqual([3, 5]);
    const wrong = (mask: unknown, rowLength?: number) =>
      thrown(() => smooth.l1Loss(input, target, { mask: mask as Mask, rowLength }));
    const bytes = 'a Uint8Array, a Uint8ClampedArray';
    expect(wrong([true, 1])).toBe(
      `TypeError: l1Loss: mask must be ${bytes}, a list of booleans, { perRow: ... } or { perColumn: ... }, got an Array`,
    );
    expect(wrong({ perColumn: [1, 0, 1] }, 3)).toBe(
      `TypeError: l1Loss: mask.perColumn must be ${bytes} or a list of booleans, got an Array`,
    );
    expect(wrong({ perColumn: [true] })).toBe(
      'TypeError: l1Loss: mask.perColumn needs rowLength, which is missing',
    );
    expect(wrong({ perColumn: [true] }, 3)).toBe(
      'RangeError: l1Loss: mask.perColumn has length 1; it must be 3, one for each column',
    );
  });

  test('a mask may be a Buffer of Node, or of another realm', () => {
    const [input, target] = [Float32Array.of(1, 2), Float32Array.of(0, 0)];
    for (const mask of [Buffer.from([0, 1]), vm.runInNewContext('Uint8Array.of(0, 1)')])
      expect(smooth.l1Loss(input, target, { mask, reduction: 'sum' })).toBe(2);
  });

  test('an array that says something else of itself is taken for what it is', () => {
    const [input, target] = [Float32Array.of(1, 2), Float32Array.of(0, 0)];
    const lies = {
      length: 1000,
      byteLength: 4000,
      byteOffset: 64,
      buffer: new ArrayBuffer(4),
      BYTES_PER_ELEMENT: 1,
    };
    for (const [name, value] of Object.entries(lies)) {
      const liar = input.slice();
      Object.defineProperty(liar, name, { value });
      expect(smooth.l1Loss(liar, target, { reduction: 'sum' }), name).toBe(3);
      const out = new Float32Array(2);
      Object.defineProperty(out, name, { value });
      smooth.l1LossBackward(1, input, target, { out, reduction: 'sum' });
      expect(
        Array.from({ length: 2 }, (_, i) => out[i]),
        name,
      ).toEqual([1, 1]);
    }
  });

  test('long ones are let go of when the call ends', async () => {
    const call = (): WeakRef<object> => {
      const array = new Float32Array(PIECE + 1);
      expect(smooth.l1Loss(array, array)).toBe(0);
      return new WeakRef(array.buffer);
    };
    expect(await isCollected(call())).toBe(true);
  });

  test('copied in pieces or in place: the same bits', () => {
    const n = 100_003;
    const values = (seed: number) =>
      Float32Array.from({ length: n }, (_, i) => ((i * seed) % 4001) / 1000 - 2);
    const [x, y, weight] = [values(7919), values(104_729), values(1_299_709)];
    using input = smooth.float32(x);
    using target = smooth.float32(y);
    using gradInput = smooth.float32(n);
    const grad = new Float32Array(n);
    for (const options of [{}, { beta: 0.3, reduction: 'sum' }, { weight }] as const) {
      const loss = smooth.smoothL1LossWithGrad(input, target, gradInput, options);
      const copied = { loss: smooth.smoothL1LossWithGrad(x, y, grad, options), gradInput: grad };
      expectSame(copied, { loss, gradInput });
      expect(smooth.smoothL1Loss(x, y, options)).toBe(loss);
    }
  });

  test('the bytes that are copied are counted, each time they are', () => {
    const n = 10;
    const here = () => smooth.float32(n);
    const there = () => new Float32Array(n);
    const rows = { rowLength: 5 };
    // With plain JavaScript nothing has to be copied.
    const isCopied = backend === 'js' ? 0 : 1;
    const bytes = (call: () => unknown): number => {
      const before = smooth.copiedBytes();
      call();
      return smooth.copiedBytes() - before;
    };
    const { l1Loss, l1LossBackward, l1LossWithGrad } = smooth;
    expect(bytes(() => l1Loss(here(), here()))).toBe(0);
    expect(bytes(() => l1Loss(there(), here()))).toBe(40 * isCopied);
    expect(bytes(() => l1Loss(there(), there()))).toBe(80 * isCopied);
    expect(bytes(() => l1Loss(here(), here(), { reduction: 'none', out: here() }))).toBe(0);
    expect(bytes(() => l1Loss(here(), here(), { reduction: 'none' }))).toBe(40 * isCopied);
    expect(bytes(() => l1Loss(here(), here(), { reduction: 'rows', ...rows }))).toBe(8 * isCopied);
    expect(bytes(() => l1Loss(here(), here(), { mask: new Uint8Array(n) }))).toBe(10 * isCopied);
    expect(bytes(() => l1Loss(here(), here(), { weight: there() }))).toBe(40 * isCopied);
    expect(bytes(() => l1Loss(here(), here(), { weight: new Float32Array(2), ...rows }))).toBe(
      8 * isCopied,
    );
    expect(bytes(() => l1Loss(here(), here(), { weight: new Float32Array(5), ...rows }))).toBe(
      20 * isCopied,
    );
    expect(bytes(() => l1LossWithGrad(there(), there(), there()))).toBe(120 * isCopied);
    expect(bytes(() => l1LossWithGrad(here(), here(), there(), { accumulate: true }))).toBe(
      80 * isCopied,
    );
    expect(bytes(() => l1LossBackward(there(), here(), here(), { out: here() }))).toBe(
      40 * isCopied,
    );
    expect(
      bytes(() => l1LossBackward(1, here(), here(), { out: here(), gradTarget: there() })),
    ).toBe(40 * isCopied);
    const means = { reduction: 'rowMeans', out: here(), ...rows } as const;
    for (const [grad, copied] of [
      [2, 0],
      [smooth.float32(2), 0],
      [new Float32Array(2), 8],
    ] as const)
      expect(bytes(() => l1LossBackward(grad, here(), here(), means))).toBe(copied * isCopied);
    const long = () => new Float32Array(100_000);
    expect(bytes(() => l1LossWithGrad(long(), long(), long()))).toBe(1_200_000 * isCopied);
  });

  test('copy "throw" lets all pass that is in place', () => {
    const [input, target, out] = [smooth.float32([3]), smooth.float32([1]), smooth.float32(1)];
    const mask = smooth.uint8([1]);
    const before = smooth.copiedBytes();
    expect(smooth.l1Loss(input, target, { mask, copy: 'throw' })).toBe(2);
    expect(
      smooth.l1LossBackward(1, input, target, { out, mask, weight: input, copy: 'throw' }),
    ).toBe(out);
    expect(smooth.copiedBytes()).toBe(before);
  });
});

describe.each(['wasm-shared', 'wasm', 'js'] as const)('%s: unload', (backend) => {
  const options = { backend, ...(backend === 'wasm' && { capacity: 4 * MiB }) };
  const gone = 'was released by free() or unload(); make a new array';

  test('gives the memory up at once; the next use starts anew, as at first', async () => {
    const smooth = fresh(options);
    const loss = new smooth.L1Loss();
    const [input, target] = [smooth.float32([1, 2]), smooth.float32(2)];
    expect(loss.forward(input, target)).toBe(1.5);
    smooth.l1Loss(new Float32Array(9), new Float32Array(9));
    const promise = smooth.unload();
    expect(smooth.backend).toBe('wasm-shared');
    expect(smooth.copiedBytes()).toBe(0);
    smooth.load({ backend: 'wasm', capacity: 2 * MiB });
    const [again, zeros] = [smooth.float32([1, 3]), smooth.float32(2)];
    expect(again.buffer.byteLength).toBe(2 * MiB);
    expect(again.buffer).not.toBe(input.buffer);
    expect(loss.forward(again, zeros)).toBe(2);
    expect(await promise).toBeUndefined();
    expect(loss.forward(again, zeros)).toBe(2);
    expect(smooth.copiedBytes()).toBe(0);
  });

  test('a call with an array from before is an error, in every place; free and using still take it', () => {
    const smooth = fresh(options);
    const [x, y, mask] = [smooth.float32([1, 2]), smooth.float32(2), smooth.uint8(2)];
    const loss = new smooth.L1Loss();
    expect(loss.forward(x, y)).toBe(1.5);
    void smooth.unload();
    const [now, zeros] = [smooth.float32([1, 2]), smooth.float32(2)];
    expect(thrown(() => loss.forward(x, y))).toBe(`TypeError: L1Loss: input ${gone}`);
    expect(thrown(() => loss.forward(now, y))).toBe(`TypeError: L1Loss: target ${gone}`);
    expect(thrown(() => loss.forward(now, zeros, { mask }))).toBe(
      `TypeError: L1Loss: mask ${gone}`,
    );
    expect(thrown(() => smooth.l1LossBackward(1, now, zeros, { out: x }))).toBe(
      `TypeError: l1LossBackward: out ${gone}`,
    );
    expect(Array.from(x)).toEqual([1, 2]);
    smooth.free(x);
    expect(thrown(() => smooth.free(x))).toMatch(
      /^RangeError: free: the array was released before/,
    );
    y[Symbol.dispose]();
    // Nothing of the new memory was released by that.
    using other = smooth.float32(2);
    expect(other.fill(9)).not.toBe(now);
    expect(loss.forward(now, zeros)).toBe(1.5);
  });

  test('a view on an array from before is an array from elsewhere, with its values', () => {
    const smooth = fresh(options);
    const view = smooth.float32([1, 2, 3]).subarray(1);
    void smooth.unload();
    smooth.load(options);
    using zeros = smooth.float32(2);
    expect(smooth.l1Loss(view, zeros)).toBe(2.5);
    expect(smooth.copiedBytes()).toBe(backend === 'js' ? 0 : 8);
    expect(thrown(() => smooth.l1Loss(view, zeros, { copy: 'throw' }))).toMatch(
      /^TypeError: l1Loss: input is not in the kernel's memory/,
    );
  });

  test('by a getter of an option: the call starts anew, and refuses the arrays from before', () => {
    const smooth = fresh(options);
    const [x, y] = [smooth.float32([1, 2]), smooth.float32(2)];
    const given = {
      get reduction() {
        void unload();
        return 'sum' as const;
      },
    };
    expect(thrown(() => smooth.l1Loss(x, y, given))).toBe(`TypeError: l1Loss: input ${gone}`);
    expect(smooth.l1Loss(Float32Array.of(1, 2), new Float32Array(2), given)).toBe(3);
  });

  test('while a call looks at its arrays: the call is an error, and nothing is written', () => {
    const smooth = fresh(options);
    const [x, out] = [smooth.float32([1, 2]), smooth.float32(2).fill(7)];
    const target = new Float32Array(2);
    const asked = new Proxy(Float32Array.prototype, {
      get(prototype, key, receiver) {
        if (typeof key === 'symbol') void unload();
        return Reflect.get(prototype, key, receiver);
      },
    });
    Object.setPrototypeOf(target, asked);
    expect(thrown(() => smooth.l1LossBackward(1, x, target, { out }))).toMatch(
      /was released by|called unload\(\) during the call/,
    );
    expect(Array.from(out)).toEqual([7, 7]);
    expect(smooth.l1Loss(Float32Array.of(1, 2), new Float32Array(2))).toBe(1.5);
  });

  test('twice, or before the first use, it changes nothing', async () => {
    const smooth = fresh();
    await smooth.unload();
    smooth.load(options);
    smooth.float32(10);
    await Promise.all([smooth.unload(), smooth.unload()]);
    await smooth.unload();
    expect(smooth.l1Loss(Float32Array.of(1, 2), new Float32Array(2))).toBe(1.5);
  });
});

describe('unload and the memories of others', () => {
  test.each([false, true])('one that load was given stays as it is (shared: %s)', (shared) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1000, shared });
    const smooth = fresh({ memory, capacity: MiB });
    const array = smooth.float32([1, 2]);
    const { byteOffset } = array;
    void smooth.unload();
    expect(Array.from(new Float32Array(memory.buffer, byteOffset, 2))).toEqual([1, 2]);
    const { byteLength } = memory.buffer;
    smooth.load({ memory, capacity: MiB });
    const next = smooth.float32([3]);
    // What the first kernel had is not used again.
    expect(next.byteOffset).toBeGreaterThanOrEqual(byteLength);
    expect(smooth.l1Loss(next, Float32Array.of(1))).toBe(2);
  });

  test('one that is attached stays so', () => {
    const smooth = fresh();
    const program = new Program();
    const detach = smooth.attach(program.memory, { allocate: program.allocate });
    try {
      const [x, y] = [program.floats([1, 2]), program.floats([0, 0])];
      expect(smooth.l1Loss(x, y)).toBe(1.5);
      void smooth.unload();
      expect(smooth.l1Loss(x, y, { copy: 'throw' })).toBe(1.5);
      expect(smooth.copiedBytes()).toBe(0);
    } finally {
      detach();
    }
  });
});

test('unload gives the memory back to the system, with threads too', () => {
  const script = `
    const { float32, L1Loss, l1Loss, setNumThreads, smoothL1LossWithGrad, unload } = await import('./ts/index.ts');
    const loss = new L1Loss();
    const MiB = 2 ** 20;
    async function use(threads) {
      await setNumThreads(threads);
      const [x, y, w] = [1, 2, 3].map((value) => float32(16 * MiB).fill(value));
      l1Loss(x, y);
      loss.forward(x, y, { weight: w });
      smoothL1LossWithGrad(x, y, x, { gradTarget: y });
    }
    for (const threads of [1, 2, 1]) {
      await use(threads);
      const full = process.memoryUsage.rss();
      await unload();
      let freed = 0;
      // What is on the stack of a turn is not collected in it.
      for (let turn = 0; turn < 100 && freed < 150 * MiB; turn++) {
        await new Promise(setImmediate);
        gc();
        freed = full - process.memoryUsage.rss();
      }
      console.log(freed >= 150 * MiB);
    }
  `;
  const cwd = fileURLToPath(new URL('..', import.meta.url));
  const args = ['--expose-gc', '--import', 'tsx', '--input-type=module', '--eval', script];
  expect(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' })).toBe('true\n'.repeat(3));
}, 60_000);

test('importing and using the package leaves nothing behind', () => {
  const script = `
    const state = () => JSON.stringify([
      Reflect.ownKeys(globalThis).map(String),
      process.eventNames().map((name) => [String(name), process.listenerCount(name)]),
      [Array, Float32Array, Object, Promise, WebAssembly].map((x) => [Reflect.ownKeys(x), Reflect.ownKeys(x.prototype ?? x)].flat().map(String)),
    ]);
    const before = state();
    const smooth = await import('./ts/index.ts');
    const imported = state() === before;
    smooth.l1Loss(new Float32Array(10), smooth.float32(10));
    console.log(imported, state() === before, process.getActiveResourcesInfo().filter((name) => !/^(TTY|Pipe|FS)/.test(name)));
  `;
  const cwd = fileURLToPath(new URL('..', import.meta.url));
  const args = ['--import', 'tsx', '--input-type=module', '--eval', script];
  expect(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' })).toBe('true true []\n');
}, 60_000);
