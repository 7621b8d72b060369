// What docs/edge-cases.md promises of products and sums that leave the range of f32, and of arguments
// that no other table has.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backends, type Package } from './backends.ts';
import { mix } from './draws.ts';
import { f32, thrown } from './functions.ts';
import { curvature, slope, thresholdDerivative, value } from './oracle.ts';

const { abs, fround } = Math;
const LARGEST = fround(3.4028234663852886e38);
const SMALLEST_NORMAL = 2 ** -126;
const N = 48;

/** Numbers between 2^-48 and 2^48, whose products are within f32 or not. */
function numbers(words: number[], role: number, length = N): Float32Array {
  const bits = mix(words, role, length).map(
    (word) => (word & 0x807fffff) | ((79 + ((word >>> 23) % 97)) << 23),
  );
  return new Float32Array(bits.buffer);
}

/** Multiplies in the documented order; NaN once a product is no normal f32. 0 is exact only as a factor. */
function product(...factors: number[]): number {
  return factors.reduce((left, right) => {
    const exact = left * right;
    const isNormal = abs(exact) >= SMALLEST_NORMAL && abs(exact) <= LARGEST;
    return left === 0 || right === 0 || isNormal ? fround(exact) : NaN;
  });
}

interface Element {
  form: 'smoothL1' | 'huber';
  threshold: number;
  input: number;
  target: number;
  inside: number;
  outside: number;
  upstream: number;
  direction: number;
  scale: number;
}

/** What is right of an element; NaN where a step is outside of what is promised. */
function right(element: Element): { [result: string]: number } {
  const { form, threshold, input, target, inside, outside, upstream, direction, scale } = element;
  const d = product(fround(input - target), 1);
  const e = product(inside, d);
  const t = product(slope(form, threshold, e), 1);
  const isSteep = abs(e) < threshold && form === 'smoothL1';
  const loss = t === 0 ? 0 : product(t, value(form, threshold, e) / t);
  const g = product(scale, upstream);
  const outer = product(g, outside);
  const inner = product(outer, inside);
  const bend = isSteep ? product(1 / threshold, 1) : curvature(form, threshold, e);
  // A difference is as exact as its larger term.
  const excess = abs(e) > threshold ? abs(e) - threshold : 0;
  const isExact = excess === 0 || excess >= abs(e) / 2;
  const rate = form === 'smoothL1' ? product(t, t, -0.5) : isExact ? product(excess, 1) : NaN;
  const steps = (...all: number[]) => (all.some(Number.isNaN) ? NaN : 1);
  const E = inside * (input - target);
  const G = scale * upstream;
  return {
    loss: steps(product(loss, outside, scale)) * value(form, threshold, E) * outside * scale,
    gradInput: steps(product(t, inner)) * slope(form, threshold, E) * G * outside * inside,
    gradInside:
      steps(product(outer, t, d)) * slope(form, threshold, E) * G * outside * (input - target),
    gradOutside: steps(product(g, loss)) * value(form, threshold, E) * G,
    hessian:
      steps(product(bend, product(inner, inside), direction)) *
      curvature(form, threshold, E) *
      (G * outside * inside * inside * direction),
    thresholdGrad:
      steps(product(rate, product(upstream, outside))) *
      thresholdDerivative(form, threshold, E) *
      (G * outside),
  };
}

/** The results of the package for elements with those numbers. */
function found(smooth: Package, words: number[], form: Element['form'], threshold: number) {
  const [input, target, inside, outside, upstream, direction] = [1, 2, 3, 4, 5, 6].map((role) =>
    numbers(words, role),
  ) as [Float32Array, Float32Array, Float32Array, Float32Array, Float32Array, Float32Array];
  const [scale] = numbers(words, 7, 1) as unknown as [number];
  const name = form === 'huber' ? 'delta' : 'beta';
  const base = { [name]: threshold, insideWeights: inside, outsideWeights: outside, scale };
  const options = { ...base, reduction: 'none' } as const;
  const of = form === 'huber' ? ('huberLoss' as const) : ('smoothL1Loss' as const);
  const [gradInsideWeights, gradOutsideWeights] = [new Float32Array(N), new Float32Array(N)];
  const more = { gradInsideWeights, gradOutsideWeights };
  const rate = form === 'huber' ? smooth.huberLossDeltaGrad : smooth.smoothL1LossBetaGrad;
  const results: { [result: string]: ArrayLike<number> } = {
    loss: smooth[of](input, target, options),
    gradInput: smooth[`${of}Backward`](upstream, input, target, { ...options, ...more }),
    gradInside: gradInsideWeights,
    gradOutside: gradOutsideWeights,
    hessian: smooth[`${of}DoubleBackward`](direction, upstream, input, target, options),
    thresholdGrad: Array.from(input, (_, i) => {
      const part = (array: Float32Array) => array.subarray(i, i + 1);
      return rate(part(input), part(target), {
        ...base,
        insideWeights: part(inside),
        outsideWeights: part(outside),
        gradOutput: part(upstream),
        reduction: 'sum',
      });
    }),
  };
  const elements = Array.from(
    input,
    (_, i): Element => ({
      form,
      threshold,
      input: input[i] as number,
      target: target[i] as number,
      inside: inside[i] as number,
      outside: outside[i] as number,
      upstream: upstream[i] as number,
      direction: direction[i] as number,
      scale,
    }),
  );
  return { results, elements };
}

describe.each(backends)('%s', (_, smooth) => {
  test('right to 1e-6 where each product in the documented order is a normal f32', () => {
    let count = 0;
    const drawn = fc.record({
      words: fc.array(fc.integer({ min: 0, max: 0xffffffff }), { minLength: 60, maxLength: 60 }),
      form: fc.constantFrom<Element['form']>('smoothL1', 'huber'),
      threshold: fc.constantFrom(2 ** -60, 2 ** -20, 1, 2 ** 20, 2 ** 60),
    });
    const property = fc.property(drawn, ({ words, form, threshold }) => {
      const { results, elements } = found(smooth, words, form, threshold);
      for (const [i, element] of elements.entries())
        for (const [result, expected] of Object.entries(right(element))) {
          if (Number.isNaN(expected)) continue;
          count++;
          const actual = (results[result] as ArrayLike<number>)[i] as number;
          if (!(abs(actual - expected) <= 1e-6 * abs(expected)))
            expect.fail(`${result} of ${JSON.stringify(element)} is ${actual}, not ${expected}`);
        }
    });
    fc.assert(property, { seed: 1, numRuns: 60 });
    expect(count).toBeGreaterThan((60 * N * 6) / 4);
  });

  test.each([1e-40, 2 ** -149, 2 ** -129, 2 ** -127, 2 ** 126, LARGEST])(
    'the second derivative at a threshold of %s is right wherever it is a normal f32',
    (threshold) => {
      const beta = fround(threshold);
      const weights = f32(1, 1e-10, -1e-20, 1e20, 1e-4).map((w) => (beta < 1 ? abs(w) : w));
      const input = new Float32Array(5);
      const options = { beta, weight: weights, reduction: 'sum' } as const;
      const columns = { ...options, beta: new Float32Array(5).fill(beta), rowLength: 5 };
      const direction = f32(2, 2, 2, 2, 2);
      for (const each of [options, columns]) {
        const [one, two] = [
          smooth.smoothL1LossHessian(input, input, each),
          smooth.smoothL1LossDoubleBackward(direction, 0.5, input, input, each),
        ];
        for (const [i, w] of weights.entries()) {
          const expected = w / beta;
          if (!(abs(expected) >= SMALLEST_NORMAL && abs(expected) <= LARGEST)) continue;
          expect((one[i] as number) / expected, `weight ${w}`).toBeCloseTo(1, 6);
          expect((two[i] as number) / expected, `weight ${w}`).toBeCloseTo(1, 6);
        }
      }
    },
  );

  test('the slope is 1 from the threshold on, and right to its last bits below', () => {
    const slopeAt = (beta: number, d: number) =>
      smooth.smoothL1LossBackward(1, Float32Array.of(d), new Float32Array(1), {
        beta,
      })[0] as number;
    for (let beta = 1; beta < 200; beta++) expect(slopeAt(beta, beta), `${beta}`).toBe(1);
    expect([slopeAt(0.25, 0.125), slopeAt(2, 1), slopeAt(3, 1)]).toEqual([0.5, 0.5, fround(1 / 3)]);
    expect(abs(slopeAt(LARGEST, LARGEST / 2) - 0.5)).toBeLessThan(1e-7);
    const [input, target] = [Float32Array.of(1, -1, 0, -0), new Float32Array(4)];
    expect(smooth.huberLossBackward(1, input, target, { delta: -0 })).toEqual(f32(0, -0, 0, -0));
  });

  test('the loss of a distance of 0 or infinity at a threshold of the same', () => {
    const [zero, infinite] = [f32(0), f32(Infinity)];
    for (const [p, beta, loss, grad] of [
      [zero, 0, 0, 0],
      [infinite, Infinity, Infinity, 1],
    ] as const) {
      expect(smooth.smoothL1OfDistance(p, zero, { beta })).toBe(loss);
      expect(smooth.smoothL1OfDistanceBackward(1, p, zero, { beta })).toEqual(f32(grad));
    }
  });

  test('the second derivative is 0 at an infinite threshold, whatever it is multiplied by', () => {
    const input = f32(0, 1, -1e30);
    const options = { beta: Infinity, weight: 3e38, reduction: 'sum' } as const;
    expect([...smooth.smoothL1LossHessian(input, new Float32Array(3), options)]).toEqual([0, 0, 0]);
    const direction = f32(3e38, 3e38, 3e38);
    const grad = smooth.smoothL1LossDoubleBackward(direction, 1, input, f32(0, 0, 0), options);
    expect([...grad]).toEqual([0, 0, 0]);
  });

  test('thresholds, quantiles and divisors at the ends of their ranges', () => {
    const [x, y] = [f32(3, -3), f32(0, 0)];
    const sum = { reduction: 'sum' } as const;
    expect(smooth.smoothL1Loss(x, y, { ...sum, sigma: 0 })).toBe(0);
    expect(smooth.smoothL1Loss(x, y, { ...sum, beta: Infinity })).toBe(0);
    expect(smooth.smoothL1Loss(x, y, { ...sum, beta: 0 })).toBe(6);
    const quantile = (tau: number) =>
      smooth.quantileHuberLoss(x, y, { reduction: 'none', delta: 1, tau });
    expect([...quantile(0), ...quantile(1)]).toEqual([2.5, 0, 0, 2.5]);
    const byColumn = { rowLength: 2, tau: f32(0, 1) };
    expect([...smooth.quantileHuberLoss(x, y, { reduction: 'none', ...byColumn })]).toEqual([
      2.5, 2.5,
    ]);
    // What is counted though each element counts as 1.
    for (const more of [{ divisor: 'weights', weight: 1 }, { divisor: 'unmasked' }] as const)
      expect(smooth.l1Loss(x, y, more)).toBe(3);
    expect(smooth.l1Loss(x, y, { divisor: 1e300 })).toBe(6 / 1e300);
    expect(smooth.l1Loss(x, y, { minDivisor: 1e300 })).toBe(6 / 1e300);
  });

  test('64 losses, 16 elements apart, add up to the largest f32 at most, unless the sum is exact', () => {
    const losses = (loss: number) => new Float32Array(1024).map((_, i) => (i % 16 ? 0 : loss));
    const sum = (loss: number) =>
      smooth.l1Loss(losses(loss), new Float32Array(1024), { reduction: 'sum' });
    expect(sum(2 ** 121)).toBe(2 ** 127);
    expect(sum(2 ** 122)).toBe(Infinity);
    const [all, none] = [losses(2 ** 122), new Float32Array(1024)];
    expect(smooth.l1Loss(all, none, { reduction: 'sum', sum: 'exact' })).toBe(2 ** 128);
    const apart = new Float32Array(1024).fill(2 ** 122, 0, 64);
    expect(smooth.l1Loss(apart, new Float32Array(1024), { reduction: 'sum' })).toBe(2 ** 128);
  });

  test.each([4, 1023, 8192, 8193, 70_000])(
    'a row of %i is multiplied by the scale before it is rounded',
    (rowLength) => {
      const input = new Float32Array(rowLength).fill(1.024e40 / rowLength);
      if (input[0] === Infinity) input.fill(3e38);
      const options = { reduction: 'rows', rowLength, scale: 2 ** -10 } as const;
      const [loss] = smooth.l1Loss(input, new Float32Array(rowLength), options);
      const expected = (input[0] as number) * rowLength * 2 ** -10;
      expect((loss as number) / expected).toBeCloseTo(1, 5);
    },
  );

  test('an infinite scale multiplies the 0 of a masked element too, as a loss', () => {
    const options = { scale: Infinity, mask: Uint8Array.of(0, 1), reduction: 'none' } as const;
    expect([...smooth.l1Loss(f32(1, 1), f32(0, 0), options)]).toEqual([NaN, Infinity]);
    expect([...smooth.l1LossBackward(1, f32(1, 1), f32(0, 0), options)]).toEqual([0, Infinity]);
  });

  test('an array that throws when it is looked at: a TypeError, and nothing is written', () => {
    const revoked = () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy as Float32Array;
    };
    const arrays = { gradInput: smooth.float32([7, 7]), input: smooth.float32([1, 2]) };
    const { gradInput, input } = arrays;
    for (const call of [
      () => smooth.l1LossWithGrad(revoked(), input, gradInput),
      () => smooth.l1LossWithGrad(input, revoked(), gradInput),
      () => smooth.l1LossWithGrad(input, input, revoked()),
      () => smooth.l1LossWithGrad(input, input, gradInput, revoked() as object),
      () => smooth.l1LossWithGrad(input, input, gradInput, { weight: revoked() }),
      () => smooth.l1LossWithGrad(input, input, gradInput, { gradTarget: revoked() }),
    ])
      expect(thrown(call, arrays)).toMatch(/^TypeError: [^;]*$/);
    expect(smooth.l1Loss(input, input)).toBe(0);
  });

  test('a mean that is divided by 0, and is 0: no gradient, but losses and robust weights', () => {
    const zero = { divisor: 0, onZeroDivisor: 'zero' } as const;
    const places = [f32, (...values: number[]) => smooth.float32(values)];
    for (const put of places) {
      const input = put(3, -1);
      const results = { gradTarget: put(7, 7), outLosses: put(7, 7), outRobustWeights: put(7, 7) };
      const { gradTarget, outLosses, outRobustWeights } = results;
      // The gradient is in the place of the input, which the losses are made of.
      const options = { ...zero, ...results };
      expect(smooth.huberLossWithGrad(input, put(1, -1.5), input, options)).toBe(0);
      expect([input, gradTarget]).toEqual([f32(0, 0), f32(0, 0)]);
      expect([outLosses, outRobustWeights]).toEqual([f32(1.5, 0.125), f32(0.5, 1)]);
      const sum = put(5, 6);
      smooth.l1LossWithGrad(put(1, 2), put(3, 4), sum, { ...zero, accumulate: true });
      expect(sum).toEqual(f32(5, 6));
    }
  });

  test('robust weights of both sides of 0', () => {
    const [weights, grad] = [f32(0, 0, 0), f32(0, 0, 0)];
    const options = { tau: 0.25, reduction: 'sum', outRobustWeights: weights } as const;
    smooth.quantileHuberLossWithGrad(f32(1, -2, 0.5), f32(0, 0, 0), grad, options);
    expect([weights, grad]).toEqual([f32(0.75, 0.125, 0.75), f32(0.75, -0.25, 0.375)]);
  });

  test('the derivative to an infinite delta is 0, at infinity too', () => {
    for (const d of [1, Infinity, -Infinity])
      expect(smooth.huberLossDeltaGrad(f32(d), f32(0), { delta: Infinity })).toBe(0);
  });

  test('a mean of nothing leaves nothing to the next one', () => {
    const loss = new smooth.L1Loss({ divisor: 'unmasked', onZeroDivisor: 'zero' });
    const of = (...mask: boolean[]) => loss.forward(f32(1, 3), f32(0, 0), { mask });
    expect([of(false, false), of(true, true), of(false, true)]).toEqual([0, 2, 3]);
  });

  test('an array of more than 2^32 - 1 elements is an error that says the limit', (context) => {
    let mask: Uint8Array;
    try {
      // No page of it is touched, so it takes no memory.
      mask = new Uint8Array(2 ** 32);
    } catch {
      context.skip();
      return;
    }
    expect(thrown(() => smooth.l1Loss(f32(1, 1), f32(0, 0), { mask }))).toBe(
      'RangeError: l1Loss: mask has length 4294967296; an array may have 4294967295 elements at most',
    );
  });

  test('accumulate without an array to add to is an error', () => {
    const options = { accumulate: true };
    const [input, gradTarget] = [f32(1, -2), f32(3, 3)];
    const wrong =
      'TypeError: l1LossBackward: accumulate has a use only with an array that gradients are added to; give out';
    const call = (more: object) =>
      smooth.l1LossBackward(2, input, f32(0, 0), { ...options, ...more });
    expect(thrown(() => call({}))).toBe(wrong);
    expect([...call({ out: f32(1, 1) })]).toEqual([2, 0]);
    // A function keeps what it knows of its last options, out not among them.
    expect(thrown(() => call({}))).toBe(wrong);
    expect([...call({ gradTarget })]).toEqual([1, -1]);
    expect([...gradTarget]).toEqual([2, 4]);
    for (const name of ['gradInsideWeights', 'gradOutsideWeights']) {
      const old = f32(3, 3);
      expect([...call({ [name]: old })]).toEqual([1, -1]);
      expect([...old], name).toEqual([4, 5]);
    }
  });

  test('the losses of the elements beside a sum and a mean', () => {
    for (const [reduction, loss] of [
      ['sum', 7],
      ['mean', 3.5],
    ] as const) {
      const outLosses = f32(9, 9);
      expect(smooth.l1Loss(f32(2, -5), f32(0, 0), { reduction, outLosses })).toBe(loss);
      expect([...outLosses]).toEqual([2, 5]);
    }
  });

  test('a rowLength that no array goes by must divide the length, and changes nothing', () => {
    const [input, target] = [f32(1, -2, 3, 5), f32(0, 0, 0, 0)];
    expect(smooth.l1Loss(input, target, { rowLength: 2 })).toBe(smooth.l1Loss(input, target));
    expect(thrown(() => smooth.l1Loss(input, target, { rowLength: 3 }))).toBe(
      'RangeError: l1Loss: rowLength 3 does not divide 4, the length of input',
    );
  });

  test('an empty call with an array that is detached, or outside of its buffer, names it', () => {
    const detached = new Float32Array(4);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const empty = new Float32Array(0);
    expect(thrown(() => smooth.l1LossWithGrad(empty, empty, detached))).toBe(
      'TypeError: l1LossWithGrad: gradInput is detached, or lies outside of its resized buffer',
    );
  });
});
