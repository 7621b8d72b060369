// Sums and means by row, and sums by column: each has the bits of what is added up, or divided, here from
// results that other tests hold against the oracle.
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { backends, bits, type Package } from './backends.ts';
import { mix, tame } from './draws.ts';
import { type Any, f32, inKernel } from './functions.ts';
import { groupSums } from './sums.ts';

vi.setConfig({ testTimeout: 60_000 });
const { fround } = Math;
const PIECE = 8192;
const PLACES = [true, false];

/** Any bits, NaN and infinities among them. */
const words = fc.array(fc.oneof(fc.integer({ min: 0, max: 0xffffffff }), fc.constant(0x7fc00000)), {
  minLength: 1,
  maxLength: 20,
});

interface Drawn {
  rows: number;
  rowLength: number;
  input: Float32Array;
  target: Float32Array;
  perRow: Float32Array;
  perColumn: Float32Array;
  mask: Uint8Array;
}

const drawn: fc.Arbitrary<Drawn> = fc
  .record({
    words,
    isTame: fc.boolean(),
    shape: fc.oneof(
      fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 40 })),
      fc.constantFrom<[number, number]>([3, 1024], [2, PIECE + 5], [PIECE + 3, 2], [1, 2 * PIECE]),
    ),
  })
  .map(({ words, isTame, shape: [rows, rowLength] }) => {
    const values = (role: number, n: number): Float32Array => {
      const mixed = mix(words, role, n);
      return isTame ? tame.numbers(mixed, 4) : new Float32Array(mixed.buffer);
    };
    const n = rows * rowLength;
    return {
      rows,
      rowLength,
      input: values(1, n),
      target: values(2, n),
      perRow: values(3, rows),
      perColumn: values(4, rowLength),
      mask: Uint8Array.from(mix(words, 5, n), (word) => (word >>> 7) & 1),
    };
  });

function check(property: (drawn: Drawn) => void): void {
  fc.assert(fc.property(drawn, property), { seed: 1, numRuns: 20, includeErrorInReport: true });
}

/** Puts arrays where they shall be while `f` runs. */
function placed(smooth: Package, isInKernel: boolean, f: (put: Any) => void): void {
  const made: Any[] = [];
  f((values: Float32Array | Uint8Array) => {
    if (!isInKernel) return values.slice();
    const array = inKernel(smooth, values);
    made.push(array);
    return array;
  });
  for (const array of made) smooth.free(array);
}

describe.each(backends)('%s', (_, smooth) => {
  test('"columns": the losses of "none", added up in f64, row by row', () => {
    check(({ rowLength, input, target, perRow, perColumn, mask }) => {
      const options = { rowLength, mask, weight: { perRow }, beta: 0.5, scale: 3 };
      const none = smooth.smoothL1Loss(input, target, { ...options, reduction: 'none' });
      const right = bits(groupSums(none, rowLength, (i) => i % rowLength));
      const grads = Float32Array.from(input, (_, i) => perColumn[i % rowLength] as number);
      const sum = { ...options, reduction: 'sum' } as const;
      const rightGrad = bits(smooth.smoothL1LossBackward(grads, input, target, sum));
      for (const isInKernel of PLACES)
        placed(smooth, isInKernel, (put) => {
          const [x, y] = [put(input), put(target)];
          const columns = { ...options, mask: put(mask), reduction: 'columns' } as const;
          expect(bits(smooth.smoothL1Loss(x, y, columns))).toBe(right);
          const out = put(new Float32Array(rowLength).fill(7));
          const gradInput = put(new Float32Array(input.length));
          expect(smooth.smoothL1LossWithGrad(x, y, gradInput, { ...columns, out })).toBe(out);
          expect(bits(out)).toBe(right);
          expect(bits(gradInput)).toBe(bits(smooth.smoothL1LossBackward(1, input, target, sum)));
          const grad = smooth.smoothL1LossBackward(put(perColumn), x, y, columns);
          expect(bits(grad)).toBe(rightGrad);
        });
    });
  });

  test('"rowMeans": the sums of "rows", each divided by what its row counts', () => {
    check(({ rows, rowLength, input, target, perRow, perColumn, mask }) => {
      const weight = { perColumn: perColumn.map((w) => (Math.abs(w) < 4 ? w : 0)) };
      const options = { rowLength, mask, weight, delta: 2, ignoreValue: target[0] || 0 };
      const row = { ...options, reduction: 'rows' } as const;
      const sum = smooth.huberLoss(input, target, row);
      for (const divisor of ['elements', 'weights', 'nonzeroWeights', 'unmasked', 2.5] as const) {
        const divisors = Array.from({ length: rows }, (_, row) => {
          let count = 0;
          for (let i = row * rowLength; i < (row + 1) * rowLength; i++) {
            const w = weight.perColumn[i % rowLength] as number;
            if (divisor === 'elements' || (mask[i] && target[i] !== options.ignoreValue))
              count += divisor === 'weights' ? w : divisor === 'nonzeroWeights' && w === 0 ? 0 : 1;
          }
          return divisor === 2.5 ? 2.5 : count;
        });
        const right = sum.map((x, i) => (divisors[i] ? x / (divisors[i] as number) : NaN));
        const each = perRow.map((g, i) => (divisors[i] ? g / (divisors[i] as number) : NaN));
        const rightGrad = bits(smooth.huberLossBackward(each, input, target, row));
        for (const isInKernel of PLACES)
          placed(smooth, isInKernel, (put) => {
            const [x, y] = [put(input), put(target)];
            const means = { ...options, mask: put(mask), divisor, reduction: 'rowMeans' } as const;
            expect(bits(smooth.huberLoss(x, y, means))).toBe(bits(right));
            const grad = smooth.huberLossBackward(put(perRow), x, y, means);
            expect(bits(grad), divisor.toString()).toBe(rightGrad);
            const gradInput = put(new Float32Array(input.length));
            expect(bits(smooth.huberLossWithGrad(x, y, gradInput, means))).toBe(bits(right));
            expect(bits(gradInput)).toBe(bits(smooth.huberLossBackward(1, x, y, means)));
          });
      }
    });
  });

  test('gradients to weights by row and by column: sums of those in full size', () => {
    check(({ rows, rowLength, input, target, perRow, perColumn, mask }) => {
      const n = input.length;
      // Where both fit, they have one value for each element.
      if (rows === 1 || rowLength === 1) return;
      const of = (isRow: boolean, full: Float32Array): Float32Array =>
        isRow
          ? groupSums(full, rows, (i) => Math.floor(i / rowLength))
          : groupSums(full, rowLength, (i) => i % rowLength);
      for (const isRow of [true, false])
        for (const accumulate of [false, true]) {
          const insideWeights = isRow ? { perRow } : { perColumn };
          const weight = isRow ? { perColumn } : { perRow };
          const options = { rowLength, mask, insideWeights, weight, reduction: 'sum' } as const;
          const [inside, outside] = [new Float32Array(n), new Float32Array(n)];
          const grads = { gradInsideWeights: inside, gradOutsideWeights: outside };
          smooth.l1LossBackward(1, input, target, { ...options, ...grads });
          const right = [of(isRow, inside), of(!isRow, outside)].map((g) =>
            bits(accumulate ? g.map((x) => 0.75 + x) : g),
          );
          for (const isInKernel of PLACES)
            placed(smooth, isInKernel, (put) => {
              const old = (length: number): Float32Array =>
                put(new Float32Array(length).fill(0.75));
              const gradInsideWeights = old(isRow ? rows : rowLength);
              const gradOutsideWeights = old(isRow ? rowLength : rows);
              smooth.l1LossWithGrad(put(input), put(target), put(new Float32Array(n)), {
                ...options,
                gradInsideWeights,
                gradOutsideWeights,
                accumulate,
              });
              expect([gradInsideWeights, gradOutsideWeights].map((g) => bits(g))).toEqual(right);
            });
        }
    });
  });

  test('means of rows whose divisor is 0', () => {
    const [input, target] = [f32(1, NaN, 3, 4), f32(0, 0, 0, 2)];
    const options = { rowLength: 2, reduction: 'rowMeans', divisor: 'unmasked' } as const;
    const mask = [false, false, true, true];
    expect(smooth.l1Loss(input, target, { ...options, mask })).toEqual(f32(NaN, 2.5));
    const zero = { ...options, mask, onZeroDivisor: 'zero' } as const;
    expect(smooth.l1Loss(input, target, zero)).toEqual(f32(0, 2.5));
    expect(smooth.l1LossBackward(2, input, target, zero)).toEqual(f32(0, 0, 1, 1));
    const least = { ...options, mask, minDivisor: 4 } as const;
    expect(smooth.l1Loss(input, target, least)).toEqual(f32(0, 1.25));
    const { scale = 8 } = {};
    expect(smooth.l1LossBackward(1, input, target, { ...zero, scale })).toEqual(f32(0, 0, 4, 4));
  });

  test('means of rows write nothing behind them', () => {
    const places = Array.from({ length: 8 }, () => smooth.float32(16));
    const [ones, zeros] = [new Float32Array(16).fill(1), new Float32Array(16)];
    const options = { rowLength: 1, reduction: 'rowMeans', divisor: 2 } as const;
    for (const out of places) {
      for (const place of places) place.fill(7);
      smooth.l1Loss(ones, zeros, { ...options, out });
      for (const place of places)
        expect(place.every((x) => x === (place === out ? 0.5 : 7))).toBe(true);
    }
    places.forEach(smooth.free);
  });

  test('gradients of means of many rows write nothing but gradients', () => {
    const rows = 20_000;
    const [input, target, out] = [smooth.float32(rows), smooth.float32(rows), smooth.float32(rows)];
    input.fill(3);
    const options = { rowLength: 1, reduction: 'rowMeans', divisor: 'unmasked', out } as const;
    const mask = { perColumn: [true] };
    for (let i = 0; i < 2; i++)
      smooth.l1LossBackward(2, input, target, { ...options, mask, minDivisor: 4 });
    expect(out.every((grad) => grad === 0.5)).toBe(true);
    expect(input.every((x) => x === 3)).toBe(true);
    for (const array of [input, target, out]) smooth.free(array);
  });

  test('accumulate adds to gradients, nothing where nothing counts, and replaces losses', () => {
    const [input, target] = [f32(3, 4, 0.5, 0.25), f32(0, 0, 0, 0)];
    const [out, gradInput, gradInsideWeights] = [f32(7, 7), f32(1, 1, 1, 1), f32(-0, 2)];
    const columns = { rowLength: 2, reduction: 'columns', accumulate: true, out } as const;
    smooth.l1LossWithGrad(input, target, gradInput, columns);
    expect([out, gradInput]).toEqual([f32(3.5, 4.25), f32(2, 2, 2, 2)]);
    smooth.l1LossBackward(1, input, target, {
      rowLength: 2,
      insideWeights: { perColumn: f32(1, 2) },
      gradInsideWeights,
      mask: [false, false, false, false],
      divisor: 'unmasked',
      onZeroDivisor: 'zero',
      accumulate: true,
      out: gradInput,
    });
    expect([gradInput, gradInsideWeights]).toEqual([f32(2, 2, 2, 2), f32(-0, 2)]);
  });

  test('rows are counted by weights, masks and targets of every kind', () => {
    const input = f32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    const target = new Float32Array(12);
    const rows = { rowLength: 3, reduction: 'rowMeans' } as const;
    const means = (options: object) => smooth.l1Loss(input, target, { ...rows, ...options });
    expect(means({ weight: 0.5, divisor: 'weights' })).toEqual(f32(2, 5, 8, 11));
    expect(means({ weight: 0.5, divisor: 'nonzeroWeights' })).toEqual(f32(1, 2.5, 4, 5.5));
    const weight = { perRow: f32(1, 2, 4, 0) };
    expect(means({ weight, divisor: 'weights' })).toEqual(f32(2, 5, 8, NaN));
    const mask = { perRow: [true, false, true, true] };
    expect(means({ mask, divisor: 'unmasked' })).toEqual(f32(2, NaN, 8, 11));
    const last = Uint8Array.of(0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0);
    const mean = { rowLength: 3, mask: last, divisor: 'unmaskedRows' } as const;
    expect(smooth.l1Loss(input, target, mean)).toBe((3 + 7 + 8 + 9 + 11) / 3);
    target.fill(NaN, 3, 6)[0] = NaN;
    const gaps = { ignoreNaNTargets: true, divisor: 'unmasked' };
    expect(means(gaps)).toEqual(f32(2.5, NaN, 8, 11));
  });

  test('as many rows as columns: gradients to weights go by what the weights go by', () => {
    const [input, target, three] = [f32(1, 2, 3, 4), f32(0, 0, 0, 0), f32(3, 3)];
    const of = (weight: object) => {
      const gradOutsideWeights = new Float32Array(2);
      const options = { rowLength: 2, reduction: 'sum', weight, gradOutsideWeights } as const;
      smooth.l1LossWithGrad(input, target, new Float32Array(4), options as never);
      return gradOutsideWeights;
    };
    expect(of({ perRow: three })).toEqual(f32(3, 7));
    expect(of({ perColumn: three })).toEqual(f32(4, 6));
  });

  test('a row that is divided by 0, of elements that count: gradients of 0, or NaN', () => {
    const [input, target] = [f32(2, -3, 2, -3, 2, -3), f32(0, 0, 0, 0, 0, 0)];
    const options = {
      rowLength: 2,
      reduction: 'rowMeans',
      divisor: 'weights',
      weight: f32(1, 3, 0, 0, 1, -1),
    } as const;
    const zero = { ...options, onZeroDivisor: 'zero' } as const;
    for (const upstream of [2, f32(2, 2, 2)]) {
      // Zeros of either sign.
      const of = (options: object) =>
        smooth.l1LossBackward(upstream, input, target, options).map((g) => g + 0);
      expect(of(zero)).toEqual(f32(0.5, -1.5, 0, 0, 0, 0));
      expect(of(options)).toEqual(f32(0.5, -1.5, NaN, NaN, NaN, NaN));
    }
  });

  test('derivatives to a threshold, Hessians and loss objects divide rows, and take columns', () => {
    const [input, target, perColumn] = [f32(3, 4, 0.5, 0.25), f32(0, 0, 0, 0), f32(1, 2)];
    const means = { rowLength: 2, reduction: 'rowMeans', mask: [true, false, true, true] } as const;
    const unmasked = { ...means, divisor: 'unmasked' } as const;
    expect(smooth.huberLossDeltaGrad(input, target, unmasked)).toBe(2);
    expect(smooth.huberLossDeltaGrad(input, target, { ...unmasked, gradOutput: f32(5, 7) })).toBe(
      10,
    );
    expect(smooth.huberLossDeltaGrad(input, target, { ...unmasked, gradOutput: 3 })).toBe(6);
    expect(smooth.huberLossHessian(input, target, unmasked)).toEqual(f32(0, 0, 0.5, 0.5));
    const columns = { rowLength: 2, reduction: 'columns' } as const;
    const delta = { ...columns, gradOutput: perColumn };
    expect(smooth.huberLossDeltaGrad(input, target, delta)).toBe(2 + 6);
    const object = new smooth.L1Loss(columns);
    expect(object.forward(input, target)).toEqual(f32(3.5, 4.25));
    expect(object.backward(perColumn, input, target)).toEqual(f32(1, 2, 1, 2));
    expect(new smooth.L1Loss(unmasked).withGrad(input, target, new Float32Array(4))).toEqual(
      f32(3, 0.375),
    );
  });

  test('what does not go together is an error', () => {
    const [input, six] = [f32(1, 2, 3, 4, 5, 6), new Float32Array(6)];
    const call = (options: object, upstream: Any = 1): (() => unknown) => {
      return () => smooth.l1LossBackward(upstream, input, input, { rowLength: 3, ...options });
    };
    const means = { reduction: 'rowMeans' } as const;
    expect(call({ ...means, divisor: 'unmaskedRows' })).toThrow(
      'divisor "unmaskedRows" has a use only with reduction "mean"; "rowMeans" divides each row',
    );
    const weights = { ...means, divisor: 'weights', weight: six, gradOutsideWeights: six };
    expect(call(weights)).toThrow('gradOutsideWeights does not go with reduction "rowMeans"');
    expect(call(means, six)).toThrow('gradOutput has length 6; it must be 2, one for each row');
    const columns = { reduction: 'columns' };
    expect(call(columns, six)).toThrow(
      'gradOutput has length 6; it must be 3, one for each column',
    );
    expect(call({ ...columns, divisor: 'elements' })).toThrow(
      'divisor has a use only with reduction "mean" or "rowMeans", got "columns"',
    );
    expect(call({ ...columns, rowLength: undefined })).toThrow(
      'reduction "columns" needs rowLength, which is missing',
    );
    expect(call({ insideWeights: f32(1, 2), gradInsideWeights: f32(1, 2, 3) })).toThrow(
      'gradInsideWeights has length 3; it must be 2, one for each row, or 6, one for each element',
    );
    expect(call({ insideWeights: 2, gradInsideWeights: f32(1) })).toThrow(
      'gradInsideWeights has length 1; it must be 6, one for each element of input',
    );
    expect(() => new smooth.LossAccumulator(new smooth.L1Loss({ ...means, rowLength: 3 }))).toThrow(
      'loss must have reduction "sum" or "mean", got "rowMeans"',
    );
    const x = inKernel(smooth, input) as Float32Array;
    const out = x.subarray(0, 3);
    expect(() => smooth.l1Loss(x, six, { rowLength: 3, reduction: 'columns', out })).toThrow(
      'out overlaps input',
    );
  });
});

test('inputs of 16 bits, columns of more rows than a piece: as with floats, on each backend', () => {
  const n = 3 * (PIECE + 1);
  const halves = Uint16Array.from({ length: n }, (_, i) => 0x3f80 + (i % 100));
  const target = new Float32Array(n);
  const results = backends.map(([, smooth]) => {
    const options = { inputType: 'bfloat16', rowLength: 3, reduction: 'columns' } as const;
    const grad = new Float32Array(n);
    return [
      bits(smooth.smoothL1LossWithGrad(halves, target, grad, options)),
      bits(smooth.smoothL1Loss(halves, target, { ...options, reduction: 'rowMeans' })),
    ];
  });
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
  const floats = Float32Array.from(halves, (bits) => fround(1 + (bits - 0x3f80) / 128));
  for (const [, smooth] of backends) {
    const sums = smooth.smoothL1Loss(floats, target, { rowLength: 3, reduction: 'columns' });
    expect(bits(sums)).toBe(results[0]?.[0]);
  }
});
