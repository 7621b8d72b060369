// Arrays in the memories of other programs.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { bits, fresh, type Package, reloaded } from './backends.ts';
import { inPlain, rolesOf, run } from './calls.ts';
import { anyBits, call, shortLength, tame } from './draws.ts';
import { thrown } from './functions.ts';
import { isCollected } from './garbage.ts';
import { expectSame } from './outcomes.ts';
import { Program } from './program.ts';

const PAGE = 65536;
const smooth = fresh();
const plain = fresh({ backend: 'js' });
const {
  attach,
  copiedBytes,
  float32,
  huberLoss,
  huberLossBackward,
  l1Loss,
  smoothL1Loss,
  smoothL1LossWithGrad,
} = smooth;

/** What was attached in a test. */
const attached: (() => void)[] = [];
function attachTo(program: Program, more: object = {}, to: Package = smooth): () => void {
  const detach = to.attach(program.memory, { allocate: program.allocate, ...more });
  attached.push(detach);
  return detach;
}
afterEach(() => {
  for (const detach of attached.splice(0)) detach();
});

/** The bytes that a call copies. */
function copied(call: () => unknown): number {
  const before = copiedBytes();
  call();
  return copiedBytes() - before;
}

const ramp = (n: number, step = 0.25): number[] =>
  Array.from({ length: n }, (_, i) => i * step - 3);

describe.each([
  ['unshared', false],
  ['shared', true],
])('%s memory', (_, shared) => {
  test.each([
    ['any bits', anyBits],
    ['tame numbers', tame],
  ])('every function has the bits of arrays elsewhere, and copies nothing: %s', (_, style) => {
    const program = new Program(400, { shared });
    // The kernel's own bytes lie above those of the arrays, which are used again.
    const lender = new Program(0, { start: 200 * PAGE }, program.memory);
    attachTo(program, { allocate: lender.allocate });
    const { end } = program;
    const drawn = fc.tuple(call(style, shortLength), fc.nat({ max: 3 }));
    const property = fc.property(drawn, ([call, shift]) => {
      for (const role of rolesOf(call)) {
        program.forget(end);
        const put = program.put(shift);
        const { threshold, tau } = call;
        const placed = (value: unknown): unknown =>
          typeof value === 'object' ? put('', value as Float32Array) : value;
        const before = copiedBytes();
        const here = { ...call, threshold: placed(threshold), tau: placed(tau) } as typeof call;
        const results = run(smooth, role, here, put);
        expect(copiedBytes() - before).toBe(0);
        expectSame(results, run(plain, role, call, inPlain));
      }
    });
    fc.assert(property, { seed: 1, numRuns: 150 });
  });

  test.each([16, 8193, 20_000])('%i elements, many times, and with other values', (n) => {
    const program = new Program(100, { shared });
    attachTo(program);
    const [x, t, g] = [
      program.floats(ramp(n)),
      program.floats(n ? [...Array(n).keys()] : []),
      program.floats(ramp(n)),
    ];
    for (let i = 0; i < 5; i++) {
      x.fill(i);
      const gradient = new Float32Array(n);
      const expected = smoothL1LossWithGrad(x.slice(), t.slice(), gradient);
      expect(copied(() => expect(smoothL1LossWithGrad(x, t, g)).toBe(expected))).toBe(0);
      expect(bits(g)).toBe(bits(gradient));
    }
  });

  test('thresholds by column take memory once, and are in place', () => {
    const program = new Program(64, { shared });
    attachTo(program);
    const [x, t, out] = [ramp(3000), ramp(3000, 1), ramp(3000)].map((v) => program.floats(v)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    for (const rowLength of [3, 3000, 1500, 3]) {
      const delta = program.floats(ramp(rowLength).map(Math.abs));
      const { length } = program.taken;
      const options = { delta, rowLength, reduction: 'none' } as const;
      const expected = huberLoss(x.slice(), t.slice(), { ...options, delta: delta.slice() });
      expect(copied(() => huberLoss(x, t, { ...options, out }))).toBe(0);
      expect(bits(out)).toBe(bits(expected));
      delta.fill(2);
      expect(bits(huberLoss(x, t, { ...options, out }))).toBe(
        bits(huberLoss(x.slice(), t.slice(), { ...options, delta: 2 })),
      );
      // Longer ones take more; shorter ones, and the same again, do not.
      expect(program.taken.length - length).toBe(
        rowLength === 3000 ? 1 : rowLength === 3 && length === 5 ? 1 : 0,
      );
    }
  });

  test('sums by column, means of rows and gradients to weights by row are in place', () => {
    const program = new Program(64, { shared });
    attachTo(program);
    const n = 20_000;
    const put = (values: Float32Array | number[]): Float32Array => program.floats([...values]);
    const [x, t, weights] = [ramp(n), ramp(n, 1), ramp(n / 4)];
    for (const reduction of ['columns', 'rowMeans'] as const) {
      const options = { rowLength: 4, reduction } as const;
      const [gradInput, gradInsideWeights] = [new Float32Array(n), new Float32Array(n / 4)];
      const [input, target] = [Float32Array.from(x), Float32Array.from(t)];
      const insideWeights = Float32Array.from(weights);
      const plain = { ...options, insideWeights, gradInsideWeights };
      const right = smooth.huberLossWithGrad(input, target, gradInput, plain);
      const out = put(new Float32Array(right.length));
      const [grad, gradWeights] = [put(new Float32Array(n)), put(new Float32Array(n / 4))];
      const here = { ...options, insideWeights: put(weights), gradInsideWeights: gradWeights, out };
      const [hereX, hereT] = [put(x), put(t)];
      expect(copied(() => smooth.huberLossWithGrad(hereX, hereT, grad, here))).toBe(0);
      expect([out, grad, gradWeights].map(bits)).toEqual(
        [right, gradInput, gradInsideWeights].map(bits),
      );
    }
  });

  test('a loss object works with arrays of this and of other memories, in turn', () => {
    const [a, b] = [new Program(32, { shared }), new Program(32)];
    const sets = [
      (v: number[]) => float32(v),
      (v: number[]) => a.floats(v),
      (v: number[]) => b.floats(v),
      (v: number[]) => Float32Array.from(v),
    ].map((make) => [make(ramp(40)), make(ramp(40, 1)), make(ramp(40))] as const);
    attachTo(a);
    attachTo(b);
    const loss = new smooth.SmoothL1Loss({ beta: 0.5, reduction: 'sum' });
    const expected = loss.withGrad(...sets[0]!);
    for (let i = 0; i < 20; i++) {
      const [x, t, g] = sets[(i * i) % 4]!;
      g.fill(0);
      const bytes = copied(() => expect(loss.withGrad(x, t, g)).toBe(expected));
      expect(bytes).toBe((i * i) % 4 === 3 ? 480 : 0);
      expect(bits(g)).toBe(bits(sets[0]![2]));
    }
  });

  test('a result may be an input, and must not overlap one in part', () => {
    const program = new Program(32, { shared });
    attachTo(program);
    const [x, t] = [program.floats(ramp(40)), program.floats(ramp(40, 1))];
    const expected = smoothL1Loss(x.slice(), t.slice(), { reduction: 'none' });
    expect(
      thrown(() =>
        smoothL1Loss(x.subarray(0, 20), t.subarray(0, 20), {
          reduction: 'none',
          out: x.subarray(1, 21),
        }),
      ),
    ).toMatch('RangeError: smoothL1Loss: out overlaps input');
    expect(bits(smoothL1Loss(x, t, { reduction: 'none', out: x }))).toBe(bits(expected));
  });

  test('what the kernel takes is its own: all else in the memory stays as it was', () => {
    const program = new Program(32, { shared });
    new Uint8Array(program.memory.buffer).fill(0x5a);
    attachTo(program);
    const [x, t] = [program.floats(ramp(40)), program.floats(ramp(40, 1))];
    smoothL1Loss(x, t);
    smoothL1Loss(x, t, { beta: 2, outsideWeights: x });
    const bytes = new Uint8Array(program.memory.buffer);
    for (const [offset, size] of program.taken) bytes.fill(0x5a, offset, offset + size);
    expect(bytes.every((byte) => byte === 0x5a)).toBe(true);
    expect(program.taken).toHaveLength(3);
  });

  test('arrays at either end of 4 GiB are copied, with the same results', () => {
    const program = new Program(65536, { shared, maximum: 65536, start: 2 ** 31 });
    attachTo(program);
    const target = program.floats(ramp(100));
    for (const start of [0, 1020, 2 ** 32 - 400, 2 ** 32 - PAGE - 396]) {
      const x = new Float32Array(program.memory.buffer, start, 100).fill(3);
      expect(copied(() => expect(l1Loss(x, target)).toBe(l1Loss(x.slice(), target.slice())))).toBe(
        1600,
      );
    }
    for (const start of [1024, 2 ** 32 - PAGE - 400]) {
      const x = new Float32Array(program.memory.buffer, start, 100).fill(3);
      expect(copied(() => l1Loss(x, target))).toBe(0);
    }
  });
});

describe('arrays of two homes', () => {
  const [a, b] = [new Program(), new Program(64, { shared: true })];
  const [x, t, g] = [ramp(100), ramp(100, 1), ramp(100)].map((v) => a.floats(v)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const expected = smoothL1LossWithGrad(x.slice(), t.slice(), new Float32Array(100));

  test.each([
    ['elsewhere', (v: Float32Array) => v.slice(), 1200],
    ["in the package's memory", (v: Float32Array) => float32(v), 800],
    ['in another attached memory', (v: Float32Array) => b.floats(v), 1200],
  ])('a target %s has the others copied', (_, put, bytes) => {
    attachTo(a);
    attachTo(b);
    const other = put(t);
    expect(copied(() => expect(smoothL1LossWithGrad(x, other, g)).toBe(expected))).toBe(bytes);
    expect(copied(() => expect(smoothL1LossWithGrad(other, x, g)).toBe(expected))).toBe(bytes);
    expect(copied(() => smoothL1LossWithGrad(x, t, g))).toBe(0);
    expect(thrown(() => smoothL1LossWithGrad(x, other, g, { copy: 'throw' }))).toBe(
      'TypeError: smoothL1LossWithGrad: input is in an attached memory, target is not, and copy: "throw" forbids copying; all arrays of a call must be in one memory',
    );
    expect(thrown(() => smoothL1LossWithGrad(x, t, g, { copy: 'throw' }))).toBe(
      'nothing was thrown',
    );
  });

  test('a result that has no place is a new array elsewhere: the call copies', () => {
    attachTo(a);
    expect(copied(() => smoothL1Loss(x, t, { reduction: 'none' }))).toBe(1200);
    expect(thrown(() => smoothL1Loss(x, t, { reduction: 'none', copy: 'throw' }))).toBe(
      'TypeError: smoothL1Loss: input is in an attached memory, out is not, and copy: "throw" forbids copying; all arrays of a call must be in one memory',
    );
  });
});

describe('memory that grows', () => {
  test('unshared: arrays of before are detached, new ones are in place', () => {
    const program = new Program(32);
    attachTo(program);
    const old = program.floats(ramp(100));
    l1Loss(old, old);
    for (let i = 0; i < 3; i++) {
      program.memory.grow(i);
      expect(thrown(() => l1Loss(old, old))).toBe(
        'TypeError: l1Loss: input is detached, or lies outside of its resized buffer',
      );
      const x = new Float32Array(program.memory.buffer, old.byteOffset || 200_000, 100).fill(3);
      expect(copied(() => expect(l1Loss(x, x.subarray())).toBe(0))).toBe(0);
    }
  });

  test('shared: arrays of before and new ones are in place together', () => {
    const program = new Program(32, { shared: true });
    attachTo(program);
    const old = program.floats(ramp(100));
    program.memory.grow(10);
    const middle = program.floats(ramp(100, 1));
    program.memory.grow(10);
    const start = program.memory.buffer.byteLength - 400;
    const last = new Float32Array(program.memory.buffer, start, 100);
    const options = { reduction: 'none', out: last } as const;
    expect(copied(() => l1Loss(old, middle, options))).toBe(0);
    expect(bits(last)).toBe(bits(l1Loss(old.slice(), middle.slice(), { reduction: 'none' })));
    const zero = { divisor: 0, onZeroDivisor: 'zero' } as const;
    expect(copied(() => smoothL1LossWithGrad(old, middle, last, zero))).toBe(0);
    expect(last.every((x) => x === 0)).toBe(true);
  });

  test('an allocator that grows a shared memory: the arrays of the call stay', () => {
    const program = new Program(1, { shared: true });
    attachTo(program);
    const [x, t, out, delta] = [1, 0.5, 1, 0.25].map((step) =>
      program.floats(ramp(1000, step).map(Math.abs)),
    ) as [Float32Array, Float32Array, Float32Array, Float32Array];
    const { byteLength } = program.memory.buffer;
    program.forget(byteLength);
    const options = { delta, rowLength: 1000, reduction: 'none' } as const;
    expect(copied(() => huberLoss(x, t, { ...options, out }))).toBe(0);
    expect(program.memory.buffer.byteLength).toBeGreaterThan(byteLength);
    expect(bits(out)).toBe(
      bits(huberLoss(x.slice(), t.slice(), { ...options, delta: delta.slice() })),
    );
  });

  test('an allocator that grows the memory', () => {
    const program = new Program(1);
    attachTo(program);
    const [x, t] = [program.floats(ramp(100)), program.floats(ramp(100))];
    expect(copied(() => l1Loss(x, t))).toBe(0);
    // In a call: it takes memory for thresholds by column.
    const out = program.floats(ramp(100));
    const delta = program.floats(ramp(100).map(Math.abs));
    program.forget(program.memory.buffer.byteLength);
    const options = { delta, rowLength: 100, reduction: 'none', out } as const;
    expect(thrown(() => huberLoss(x, t, options))).toMatch(
      /^Error: huberLoss: allocate\(\), .* made the memory grow, which detached the arrays of the call/,
    );
    const again = [x, t, out, delta].map((_, i) =>
      new Float32Array(program.memory.buffer, 80_000 + 400 * i, 100).fill(i),
    ) as [Float32Array, Float32Array, Float32Array, Float32Array];
    const [x2, t2, out2, delta2] = again;
    expect(copied(() => huberLoss(x2, t2, { ...options, delta: delta2, out: out2 }))).toBe(0);
    expect(out2[50]).toBe(0.5);
  });
});

describe('memory for what a call makes itself', () => {
  type Put = (values: number[]) => Float32Array;
  const n = 4000;
  const zeros = (length: number): number[] => Array(length).fill(0);
  const inputs = (put: Put) => [put(ramp(n)), put(ramp(n, 1))] as const;
  /** Each places its arrays, computes, and returns its results. */
  const calls: [string, (put: Put) => Float32Array[]][] = [
    [
      'curves of columns',
      (put) => {
        const options = { delta: put(ramp(1000).map(Math.abs)), rowLength: 1000 };
        return [huberLoss(...inputs(put), { ...options, reduction: 'none', out: put(zeros(n)) })];
      },
    ],
    [
      'upstream gradients of row means',
      (put) => {
        const options = { reduction: 'rowMeans', rowLength: 2, out: put(zeros(n)) } as const;
        return [huberLossBackward(2, ...inputs(put), options)];
      },
    ],
    [
      'losses that are added up by column',
      (put) => {
        const options = { reduction: 'columns', rowLength: 4, out: put(zeros(4)) } as const;
        return [huberLoss(...inputs(put), options)];
      },
    ],
    [
      'gradients to weights by row and by column',
      (put) => {
        const grads = { gradInsideWeights: put(zeros(n / 4)), gradOutsideWeights: put(zeros(4)) };
        const weights = { insideWeights: put(ramp(n / 4)), outsideWeights: put(ramp(4)) };
        const options = { ...weights, ...grads, rowLength: 4, out: put(zeros(n)) };
        return [huberLossBackward(1, ...inputs(put), options), ...Object.values(grads)];
      },
    ],
  ];

  /** A memory that grows whenever the kernel takes some of it. */
  function growing(): { asked: number[]; put: Put } {
    const program = new Program(8);
    const asked: number[] = [];
    attachTo(program, {
      allocate(bytes: number) {
        asked.push(bytes);
        return program.memory.grow(Math.ceil(bytes / PAGE)) * PAGE;
      },
    });
    return { asked, put: (values) => program.floats(values) };
  }

  test.each(calls)('%s: all of it is taken before the call, and kept', (_, compute) => {
    const { asked, put } = growing();
    expect(thrown(() => compute(put))).toMatch('made the memory grow, which detached the arrays');
    expect(asked).toHaveLength(2);
    const expected = compute((values) => Float32Array.from(values)).map(bits);
    expect(copied(() => expect(compute(put).map(bits)).toEqual(expected))).toBe(0);
    expect(asked).toHaveLength(2);
  });

  test('nothing is taken where the arrays of a call are all that there is', () => {
    const { asked, put } = growing();
    const [[x, t], out] = [inputs(put), put(zeros(n))];
    huberLoss(x, t, { reduction: 'none', out });
    huberLossBackward(1, x, t, { gradInsideWeights: put(zeros(n)), out });
    huberLossBackward(1, x, t, { reduction: 'columns', rowLength: 4, out });
    huberLoss(x, t, { reduction: 'rowMeans', rowLength: 4, out: put(zeros(n / 4)) });
    expect(asked).toHaveLength(1);
  });
});

describe('what is wrong is told', () => {
  const program = new Program();
  const { memory } = program;
  const wrongs: [string, () => unknown, string][] = [
    [
      'no memory',
      () => attach(undefined as never, program),
      'TypeError: attach: memory must be a WebAssembly.Memory, got undefined',
    ],
    [
      'a buffer',
      () => attach(memory.buffer as never, program),
      'TypeError: attach: memory must be a WebAssembly.Memory, got an ArrayBuffer',
    ],
    [
      'no options',
      () => attach(memory, undefined as never),
      'TypeError: attach: options must be an object, got undefined',
    ],
    [
      'another option',
      () => attach(memory, { allocate: program.allocate, free: 1 } as never),
      'TypeError: attach: there is no option "free"; there are allocate, release, module',
    ],
    [
      'no allocator',
      () => attach(memory, {} as never),
      'TypeError: attach: allocate must be a function, got undefined',
    ],
    [
      'a release that is none',
      () => attach(memory, { allocate: program.allocate, release: 1 as never }),
      'TypeError: attach: release must be a function, got 1',
    ],
    [
      'a module that is none',
      () => attach(memory, { allocate: program.allocate, module: {} as never }),
      'TypeError: attach: module must be a WebAssembly.Module, got an Object',
    ],
    [
      'another module',
      () =>
        attach(memory, {
          allocate: program.allocate,
          module: new WebAssembly.Module(readFileSync('dist/smooth_l1_shared.wasm')),
        }),
      'Error: attach: the kernel cannot be linked to this memory',
    ],
    [
      'an empty memory',
      () => attach(new WebAssembly.Memory({ initial: 0 }), { allocate: program.allocate }),
      'Error: attach: the kernel cannot be linked to this memory',
    ],
  ];
  test.each(wrongs)('%s', (_, call, text) => {
    expect(thrown(call)).toContain(text);
    expect(program.taken).toEqual([]);
  });

  const returns: [string, unknown, string][] = [
    [
      'undefined',
      undefined,
      'TypeError: attach: allocate(N) must return a byte offset, a number, got undefined',
    ],
    [
      'a promise',
      Promise.resolve(5000),
      'TypeError: attach: allocate(N) must return a byte offset, a number, got a Promise',
    ],
    [
      'a BigInt',
      5000n,
      'TypeError: attach: allocate(N) must return a byte offset, a number, got 5000n',
    ],
    [
      'NaN',
      Number.NaN,
      'RangeError: attach: allocate(N) must return a byte offset, an integer from 1024, got NaN',
    ],
    [
      'a fraction',
      5000.5,
      'RangeError: attach: allocate(N) must return a byte offset, an integer from 1024, got 5000.5',
    ],
    ['0', 0, 'RangeError: attach: allocate(N) returned 0, as malloc does if no memory is left'],
    [
      'less than 1024',
      1023,
      'RangeError: attach: allocate(N) must return a byte offset, an integer from 1024, got 1023',
    ],
    ['a negative number', -64, 'return offset >>> 0'],
    [
      'an offset at the end',
      64 * PAGE - 1000,
      'RangeError: attach: allocate(N) must return bytes within the memory, which has 4194304, got those from 4193304 on',
    ],
    [
      'infinity',
      Infinity,
      'RangeError: attach: allocate(N) must return a byte offset, an integer from 1024, got Infinity',
    ],
  ];
  test.each(returns)('an allocator that returns %s', (_, value, text) => {
    const message = thrown(() => attach(memory, { allocate: () => value as number }));
    expect(message.replace(/allocate\(\d+\)/, 'allocate(N)')).toContain(text);
    // Nothing is attached.
    const x = new Float32Array(memory.buffer, 2048, 10);
    expect(copied(() => l1Loss(x, x))).toBe(80);
  });

  test.each([1024, 1027, 5001, 65537])('an allocator that returns %i: it is aligned', (offset) => {
    const detach = attach(memory, { allocate: () => offset });
    const x = new Float32Array(memory.buffer, 300_000, 10).fill(3);
    expect(copied(() => expect(l1Loss(x, x)).toBe(0))).toBe(0);
    detach();
  });

  test('an allocator that gives out the last bytes of the memory first', () => {
    const program = new Program(8);
    let end = program.memory.buffer.byteLength;
    attachTo(program, {
      allocate(bytes: number) {
        end -= bytes;
        return end;
      },
    });
    const [x, t, delta] = [0.25, 1, 2].map((step) =>
      program.floats(ramp(10, step).map(Math.abs)),
    ) as [Float32Array, Float32Array, Float32Array];
    const before = end;
    expect(copied(() => huberLoss(x, t, { delta, rowLength: 10 }))).toBe(0);
    expect(end).toBeLessThan(before);
  });

  test('a target that is no array, beside an input in the memory', () => {
    attachTo(program);
    const x = new Float32Array(memory.buffer, 300_000, 10);
    expect(thrown(() => l1Loss(x, {} as never))).toBe(
      'TypeError: l1Loss: target must be a Float32Array, a Float16Array or a Uint16Array, got an Object',
    );
  });

  test('an allocator that throws: its error comes through, and nothing is attached', () => {
    const error = new Error('out of memory');
    const allocate = (): never => {
      throw error;
    };
    expect(() => attach(memory, { allocate })).toThrow(error);
    attachTo(program);
    attached.pop()?.();
  });

  test('an allocator that returns the same bytes twice', () => {
    const program = new Program();
    attachTo(program, { allocate: () => 4096 });
    const x = program.floats(ramp(10).map(Math.abs));
    const [y, out] = [program.floats(x), program.floats(x)];
    for (const array of [x, y, out]) void array;
    const far = [x, y, out].map((v, i) =>
      new Float32Array(program.memory.buffer, 500_000 + 40 * i, v.length).fill(1),
    ) as [Float32Array, Float32Array, Float32Array];
    const message = thrown(() => huberLoss(far[0], far[1], { delta: far[2], rowLength: 10 }));
    expect(message).toMatch(
      /^RangeError: huberLoss: allocate\(4160\) must return bytes of their own, got those from 4096 on; \d+ from 4096 on were taken before$/,
    );
    expect(l1Loss(far[0], far[1])).toBe(0);
  });

  test('a memory twice, that of the package, and one for both', () => {
    const detach = attachTo(program);
    expect(thrown(() => attach(memory, program))).toMatch('there is no option');
    expect(thrown(() => attach(memory, { allocate: program.allocate }))).toBe(
      'Error: attach: the memory is attached already; detach it first',
    );
    expect(thrown(() => fresh({ memory }))).toBe(
      'Error: load: memory is attached; a memory is for attach, or for load',
    );
    detach();
    detach();
    attachTo(program);
    const own = new WebAssembly.Memory({ initial: 1, maximum: 2000, shared: true });
    const other = fresh({ memory: own });
    expect(thrown(() => other.attach(own, { allocate: program.allocate }))).toBe(
      "Error: attach: this is the memory of the package's own kernel, where arrays are used in place anyway",
    );
  });
});

describe('detaching', () => {
  test('before and after it, where nothing else has used the package', async () => {
    const own = await reloaded();
    const program = new Program();
    const detach = attachTo(program, {}, own);
    const x = program.floats(ramp(100));
    for (const bytes of [0, 800]) {
      const before = own.copiedBytes();
      expect(own.l1Loss(x, x)).toBe(0);
      expect(own.copiedBytes() - before).toBe(bytes);
      detach();
    }
  });

  test('what was taken is released, once; arrays are copied afterwards', () => {
    const program = new Program();
    const detach = attachTo(program, { release: program.release });
    const [x, t] = [program.floats(ramp(100)), program.floats(ramp(100, 1))];
    const delta = program.floats(ramp(100).map(Math.abs));
    const loss = new smooth.HuberLoss({ delta, rowLength: 100 });
    const expected = loss.forward(x, t);
    expect(program.released).toEqual([]);
    detach();
    detach();
    // The first of all, and that for the column's curves, which was taken last.
    expect(program.released).toEqual([program.taken[0]?.[0], program.taken.at(-1)?.[0]]);
    expect(copied(() => expect(loss.forward(x, t)).toBe(expected))).toBe(1200);
    expect(thrown(() => loss.forward(x, t, { copy: 'throw' }))).toMatch('is not in the kernel');
    attachTo(program);
    expect(copied(() => expect(loss.forward(x, t)).toBe(expected))).toBe(0);
  });

  test('nothing of the package keeps a memory alive that is detached', async () => {
    const own = float32(10);
    const use = (): WeakRef<object> => {
      const program = new Program();
      const detach = attachTo(program);
      const [x, t] = [program.floats(ramp(10)), program.floats(ramp(10, 1))];
      const sum = new smooth.LossAccumulator(new smooth.L1Loss({ sum: 'exact' }));
      expect(sum.add(x, t).value()).toBe(l1Loss(x, t));
      l1Loss(x, own);
      detach();
      attached.pop();
      // The last arrays of a short call are remembered until the next one.
      l1Loss(own, own);
      return new WeakRef(program.memory);
    };
    expect(await isCollected(use())).toBe(true);
  });

  test('while a call looks at its arrays: the call is an error', () => {
    const program = new Program();
    const detach = attachTo(program);
    const [x, t, g] = [ramp(10), ramp(10, 1), ramp(10)].map((v) => program.floats(v)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    // The second time that it is asked for its stamp: when the attached kernel looks.
    let asked = 0;
    const prototype = new Proxy(Float32Array.prototype, {
      get(target, key, receiver) {
        if (typeof key === 'symbol' && ++asked === 2) detach();
        return Reflect.get(target, key, receiver);
      },
    });
    Object.setPrototypeOf(t, prototype);
    expect(thrown(() => smoothL1LossWithGrad(x, t, g))).toBe(
      "Error: smoothL1LossWithGrad: an array's prototype released an array, detached a memory or called unload() during the call",
    );
    expect(bits(g)).toBe(bits(Float32Array.from(ramp(10))));
  });

  test('by allocate, in a call: the call is an error', () => {
    const program = new Program();
    let detach = (): void => {};
    const allocate = (bytes: number): number => {
      detach();
      return program.allocate(bytes);
    };
    detach = attachTo(program, { allocate });
    const x = program.floats(ramp(10).map(Math.abs));
    expect(thrown(() => huberLoss(x, x, { delta: x, rowLength: 10 }))).toBe(
      'Error: huberLoss: allocate() detached the memory during the call',
    );
  });
});

test('an accumulator adds up its own call, though that has called another in an attached memory', () => {
  const program = new Program();
  attachTo(program);
  const [x, t] = [program.floats(ramp(10)), program.floats(ramp(10, 1))];
  const input = Float32Array.of(3, 5);
  const prototype = new Proxy(Float32Array.prototype, {
    get(target, key, receiver) {
      if (typeof key === 'symbol') smoothL1Loss(x, t);
      return Reflect.get(target, key, receiver);
    },
  });
  Object.setPrototypeOf(input, prototype);
  const sum = new smooth.LossAccumulator(new smooth.L1Loss({ reduction: 'sum', sum: 'exact' }));
  expect(sum.add(input, new Float32Array(2)).value()).toBe(8);
});

test('the backend "js" takes attached memories too', () => {
  const program = new Program();
  attachTo(program, {}, plain);
  const [x, t] = [program.floats(ramp(100)), program.floats(ramp(100, 1))];
  const expected = smoothL1Loss(x.slice(), t.slice());
  expect(plain.smoothL1Loss(x, t)).toBe(expected);
  expect(thrown(() => plain.smoothL1Loss(x, t, { copy: 'throw' }))).toBe('nothing was thrown');
});

describe('real programs', () => {
  const require = createRequire(import.meta.url);
  const read = (path: string): Uint8Array<ArrayBuffer> => readFileSync(require.resolve(path));

  test('Emscripten: the spectrum of a signal, and another one, where PFFFT leaves them', async () => {
    const { default: PFFFT } = await import(require.resolve('@echogarden/pffft-wasm/simd'));
    let memory: WebAssembly.Memory | undefined;
    const program = await PFFFT({
      instantiateWasm(
        imports: WebAssembly.Imports,
        done: (instance: WebAssembly.Instance) => void,
      ) {
        const path = require.resolve('@echogarden/pffft-wasm/simd').replace(/js$/, 'wasm');
        const instance = new WebAssembly.Instance(
          new WebAssembly.Module(readFileSync(path)),
          imports,
        );
        memory = Object.values(instance.exports).find(
          (value) => value instanceof WebAssembly.Memory,
        );
        done(instance);
        return instance.exports;
      },
    });
    const detach = attach(memory as WebAssembly.Memory, {
      allocate: program._malloc,
      release: program._free,
    });
    const n = 4096;
    const REAL = 0;
    const setup = program._pffft_new_setup(n, REAL);
    const spectrum = (f: (i: number) => number): number => {
      const at = program._pffft_aligned_malloc(4 * n);
      for (let i = 0; i < n; i++) program.HEAPF32[at / 4 + i] = f(i);
      program._pffft_transform_ordered(setup, at, at, 0, 0);
      return at;
    };
    const places = [
      spectrum((i) => Math.sin(i / 7)),
      spectrum((i) => Math.sin(i / 7.1)),
      program._malloc(4 * n),
    ];
    const arrays = () =>
      places.map((at) => new Float32Array(program.HEAPF32.buffer, at, n)) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
    const [x, t] = arrays().map((array) => array.slice()) as [Float32Array, Float32Array];
    const gradient = new Float32Array(n);
    const expected = smoothL1LossWithGrad(x, t, gradient);
    expect(copied(() => expect(smoothL1LossWithGrad(...arrays())).toBe(expected))).toBe(0);
    expect(bits(arrays()[2])).toBe(bits(gradient));
    expect(expected).toBeGreaterThan(1);
    // Its heap grows.
    const old = program.HEAPF32.buffer;
    program._malloc(2 ** 25);
    expect(program.HEAPF32.buffer).not.toBe(old);
    expect(copied(() => expect(smoothL1LossWithGrad(...arrays())).toBe(expected))).toBe(0);
    detach();
    // The program goes on.
    expect(spectrum((i) => i)).toBeGreaterThan(0);
  });

  test('wasm-bindgen: arrays in the memory of a Rust program', async () => {
    const { default: init } = await import('rust-melspec-wasm');
    const rust = await init({
      module_or_path: read('rust-melspec-wasm/rust_melspec_wasm_bg.wasm') as never,
    });
    const malloc = (bytes: number): number => rust.__wbindgen_malloc(bytes, 16) >>> 0;
    const detach = attach(rust.memory, { allocate: malloc });
    const places = [malloc(4000), malloc(4000), malloc(4000)];
    const arrays = places.map((at) => new Float32Array(rust.memory.buffer, at, 1000)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    for (const [i, array] of arrays.entries()) array.set(ramp(1000, i));
    const expected = smoothL1LossWithGrad(
      arrays[0].slice(),
      arrays[1].slice(),
      new Float32Array(1000),
    );
    expect(copied(() => expect(smoothL1LossWithGrad(...arrays)).toBe(expected))).toBe(0);
    detach();
  });
});
