// The box loss of the region proposal network of Faster R-CNN, as the released code computes it:
// sigma is 3, and the weights say which of the anchors count, and how much.

import { float32, smoothL1LossWithGrad } from 'smooth-l1';
import {
  anchorsOn,
  type Box,
  guess,
  isInside,
  type Match,
  matchBoxes,
  type Offsets,
  offsets,
  type Picture,
  type Random,
  sample,
  shapesOf,
} from './boxes.ts';
import { type Answer, residuals, smoothL1 } from './definition.ts';

const STRIDE = 16;
const SHAPES = shapesOf([128, 256, 512], [0.5, 1, 2]);
const EXAMPLES = 256;
const IGNORED = -1;

interface Anchor {
  /** 1: an object is there; 0: none is; -1: the anchor does not count. */
  readonly label: number;
  readonly target: Offsets;
  readonly prediction: Offsets;
}

export interface RpnBatch {
  /** A channel for each of the four offsets of each shape: [1, 4A, H, W]. */
  readonly shape: readonly [pictures: 1, channels: number, rows: number, columns: number];
  /** Row by row, in a row place by place, at a place shape by shape. */
  readonly anchors: readonly Anchor[];
  /** How many anchors have a label of 0 or 1. */
  readonly examples: number;
  readonly predictions: Float32Array;
  readonly targets: Float32Array;
  readonly insideWeights: Float32Array;
  readonly outsideWeights: Float32Array;
}

/** The loss; `gradient` receives that to the predictions. */
export function rpnLoss(batch: RpnBatch, gradient: Float32Array): number {
  const { predictions, targets, insideWeights, outsideWeights } = batch;
  return smoothL1LossWithGrad(predictions, targets, gradient, {
    sigma: 3,
    insideWeights, // 1 where there is an object
    outsideWeights, // 1 / examples, of objects and of background
    reduction: 'sum', // the code divides by the number of pictures, which is 1
  });
}

/** The same by definition: the sum over the anchors with an object, divided by the examples. */
export function rpnDefinition({ shape, anchors, examples }: RpnBatch): Answer {
  const [, channels, rows, columns] = shape;
  const gradient = new Float64Array(channels * rows * columns);
  let loss = 0;
  for (const [i, { label, target, prediction }] of anchors.entries()) {
    if (label !== 1) continue;
    const [place, kind] = [Math.floor(i / SHAPES.length), i % SHAPES.length];
    for (const [c, d] of residuals(prediction, target).entries()) {
      const { value, slope } = smoothL1(d, 1 / 9);
      loss += value / examples;
      gradient[(4 * kind + c) * rows * columns + place] = slope / examples;
    }
  }
  return { loss, gradient };
}

// ---- a batch ----------------------------------------------------------------------------------

export function rpnBatch(picture: Picture, random: Random): RpnBatch {
  const boxes = anchorsOn(picture, STRIDE, SHAPES);
  const matches = matchBoxes(
    boxes.filter((box) => isInside(box, picture)),
    picture.objects,
  );
  const objects = new Map(matches.map(({ box, object }) => [box, object]));
  const labels = chooseLabels(matches, random);
  const anchors = boxes.map((box): Anchor => {
    const target = offsets(box, objects.get(box));
    return { label: labels.get(box) ?? IGNORED, target, prediction: guess(target, 0.1, random) };
  });

  const rows = Math.ceil(picture.height / STRIDE);
  const columns = Math.ceil(picture.width / STRIDE);
  const shape = [1, 4 * SHAPES.length, rows, columns] as const;
  const examples = labels.size;
  return {
    shape,
    anchors,
    examples,
    predictions: blob(shape, anchors, ({ prediction }, c) => prediction[c]),
    targets: blob(shape, anchors, ({ target }, c) => target[c]),
    insideWeights: blob(shape, anchors, ({ label }) => Number(label === 1)),
    outsideWeights: blob(shape, anchors, ({ label }) => Number(label !== IGNORED) / examples),
  };
}

/** Labels for at most 256 boxes, at most half of them on objects. */
function chooseLabels(matches: readonly Match<Box>[], random: Random): Map<Box, number> {
  const isObject = ({ isBest, overlap }: Match<Box>) => isBest || overlap >= 0.7;
  const isBackground = ({ isBest, overlap }: Match<Box>) => !isBest && overlap < 0.3;
  const objects = sample(random, matches.filter(isObject), EXAMPLES / 2);
  const background = sample(random, matches.filter(isBackground), EXAMPLES - objects.length);
  return new Map([
    ...objects.map(({ box }) => [box, 1] as const),
    ...background.map(({ box }) => [box, 0] as const),
  ]);
}

/** One number for each offset of each anchor, laid out channel by channel. */
function blob(
  [, channels, rows, columns]: RpnBatch['shape'],
  anchors: readonly Anchor[],
  numberOf: (anchor: Anchor, c: number) => number | undefined,
): Float32Array {
  const numbers = float32(channels * rows * columns);
  let next = 0;
  for (let channel = 0; channel < channels; channel++)
    for (let place = 0; place < rows * columns; place++) {
      const anchor = anchors[place * SHAPES.length + Math.floor(channel / 4)] as Anchor;
      numbers[next++] = numberOf(anchor, channel % 4) ?? NaN;
    }
  return numbers;
}
