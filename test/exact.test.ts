// Exact sums, against sums of BigInt.
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backends, bits, fresh, type Package } from './backends.ts';
import { exactSum } from './sums.ts';

const { fround } = Math;

const mulberry = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};

/** Floats over 60 decades, and below. */
function decades(n: number, seed: number, least = -44, most = 22): Float32Array {
  const random = mulberry(seed);
  const power = () => 10 ** (least + random() * (most - least));
  return Float32Array.from({ length: n }, () => (random() - 0.5) * power());
}

const shuffled = (values: Float32Array, order: number[]): Float32Array =>
  Float32Array.from(order, (i) => values[i] as number);

/** The places of a call's arrays. */
const places: [string, (smooth: Package, values: Float32Array) => Float32Array][] = [
  ['in place', (smooth, values) => smooth.float32(values)],
  ['copied', (_, values) => values],
];

describe.each(backends)('%s', (_, smooth) => {
  test.each(places)('a sum over 60 decades is rounded once, %s', (_, put) => {
    for (const n of [0, 1, 15, 16, 17, 255, 257, 1024, 8192, 8193, 20_000]) {
      const input = decades(n, n);
      const outsideWeights = decades(n, n + 1, -10, 15);
      const target = new Float32Array(n);
      for (const options of [{}, { outsideWeights: put(smooth, outsideWeights) }]) {
        const call = (more: object) =>
          smooth.l1Loss(put(smooth, input), put(smooth, target), { ...options, ...more } as object);
        const losses = call({ reduction: 'none' }) as unknown as Float32Array;
        expect(call({ reduction: 'sum', sum: 'exact' })).toBe(exactSum(losses));
        expect(call({ sum: 'exact', scale: 3 })).toBe(n ? (exactSum(losses) * 3) / n : NaN);
      }
    }
  });

  test('every loss is added exactly, with gradients too', () => {
    const n = 3001;
    const random = mulberry(5);
    const array = (scale: number) =>
      smooth.float32(Float32Array.from({ length: n }, () => (random() - 0.5) * scale));
    const [input, target, weight, insideWeights] = [array(9), array(9), array(2), array(3)];
    const mask = smooth.uint8(Uint8Array.from({ length: n }, () => Number(random() < 0.7)));
    const grad = smooth.float32(n);
    const optionsOf = [
      {},
      { weight },
      { mask },
      { weight, mask, insideWeights, ignoreNaNTargets: true },
    ];
    for (const options of optionsOf)
      for (const [loss, withGrad, more] of [
        [smooth.smoothL1Loss, smooth.smoothL1LossWithGrad, { beta: 0.3 }],
        [
          smooth.smoothL1Loss,
          smooth.smoothL1LossWithGrad,
          { beta: smooth.float32([1]), rowLength: 1 },
        ],
        [smooth.huberLoss, smooth.huberLossWithGrad, { delta: 2 }],
        [smooth.l1Loss, smooth.l1LossWithGrad, {}],
        [smooth.quantileHuberLoss, smooth.quantileHuberLossWithGrad, { tau: 0.9 }],
      ] as const) {
        const all = { ...options, ...more } as object;
        const losses = loss(input, target, { ...all, reduction: 'none' });
        const exact = { ...all, reduction: 'sum', sum: 'exact' } as const;
        expect(loss(input, target, exact)).toBe(exactSum(losses as unknown as Float32Array));
        withGrad(input, target, grad, { ...all, reduction: 'sum' });
        const expected = bits(grad);
        grad.fill(0);
        expect(withGrad(input, target, grad, exact)).toBe(loss(input, target, exact));
        expect(bits(grad)).toBe(expected);
      }
  });

  test('signed weights cancel to the last bit', () => {
    const half = decades(777, 3).map(Math.abs);
    const input = smooth.float32([...half, ...half, 2 ** -149]);
    const target = smooth.float32(input.length);
    const weight = Float32Array.from(input, (_, i) => (i < half.length ? 1 : -1));
    const options = { weight, reduction: 'sum', sum: 'exact' } as const;
    expect(smooth.l1Loss(input, target, options)).toBe(-(2 ** -149));
    const even = [input.subarray(0, -1), target.subarray(0, -1)] as const;
    const sum = smooth.l1Loss(...even, { ...options, weight: weight.subarray(0, -1) });
    expect(Object.is(sum, 0)).toBe(true);
  });

  test('a block whose sum just fits into the bits of its lanes, or just does not', () => {
    // Lanes have 53 bits, two sets of them 97. What remains once the block after has taken the largest away
    // shows the last bit of the sum.
    const block = 256;
    const power = (exponent: number) => fround(2 ** exponent);
    const weight = Float32Array.from({ length: 2 * block }, (_, i) => (i < block ? 1 : -1));
    const target = smooth.float32(2 * block);
    const input = smooth.float32(2 * block);
    for (const bottom of [-126, -40, 0, 20])
      for (const bits of [28, 29, 30, 31, 32, 33, 71, 72, 73, 74, 75, 76, 77, 78])
        for (const rest of [0, power(bottom)]) {
          if (bottom + bits > 127) continue;
          input.fill(rest, 0, block).fill(0, block);
          input[3] = input[block + 200] = power(bottom + bits) * (1 - 2 ** -24);
          input[90] = power(bottom) * (1 + 2 ** -23);
          const options = { weight, reduction: 'sum', sum: 'exact' } as const;
          const losses = smooth.l1Loss(input, target, { weight, reduction: 'none' });
          expect(smooth.l1Loss(input, target, options), `${bottom}, ${bits}`).toBe(
            exactSum(losses),
          );
        }
    for (const array of [target, input]) smooth.free(array);
  });

  test('a sum half way between two numbers goes to the even one, and beside it to the nearer', () => {
    const half = 2 ** -53;
    for (const [values, right] of [
      [[1, half], 1],
      [[1, half, 2 ** -149], 1 + 2 * half],
      [[1, half - 2 ** -77, 2 ** -77 - 2 ** -85, 2 ** -149], 1],
      [[1, 2 * half, half], 1 + 4 * half],
    ] as const)
      for (const weight of [1, -1]) {
        const options = { weight, reduction: 'sum', sum: 'exact' } as const;
        const target = new Float32Array(values.length);
        expect(smooth.l1Loss(Float32Array.from(values), target, options)).toBe(weight * right);
      }
  });

  test('NaN and infinities of both signs', () => {
    const input = smooth.float32([1, Infinity, 2, NaN, 3, Infinity]);
    const target = smooth.float32(6);
    const sum = (weight: number[], n: number) =>
      smooth.l1Loss(input.subarray(0, n), target.subarray(0, n), {
        weight: Float32Array.from(weight.slice(0, n)),
        reduction: 'sum',
        sum: 'exact',
      });
    expect(sum([1, 1, 1], 3)).toBe(Infinity);
    expect(sum([1, -1, 1], 3)).toBe(-Infinity);
    expect(sum([1, 1, 1, 1], 4)).toBe(NaN);
    expect(sum([1, -1, 1, 0, 1, 1], 6)).toBe(NaN);
    input[3] = 0;
    expect(sum([1, -1, 1, 1, 1, 1], 6)).toBe(NaN);
    expect(sum([1, 1, 1, 1, 1, 1], 6)).toBe(Infinity);
  });

  test('beyond the range of f32 a sum stays right', () => {
    const largest = 3.4028234663852886e38;
    const input = smooth.float32(5000).fill(largest);
    const options = { reduction: 'sum', sum: 'exact' } as const;
    expect(smooth.l1Loss(input, smooth.float32(5000), options)).toBe(5000 * largest);
  });

  test('a mean over weights divides by their exact sum, and so do gradients', () => {
    const n = 4000;
    const weight = decades(n, 8, -20, 15).map(Math.abs);
    const [input, target, grad] = [
      smooth.float32(decades(n, 9)),
      smooth.float32(n),
      smooth.float32(n),
    ];
    const options = { weight, divisor: 'weights', sum: 'exact' } as const;
    const losses = smooth.l1Loss(input, target, { weight, reduction: 'none' });
    const divisor = exactSum(weight);
    expect(smooth.l1Loss(input, target, options)).toBe(exactSum(losses) / divisor);
    expect(smooth.l1LossWithGrad(input, target, grad, options)).toBe(exactSum(losses) / divisor);
    const scaled = smooth.l1LossBackward(1 / divisor, input, target, { weight, reduction: 'sum' });
    expect(bits(grad)).toBe(bits(scaled));
    expect(bits(smooth.l1LossBackward(1, input, target, options))).toBe(bits(scaled));
    for (const name of ['nonzeroWeights', 'unmasked', 'elements', 7] as const) {
      const count = name === 7 ? 7 : n;
      expect(smooth.l1Loss(input, target, { ...options, divisor: name })).toBe(
        exactSum(losses) / count,
      );
    }
  });

  test('the derivative to the threshold is added exactly', () => {
    const n = 2500;
    const random = mulberry(6);
    const values = Float32Array.from({ length: n }, () => (random() - 0.5) * 10 ** (random() * 8));
    const target = smooth.float32(n);
    // From the kink on, each is |d| - delta; before, 0.
    const excess = values.map((x) => Math.max(fround(Math.abs(x) - 0.5), 0));
    const options = { delta: 0.5, reduction: 'sum', sum: 'exact' } as const;
    expect(smooth.huberLossDeltaGrad(smooth.float32(values), target, options)).toBe(
      exactSum(excess),
    );
  });

  test('no order and no cut of the data changes a bit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2000 }), fc.integer(), (n, seed) => {
        const random = mulberry(seed);
        const values = decades(n, seed);
        const order = values.reduce<number[]>((all, _, i) => {
          all.splice(Math.floor(random() * (i + 1)), 0, i);
          return all;
        }, []);
        const sums = [values, shuffled(values, order)].map((input) =>
          smooth.smoothL1Loss(input, new Float32Array(n), { reduction: 'sum', sum: 'exact' }),
        );
        expect(bits(sums[0] as number)).toBe(bits(sums[1] as number));
      }),
      { numRuns: 40 },
    );
  });

  test('what is wrong with the option', () => {
    const [input, target] = [smooth.float32([1, 2]), smooth.float32(2)];
    const call = (options: object) => () => smooth.l1Loss(input, target, options);
    expect(call({ sum: 'precise' })).toThrow(
      RangeError('l1Loss: sum must be one of "fast", "exact", got "precise"'),
    );
    expect(call({ sum: true })).toThrow(TypeError);
    expect(call({ sum: 'exact', reduction: 'none' })).toThrow(
      TypeError('l1Loss: sum "exact" has a use only with reduction "sum" or "mean", got "none"'),
    );
    expect(call({ sum: 'exact', reduction: 'rows', rowLength: 1 })).toThrow(TypeError);
    expect(call({ sum: 'exact', outLosses: smooth.float32(2) })).toThrow(
      TypeError(
        'l1Loss: sum "exact" does not go with outLosses; reduction "none" gives the losses',
      ),
    );
    expect(call({ sum: 'fast', reduction: 'none' })()).toEqual(Float32Array.of(1, 2));
  });
});

test('threads, copies and backends have the same 64 bits', async () => {
  const n = 700_001;
  const [values, weights] = [decades(n, 1), decades(n, 2, -20, 15)];
  const results = new Set<string>();
  const expectSame = (smooth: Package, put: (values: Float32Array) => Float32Array): void => {
    const [input, target, grad] = [put(values), put(new Float32Array(n)), put(new Float32Array(n))];
    const weight = put(weights);
    const loss = new smooth.HuberLoss({ weight, divisor: 'weights', sum: 'exact', delta: 1e-3 });
    const mean = loss.forward(input, target);
    expect(Number.isFinite(mean)).toBe(true);
    results.add(
      `${bits(mean)} ${bits(loss.withGrad(input, target, grad))} ${bits(grad.subarray(0, 99))}`,
    );
  };
  for (const [, smooth] of backends) expectSame(smooth, smooth.float32);
  for (const [name, smooth] of backends)
    if (name !== 'js') expectSame(smooth, (values) => values.slice());
  for (const threads of [2, 3, 4]) {
    const smooth = fresh();
    await smooth.setNumThreads(threads, {
      createWorker: () => new Worker(new URL('../dist/worker.js', import.meta.url)),
    });
    expectSame(smooth, smooth.float32);
    await smooth.setNumThreads(1);
  }
  expect([...results]).toHaveLength(1);
});
