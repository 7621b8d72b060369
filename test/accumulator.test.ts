// LossAccumulator: chunks in any order, merged in any way, are one call with exact sums; and its bytes.
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backends, bits, fresh, type Package } from './backends.ts';
import { Program } from './program.ts';

const random = (seed: number) => () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};
const N = 1300;
const values = (seed: number, least: number, most: number, n = N): Float32Array => {
  const next = random(seed);
  return Float32Array.from(
    { length: n },
    () => (next() - 0.5) * 10 ** (least + (most - least) * next()),
  );
};
const [input, target, weight] = [values(1, -30, 6), values(2, -20, 6), values(3, -9, 3)];
const mask = Uint8Array.from(input, (_, i) => Number(i % 7 !== 0 && i % 100 > 30));
for (let i = 0; i < N; i += 5) weight[i] = 0;

/** Options of a loss object, and those that differ from chunk to chunk. */
const losses = [
  ['a sum', 'SmoothL1', { beta: 0.3, reduction: 'sum', scale: -3 }, []],
  ['a mean', 'Huber', { delta: 0.7, scale: 0.1 }, []],
  ['half the squared error', 'Huber', { delta: Infinity }, ['weight']],
  ['rows', 'L1', { divisor: 'rows', rowLength: 4 }, []],
  ['weights', 'L1', { divisor: 'weights', weight: 1, minDivisor: 2 }, ['weight', 'mask']],
  [
    'weights that are not 0',
    'QuantileHuber',
    { tau: 0.9, divisor: 'nonzeroWeights', weight: 1 },
    ['weight'],
  ],
  [
    'what is not masked',
    'SmoothL1',
    { sigma: 3, divisor: 'unmasked', onZeroDivisor: 'zero' },
    ['mask'],
  ],
  ['rows that are not masked', 'L1', { divisor: 'unmaskedRows', rowLength: 4 }, ['mask']],
  ['a number', 'SmoothL1', { divisor: 12.5 }, ['mask']],
] as const;
type Kind = (typeof losses)[number][1];
const backwards = {
  SmoothL1: 'smoothL1LossBackward',
  Huber: 'huberLossBackward',
  L1: 'l1LossBackward',
  QuantileHuber: 'quantileHuberLossBackward',
} as const;

// biome-ignore lint/suspicious/noExplicitAny: any loss object
type AnyLoss = any;
const make = (smooth: Package, kind: Kind, options: object): AnyLoss =>
  new smooth[`${kind}Loss`](options as never);

const CUTS = [
  [0, N],
  [0, 4, 516, N],
  [0, 500, 504, 1000, N],
  [0, 0, 512, 1024, N],
];

describe.each(backends)('%s', (_, smooth) => {
  const elsewhere: { [name in 'input' | 'target' | 'weight']: Float32Array } & {
    mask: Uint8Array;
  } = { input, target, weight, mask };
  const inPlace = {
    input: smooth.float32(input),
    target: smooth.float32(target),
    weight: smooth.float32(weight),
    mask: smooth.uint8(mask),
  };
  const chunk = (
    from: typeof elsewhere,
    names: readonly ('weight' | 'mask')[],
    begin: number,
    end: number,
  ) => ({
    arrays: [from.input.subarray(begin, end), from.target.subarray(begin, end)] as const,
    options: Object.fromEntries(names.map((name) => [name, from[name].subarray(begin, end)])),
  });

  test.each(losses)('%s: any chunks in any order are one call', (_, kind, own, names) => {
    const loss = make(smooth, kind, own);
    const all = chunk(elsewhere, names, 0, N);
    const whole = loss.forward(...all.arrays, { ...all.options, sum: 'exact' });
    const backward = smooth[backwards[kind]] as (...args: unknown[]) => Float32Array;
    const ofMean = { divisor: undefined, minDivisor: undefined, onZeroDivisor: undefined };
    const inSum = { ...own, ...ofMean, ...all.options, reduction: 'sum' };
    const gradOfSum = bits(backward(1, ...all.arrays, inSum));
    const bytesOf = new Set<string>();
    for (const from of [elsewhere, inPlace])
      for (const cuts of CUTS) {
        const ranges = cuts.slice(1).map((end, i) => [cuts[i] as number, end] as const);
        for (const order of permutations(ranges)) {
          const sum = new smooth.LossAccumulator(loss);
          let merged = new smooth.LossAccumulator(loss);
          const grad = new Float32Array(N);
          for (const [begin, end] of order) {
            const { arrays, options } = chunk(from, names, begin, end);
            sum.add(...arrays, options);
            const one = new smooth.LossAccumulator(loss);
            one.addWithGrad(...arrays, grad.subarray(begin, end), options);
            merged = smooth.LossAccumulator.from(one.toBytes()).merge(merged);
          }
          expect(bits(sum.value())).toBe(bits(whole));
          expect(bits(merged.value())).toBe(bits(whole));
          expect(sum.count).toBe(N);
          expect(bits(grad)).toBe(gradOfSum);
          bytesOf.add(String(sum.toBytes())).add(String(merged.toBytes()));
        }
      }
    expect([...bytesOf]).toHaveLength(1);
  });

  test('nothing, and what is masked altogether', () => {
    const nothing = new smooth.LossAccumulator(make(smooth, 'L1', {}));
    expect([nothing.value(), nothing.count]).toEqual([NaN, 0]);
    const masked = new smooth.LossAccumulator(
      make(smooth, 'L1', { divisor: 'unmasked', onZeroDivisor: 'zero' }),
    );
    masked.add(Float32Array.of(NaN), Float32Array.of(1), { mask: Uint8Array.of(0) });
    expect([masked.value(), masked.count]).toEqual([0, 1]);
  });

  test('NaN and infinities are kept apart until the end', () => {
    const loss = new smooth.L1Loss({ reduction: 'sum', weight: 1 });
    const of = (value: number, weight: number) =>
      new smooth.LossAccumulator(loss).add(Float32Array.of(value, 1), new Float32Array(2), {
        weight: Float32Array.of(weight, 1),
      });
    const [plus, minus, nan] = [of(Infinity, 1), of(Infinity, -1), of(NaN, 1)];
    expect([plus.value(), minus.value(), nan.value()]).toEqual([Infinity, -Infinity, NaN]);
    expect(plus.merge(of(2, 1)).value()).toBe(Infinity);
    expect(plus.merge(minus.toBytes()).value()).toBe(NaN);
    expect(smooth.LossAccumulator.from(plus.toBytes()).value()).toBe(NaN);
  });
});

function permutations<T>(list: readonly T[]): T[][] {
  if (list.length < 2) return [[...list]];
  return list.flatMap((first, i) =>
    permutations([...list.slice(0, i), ...list.slice(i + 1)]).map((rest) => [first, ...rest]),
  );
}

const [, smooth] = backends[0] as (typeof backends)[0];

test('1 to 4 threads', async () => {
  const n = 140_001;
  const [x, y, w] = [values(4, -30, 6, n), values(5, -20, 6, n), values(6, -9, 3, n)];
  const results = new Set<string>();
  for (const threads of [1, 2, 3, 4]) {
    const smooth = fresh();
    if (threads > 1)
      await smooth.setNumThreads(threads, {
        createWorker: () => new Worker(new URL('../dist/worker.js', import.meta.url)),
      });
    const loss = new smooth.HuberLoss({ divisor: 'weights', weight: 1 });
    const [input, target, weight] = [smooth.float32(x), smooth.float32(y), smooth.float32(w)];
    const sum = new smooth.LossAccumulator(loss).add(input, target, { weight });
    const [first, second] = [new smooth.LossAccumulator(loss), new smooth.LossAccumulator(loss)];
    const grad = smooth.float32(n);
    for (const [part, from, to] of [
      [first, 0, 100_000],
      [second, 100_000, n],
    ] as const) {
      const cut = (array: Float32Array) => array.subarray(from, to);
      part.addWithGrad(cut(input), cut(target), cut(grad), { weight: cut(weight) });
    }
    results.add(String(sum.toBytes())).add(String(second.merge(first).toBytes()));
    expect(bits(sum.value())).toBe(bits(loss.forward(input, target, { weight, sum: 'exact' })));
    await smooth.setNumThreads(1);
  }
  expect([...results]).toHaveLength(1);
});

test('arrays in an attached memory', () => {
  const smooth = fresh();
  const program = new Program(10);
  const detach = smooth.attach(program.memory, { allocate: program.allocate });
  const loss = new smooth.SmoothL1Loss();
  const [x, y] = [program.floats(input), program.floats(target)];
  const before = smooth.copiedBytes();
  const there = new smooth.LossAccumulator(loss)
    .addWithGrad(x, y, program.floats(x))
    .add(x.subarray(1), y.subarray(1));
  expect(smooth.copiedBytes()).toBe(before);
  const here = new smooth.LossAccumulator(loss)
    .add(input, target)
    .add(input.subarray(1), target.subarray(1));
  expect(there.add(input, target).toBytes()).toEqual(here.add(input, target).toBytes());
  detach();
});

test('what is not finite among the weights is in the bytes', () => {
  for (const weight of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const sum = accumulator(new smooth.L1Loss({ divisor: 'weights', weight: 1 }));
    sum.add(Float32Array.of(0, 3), new Float32Array(2), { weight: Float32Array.of(weight, 2) });
    const again = smooth.LossAccumulator.from(sum.toBytes());
    expect(again.value(), String(weight)).toBe(sum.value());
    expect(again.toBytes()).toEqual(sum.toBytes());
  }
});

test('a threshold and a quantile of -0 are those of 0', () => {
  const sumOf = (zero: number) =>
    accumulator(new smooth.QuantileHuberLoss({ delta: zero, tau: zero }));
  expect(sumOf(-0).toBytes()).toEqual(sumOf(0).toBytes());
  expect(() => sumOf(0).merge(sumOf(-0))).not.toThrow();
});

test('inputs of 16 bits', () => {
  const loss = new smooth.HuberLoss();
  const [x, y] = [smooth.float16(target), smooth.bfloat16(target)];
  const sum = new smooth.LossAccumulator(loss).add(x, y).add(x, y);
  const one = loss.forward(x, y, { sum: 'exact' });
  expect([sum.count, sum.value()]).toEqual([2 * N, one]);
});

const accumulator = (loss: object = new smooth.L1Loss()) =>
  new smooth.LossAccumulator(loss as AnyLoss);

test('2^31 elements, and far more', () => {
  const sum = accumulator(new smooth.L1Loss({ reduction: 'sum' }));
  sum.add(Float32Array.of(3e38, 2 ** -149), new Float32Array(2));
  const each = BigInt(Math.fround(3e38)) * 2n ** 149n + 1n;
  for (let i = 1; i < 52; i++) sum.merge(sum);
  expect(sum.count).toBe(2 ** 52);
  expect(sum.value()).toBe(Number(each << 51n) * 2 ** -149);
  expect(smooth.LossAccumulator.from(sum.toBytes()).value()).toBe(sum.value());
  const full = String(sum.merge(accumulator(new smooth.L1Loss({ reduction: 'sum' }))).toBytes());
  expect(() => sum.merge(sum)).toThrow(
    RangeError('LossAccumulator.merge: there would be more than 2^53 - 1 elements'),
  );
  expect(String(sum.toBytes())).toBe(full);
  const third = accumulator(new smooth.L1Loss()).add(
    Float32Array.of(0.1, 0.3),
    new Float32Array(2),
  );
  for (let i = 0; i < 30; i++) third.merge(third.toBytes());
  const pair = Math.fround(0.1) + Math.fround(0.3);
  expect([third.count, third.value()]).toEqual([2 ** 31, pair / 2]);
});

test('the bytes are those that are documented', () => {
  const loss = new smooth.QuantileHuberLoss({
    delta: 2,
    tau: 0.75,
    scale: 0.1,
    divisor: 'weights',
    minDivisor: 3,
    onZeroDivisor: 'zero',
    weight: 1,
  });
  const sum = accumulator(loss).add(Float32Array.of(-4, 2 ** -60), new Float32Array(2), {
    weight: Float32Array.of(-1, 2 ** -149),
  });
  const bytes = sum.toBytes();
  const view = new DataView(bytes.buffer);
  expect([...bytes.subarray(0, 4)]).toEqual([83, 76, 1, 3 | (3 << 2) | 32]);
  expect([...bytes.subarray(4, 12)]).toEqual([2, 0, 0, 0, 0, 0, 0, 0]);
  expect([view.getFloat32(12, true), view.getFloat32(16, true)]).toEqual([2, 0.75]);
  expect([view.getFloat64(20, true), view.getFloat64(28, true)]).toEqual([0.1, 3]);
  const integer = (from: number, to: number) => {
    const hex = [...bytes.subarray(from, to)].reverse().map((x) => x.toString(16).padStart(2, '0'));
    return BigInt.asIntN(8 * (to - from), BigInt(`0x${hex.join('')}`));
  };
  // 0.75 * 2 * (4 - 1) of the first, nothing of the second.
  expect(integer(36, 84)).toBe(-(9n << 148n));
  expect(integer(84, 128)).toBe(1n - (1n << 149n));
  expect(bytes).toHaveLength(128);

  const rows = accumulator(new smooth.L1Loss({ divisor: 'rows', rowLength: 3 })).toBytes();
  expect(new DataView(rows.buffer).getFloat64(84, true)).toBe(3);
  const some = accumulator(new smooth.L1Loss({ divisor: 'unmasked' }));
  some.add(new Float32Array(5), new Float32Array(5), { mask: Uint8Array.of(1, 1, 0, 1, 0) });
  expect(new DataView(some.toBytes().buffer).getFloat64(84, true)).toBe(3);
  const someRows = accumulator(new smooth.L1Loss({ divisor: 'unmaskedRows', rowLength: 2 }));
  someRows.add(new Float32Array(6), new Float32Array(6), { mask: Uint8Array.of(1, 1, 0, 0, 0, 1) });
  const someView = new DataView(someRows.toBytes().buffer);
  expect([someView.getFloat64(84, true), someView.getFloat64(92, true)]).toEqual([2, 2]);
});

describe('errors', () => {
  const { LossAccumulator } = smooth;
  const from = (bytes: unknown) => () => LossAccumulator.from(bytes as Uint8Array);
  const [x, y] = [Float32Array.of(1, 2), new Float32Array(2)];
  const sum = accumulator(new smooth.HuberLoss({ delta: 2 })).add(x, y);
  const before = String(sum.toBytes());
  const changed = (at: number, value: number) => {
    const bytes = sum.toBytes();
    bytes[at] = value;
    return bytes;
  };

  test('bytes that are wrong', () => {
    const start = 'LossAccumulator.from: bytes';
    expect(from('x')).toThrow(TypeError(`${start} must be a Uint8Array, got "x"`));
    expect(from(sum.toBytes().subarray(0, 100))).toThrow(
      RangeError(`${start} are truncated: there are 100 of 128`),
    );
    expect(from(new Uint8Array(128))).toThrow(
      RangeError(`${start} are of something else: they begin with 0, 0, not with 83, 76`),
    );
    expect(from(changed(2, 2))).toThrow(
      RangeError(`${start} are of version 2, which is newer than this package knows, 1`),
    );
    for (const [bytes, what] of [
      [Uint8Array.of(...sum.toBytes(), 0), 'there are 129, not 128'],
      [changed(2, 0), 'there is no version 0'],
      [changed(3, 29), 'rowLength must be an integer from 1, got 0'],
      [changed(3, 69), 'byte 3 is 69, not 5'],
      [changed(11, 8), 'byte 11 is 8, not 0'],
      [changed(15, 192), 'delta must be a number from 0, got -2'],
      [changed(16, 1), 'byte 16 is 1, not 0'],
      [changed(27, 126), 'scale must be within the range of float32'],
      [changed(127, 1), 'byte 127 is 1, not 0'],
      [changed(10, 32), 'there are'],
      [changed(83, 1), 'a sum is too large for 2 elements'],
    ] as const)
      expect(from(bytes), what).toThrow(`${start} are inconsistent: ${what}`);
    const edited = (options: object, at: number, value: number, counted = 0) => {
      const bytes = accumulator(new smooth.L1Loss(options)).toBytes();
      bytes[at] = value;
      if (counted > 0) new DataView(bytes.buffer).setFloat64(84, counted, true);
      return from(bytes);
    };
    expect(edited({}, 11, 1)).toThrow('a sum is too large for 0 elements');
    expect(edited({ divisor: 'rows', rowLength: 2 }, 4, 3)).toThrow('3 elements are no rows of 2');
    expect(edited({ divisor: 'unmaskedRows', rowLength: 2 }, 4, 4, 3)).toThrow('3 of 2 count');
  });

  test('any bytes are refused, or come out as they went in', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(127), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        fc.constantFrom(...losses),
        (changes, [, kind, own]) => {
          const bytes = accumulator(make(smooth, kind, own)).toBytes();
          for (const [at, value] of changes) bytes[at] = value;
          try {
            const read = LossAccumulator.from(bytes);
            expect(read.toBytes()).toEqual(bytes);
            expect(typeof read.value()).toBe('number');
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
        },
      ),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 140 }), (bytes) => {
        expect(from(bytes)).toThrow(RangeError);
      }),
    );
  });

  test('accumulators of other losses', () => {
    const merge = (loss: object) => () => sum.merge(accumulator(loss).toBytes());
    for (const [loss, what] of [
      [new smooth.SmoothL1Loss({ beta: 2 }), 'kind: it is "Huber" here, and "smooth L1" there'],
      [new smooth.HuberLoss(), 'threshold: it is 2 here, and 1 there'],
      [new smooth.HuberLoss({ delta: 2, scale: 3 }), 'scale: it is 1 here, and 3 there'],
      [
        new smooth.HuberLoss({ delta: 2, reduction: 'sum' }),
        'reduction: it is "mean" here, and "sum" there',
      ],
      [
        new smooth.HuberLoss({ delta: 2, divisor: 5 }),
        'divisor: it is "elements" here, and 5 there',
      ],
      [
        new smooth.HuberLoss({ delta: 2, minDivisor: 1 }),
        'minDivisor: it is undefined here, and 1 there',
      ],
      [
        new smooth.HuberLoss({ delta: 2, onZeroDivisor: 'zero' }),
        'onZeroDivisor: it is "nan" here, and "zero" there',
      ],
    ] as const)
      expect(merge(loss)).toThrow(TypeError(`LossAccumulator.merge: the losses differ in ${what}`));
    expect(() => sum.merge({} as never)).toThrow(
      TypeError(
        'LossAccumulator.merge: other must be a LossAccumulator, or the bytes of one as a Uint8Array, got an Object',
      ),
    );
    const rows = (rowLength: number, divisor: 'rows' | 'unmaskedRows' = 'rows') =>
      accumulator(new smooth.L1Loss({ divisor, rowLength }));
    expect(() => rows(2).merge(rows(3))).toThrow('rowLength: it is 2 here, and 3 there');
    expect(() => rows(2).merge(rows(2, 'unmaskedRows'))).toThrow('divisor');
    expect(() => sum.merge(sum.toBytes().subarray(1))).toThrow(
      RangeError('LossAccumulator.merge: bytes are truncated: there are 127 of 128'),
    );
    expect(String(sum.toBytes())).toBe(before);
  });

  test('losses that cannot be accumulated', () => {
    const start = 'LossAccumulator: loss must';
    for (const loss of [undefined, {}, smooth.l1Loss, null])
      expect(() => accumulator((loss as never) ?? null)).toThrow(`${start} be a loss object`);
    expect(() => accumulator(new smooth.L1Loss({ reduction: 'none' }))).toThrow(
      TypeError(`${start} have reduction "sum" or "mean", got "none"`),
    );
    const beta = Float32Array.of(1, 2);
    expect(() => accumulator(new smooth.SmoothL1Loss({ beta, rowLength: 2 }))).toThrow(
      TypeError(`${start} have one beta for all elements, got one for each column`),
    );
    const tau = Float32Array.of(0.1, 0.9);
    expect(() => accumulator(new smooth.QuantileHuberLoss({ tau, rowLength: 2 }))).toThrow(
      TypeError(`${start} have one tau for all elements, got one for each column`),
    );
  });

  test('what a call may not change', () => {
    for (const [name, value] of Object.entries({
      scale: 2,
      delta: 3,
      divisor: 'rows',
      reduction: 'sum',
      sum: 'fast',
    }))
      expect(() => sum.add(x, y, { [name]: value } as object)).toThrow(
        TypeError(
          `LossAccumulator.add: ${name} is an option of the loss object; it cannot differ in a call`,
        ),
      );
    const rows = accumulator(new smooth.L1Loss({ divisor: 'rows', rowLength: 2 }));
    expect(() => rows.add(x, y, { rowLength: 1 })).toThrow(
      'LossAccumulator.add: rowLength is an option of the loss object',
    );
    expect(() => sum.add(x, y, { out: x } as object)).toThrow(
      'LossAccumulator.add: there is no option "out"',
    );
    expect(() => sum.add(x, new Float32Array(3))).toThrow(RangeError);
    expect(() => sum.addWithGrad(x, y, undefined as never)).toThrow(TypeError);
    expect(() => LossAccumulator.from(sum.toBytes()).add(x, y)).toThrow(
      TypeError(
        'LossAccumulator.add: this accumulator is from bytes, and has no loss object; merge it into new LossAccumulator(loss)',
      ),
    );
    expect(String(sum.toBytes())).toBe(before);
  });
});
