// The worksheet that this package goes back to, equation by equation, over every backend.
import { describe, expect, test } from 'vitest';
import { backends } from './backends.ts';

const p = Float32Array.of(1, 2, 3);
const q = Float32Array.of(1.1, 2, 3.3);

/** Smooth L1 of one number, and its derivative, as the worksheet writes them. */
const f = (x: number, sigma: number): number =>
  Math.abs(x) < 1 / sigma ** 2 ? 0.5 * (sigma * x) ** 2 : Math.abs(x) - 0.5 / sigma ** 2;
const derivative = (x: number, sigma: number): number =>
  Math.abs(x) < 1 / sigma ** 2 ? sigma ** 2 * x : Math.sign(x);

const sigmas = [0.5, 1, 2, 3, 10];
const numbers = Array.from({ length: 401 }, (_, k) => (k - 200) / 64);
const zeros = new Float32Array(numbers.length);

/** Vectors at a given distance. */
const apart = (distance: number) =>
  [
    Float32Array.of(distance / 2, 5, 0, distance / 8),
    Float32Array.of(0, 5, distance / 4, -distance / 8),
  ] as const;
const distances = [0, 0.0625, 0.25, 0.75, 1, 1.5, 40];

function expectClose(ours: ArrayLike<number>, expected: readonly number[]): void {
  expect(ours.length).toBe(expected.length);
  expected.forEach((number, i) => {
    expect(ours[i]).toBeCloseTo(number, 6);
  });
}

describe.each(backends)('%s', (_, smooth) => {
  const { l1Distance, smoothL1OfDistance, smoothL1OfDistanceBackward } = smooth;
  const losses = (x: readonly number[], sigma: number) =>
    smooth.smoothL1Loss(Float32Array.from(x), zeros.subarray(0, x.length), {
      sigma,
      reduction: 'none',
    });
  const curvatures = (x: readonly number[], sigma: number) =>
    smooth.smoothL1LossHessian(Float32Array.from(x), zeros.subarray(0, x.length), {
      sigma,
      reduction: 'sum',
    });

  test('(1) the L1 distance: D(p, q) = sum |p_i - q_i|', () => {
    for (const distance of distances) expect(l1Distance(...apart(distance))).toBe(distance);
  });

  test('(2) D([1, 2, 3], [1.1, 2, 3.3]) = 0.4', () => {
    expect(l1Distance(p, q)).toBeCloseTo(0.4, 6);
  });

  test('(3) the L2 distance: sqrt(sum (p_i - q_i)^2)', () => {
    // Huber that never becomes linear is half the square.
    const square = 2 * smooth.huberLoss(p, q, { delta: Infinity, reduction: 'sum' });
    expect(Math.sqrt(square)).toBeCloseTo(Math.hypot(0.1, 0, 0.3), 6);
  });

  test('(4) smooth L1 of p and q: 0.5 D^2 if D < 1, else D - 0.5', () => {
    for (const distance of distances) {
      const expected = distance < 1 ? 0.5 * distance ** 2 : distance - 0.5;
      expect(smoothL1OfDistance(...apart(distance))).toBeCloseTo(expected, 6);
    }
  });

  test('(5) of [1, 2, 3] and [1.1, 2, 3.3] it is 0.080', () => {
    expect(smoothL1OfDistance(p, q)).toBeCloseTo(0.08, 6);
  });

  test('(6) with sigma: f(x) = 0.5 (sigma x)^2 if |x| < 1 / sigma^2, else |x| - 0.5 / sigma^2', () => {
    for (const sigma of sigmas)
      expectClose(
        losses(numbers, sigma),
        numbers.map((x) => f(x, sigma)),
      );
  });

  test('(7) sigma 3: 4.5 x^2', () => {
    const x = [-0.1, -0.05, 0, 0.01, 0.11];
    expectClose(
      losses(x, 3),
      x.map((x) => 4.5 * x ** 2),
    );
  });

  test('(8) sigma 3: if |x| < 1/9', () => {
    const justBelow = 1 / 9 - 2 ** -27;
    expectClose(curvatures([-justBelow, 0, justBelow], 3), [9, 9, 9]);
    expectClose(curvatures([-1, -1 / 9, 1 / 9, 1], 3), [0, 0, 0, 0]);
  });

  test('(9) sigma 3: else |x| - 0.0555556', () => {
    const x = [-2, -0.2, 1 / 9, 0.12, 1];
    expectClose(
      losses(x, 3),
      x.map((x) => Math.abs(x) - 0.0555556),
    );
  });

  test('(10) of [1, 2, 3] and [1.1, 2, 3.3] it is 0.3444444444 at sigma 3', () => {
    expect(smoothL1OfDistance(p, q, { sigma: 3 })).toBeCloseTo(0.3444444444, 6);
  });

  test("(11) the derivative: f'(x) = sigma^2 x if |x| < 1 / sigma^2, else sign(x)", () => {
    for (const sigma of sigmas) {
      const slopes = smooth.smoothL1LossBackward(1, Float32Array.from(numbers), zeros, {
        sigma,
        reduction: 'sum',
      });
      expectClose(
        slopes,
        numbers.map((x) => derivative(x, sigma)),
      );
    }
  });

  test('(12) the vector form: L(p, q) = f(D(p, q)), not the sum of f(p_i - q_i)', () => {
    for (const sigma of sigmas)
      for (const distance of distances) {
        const loss = smoothL1OfDistance(...apart(distance), { sigma });
        expect(loss).toBeCloseTo(f(distance, sigma), 6);
      }
    const sum = (sigma: number) => smooth.smoothL1Loss(p, q, { sigma, reduction: 'sum' });
    expect(sum(1)).toBeCloseTo(0.05, 6);
    expect(sum(3)).toBeCloseTo(0.2894444, 6);
  });

  test("(13) its gradient: f'(D) sign(p_i - q_i) to p, the negative to q", () => {
    for (const sigma of sigmas)
      for (const distance of distances) {
        const [a, b] = apart(distance);
        const slope = derivative(distance, sigma);
        const sign = Math.sign(distance);
        const expected = [slope * sign, 0, -slope * sign, slope * sign];
        expectClose(smoothL1OfDistanceBackward(1, a, b, { sigma }), expected);
        const negative = expected.map((number) => -number);
        expectClose(smoothL1OfDistanceBackward(1, b, a, { sigma }), negative);
      }
    for (const sigma of [0.5, 1, 3]) {
      const gradP = new Float32Array(3);
      const loss = smooth.smoothL1OfDistanceWithGrad(p, q, gradP, { sigma });
      expect(loss).toBe(smoothL1OfDistance(p, q, { sigma }));
      expect(gradP).toEqual(smoothL1OfDistanceBackward(1, p, q, { sigma }));
      const inPlace = p.slice();
      expect(smooth.smoothL1OfDistanceWithGrad(inPlace, q, inPlace, { sigma })).toBe(loss);
      expect(inPlace).toEqual(gradP);
    }
    expectClose(smoothL1OfDistanceBackward(1, p, q), [-0.4, 0, -0.4]);
    expectClose(smoothL1OfDistanceBackward(1, p, q, { sigma: 3 }), [-1, 0, -1]);
  });
});
