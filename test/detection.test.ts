// The losses of the detection examples and their gradients, over every backend: what the package
// computes is what the papers define.
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { makePicture, randomFrom } from '../examples/boxes.ts';
import { ROUNDING, worst } from '../examples/comparison.ts';
import type { Answer } from '../examples/definition.ts';
import { backends } from './backends.ts';

const examples = async () => ({
  ...(await import('../examples/rpn.ts')),
  ...(await import('../examples/head.ts')),
  ...(await import('../examples/ssd.ts')),
});

function expectClose(expected: ArrayLike<number>, ours: ArrayLike<number>): void {
  expect(ours.length).toBe(expected.length);
  const row = worst('', expected, ours);
  expect(Math.abs(row.ours - row.expected)).toBeLessThanOrEqual(ROUNDING * Math.abs(row.expected));
}

const pictures = [
  { seed: 1, objects: 8 },
  { seed: 2, objects: 1 },
  { seed: 3, objects: 20 },
  { seed: 4, objects: 0 },
];

describe.each(backends)('%s', (_, smooth) => {
  let detection: Awaited<ReturnType<typeof examples>>;

  // The examples as a user runs them, but with the package of this backend.
  beforeAll(async () => {
    vi.resetModules();
    vi.doMock('smooth-l1', () => smooth);
    detection = await examples();
    vi.doUnmock('smooth-l1');
  });

  /** The loss, after a look at it and at the gradient. */
  function check(expected: Answer, lossOf: (gradient: Float32Array) => number): number {
    const gradient = smooth.float32(expected.gradient.length).fill(NaN);
    const copied = smooth.copiedBytes();
    const loss = lossOf(gradient);
    expect(smooth.copiedBytes()).toBe(copied);
    expectClose([expected.loss], [loss]);
    expectClose(expected.gradient, gradient);
    smooth.free(gradient);
    return loss;
  }

  describe.each(pictures)('seed $seed, $objects objects', ({ seed, objects }) => {
    test('the region proposals of Faster R-CNN', () => {
      const { rpnBatch, rpnDefinition, rpnLoss } = detection;
      const random = randomFrom(seed);
      const batch = rpnBatch(makePicture(random, 800, 600, objects), random);
      const loss = check(rpnDefinition(batch), (gradient) => rpnLoss(batch, gradient));
      expect(loss > 0).toBe(objects > 0);
      expect(batch.examples).toBe(256);

      // In rows, one for each anchor, a mask and a divisor say the same as the weights.
      const { anchors } = batch;
      const inRows = smooth.smoothL1Loss(
        Float32Array.from(anchors.flatMap(({ prediction }) => [...prediction])),
        Float32Array.from(anchors.flatMap(({ target }) => [...target])),
        {
          sigma: 3,
          rowLength: 4,
          mask: Uint8Array.from(anchors, ({ label }) => Number(label === 1)),
          divisor: batch.examples,
        },
      );
      expectClose([loss], [inRows]);
    });

    test('the head of Fast R-CNN', () => {
      const { headBatch, headDefinition, headLoss } = detection;
      const random = randomFrom(seed);
      const batch = headBatch(makePicture(random, 800, 600, objects), random);
      const loss = check(headDefinition(batch), (gradient) => headLoss(batch, gradient));
      expect(loss > 0).toBe(objects > 0);

      // What it says of other classes is nothing to the loss.
      for (const [i, counts] of batch.mask.entries()) if (!counts) batch.predictions[i] = NaN;
      expect(check(headDefinition(batch), (gradient) => headLoss(batch, gradient))).toBe(loss);
    });

    test('SSD', () => {
      const { ssdBatch, ssdDefinition, ssdLoss } = detection;
      const random = randomFrom(seed);
      const batch = ssdBatch(makePicture(random, 300, 300, objects), random);
      const loss = check(ssdDefinition(batch), (gradient) => ssdLoss(batch, gradient));
      expect(loss > 0).toBe(objects > 0);
      check(ssdDefinition(batch, 0.3), (gradient) => ssdLoss(batch, gradient, 0.3));
    });

    test('the hardest anchors of SSD', () => {
      const { hardest, ssdAnchorLosses, ssdBatch, ssdDefinition, ssdLoss } = detection;
      const random = randomFrom(seed);
      const batch = ssdBatch(makePicture(random, 300, 300, objects), random);
      expectClose(ssdDefinition(batch).anchorLosses, ssdAnchorLosses(batch));

      // By box alone, half of the matches are the harder half of the anchors.
      const byBox = { ...batch, classLosses: new Float32Array(batch.anchors.length) };
      const half = Math.ceil(batch.matches / 2);
      const hard = hardest(byBox, half);
      expect(hard.matches).toBe(half);
      expect(hard.matched.every((isHard, i) => isHard <= (batch.matched[i] ?? 0))).toBe(true);
      const loss = check(ssdDefinition(hard), (gradient) => ssdLoss(hard, gradient));
      expect(loss).toBeGreaterThanOrEqual(ssdDefinition(batch).loss);

      expect(hardest(batch, batch.anchors.length).matched).toEqual(batch.matched);
    });
  });
});
