// The box loss of SSD: the sum over the anchors that are matched with an object, divided by their
// number; and which of them are hard, for training on those alone.

import { float32, smoothL1Loss, smoothL1LossWithGrad, uint8 } from 'smooth-l1';
import {
  anchorsOn,
  type Box,
  guess,
  matchBoxes,
  type Offsets,
  offsets,
  type Picture,
  type Random,
  SPREAD,
  shapesOf,
} from './boxes.ts';
import { type Answer, residuals, smoothL1 } from './definition.ts';

interface Anchor {
  readonly target: Offsets;
  readonly prediction: Offsets;
}

export interface SsdBatch {
  readonly anchors: readonly Anchor[];
  /** Rows of four numbers, one for each anchor. */
  readonly predictions: Float32Array;
  readonly targets: Float32Array;
  /** 1 for each anchor that is matched with an object. */
  readonly matched: Uint8Array;
  /** How many are. */
  readonly matches: number;
  /** How wrong the network is about the class of each anchor: the other part of SSD's loss. */
  readonly classLosses: Float32Array;
}

/** The loss, 0 if nothing is matched; `gradient` receives that to the predictions. */
export function ssdLoss(batch: SsdBatch, gradient: Float32Array, alpha = 1): number {
  const { predictions, targets, matched, matches } = batch;
  return smoothL1LossWithGrad(predictions, targets, gradient, {
    rowLength: 4,
    mask: matched,
    divisor: matches,
    minDivisor: 1,
    scale: alpha,
  });
}

/** The loss of each anchor, 0 for those that are not matched. */
export function ssdAnchorLosses({ predictions, targets, matched }: SsdBatch): Float32Array {
  return smoothL1Loss(predictions, targets, { rowLength: 4, mask: matched, reduction: 'rows' });
}

/**
 * The batch with no more matches than are among the `count` hardest anchors, by box and class. (SSD
 * leaves out anchors that lie on harder ones, too.) Its mask is a new array in the kernel's memory.
 */
export function hardest(batch: SsdBatch, count: number): SsdBatch {
  const losses = ssdAnchorLosses(batch);
  const order = Array.from(batch.classLosses, (loss, i) => ({ i, loss: loss + (losses[i] ?? NaN) }))
    .sort((a, b) => b.loss - a.loss)
    .map(({ i }) => i);
  const hard = order.slice(0, count).filter((i) => batch.matched[i]);
  const matched = uint8(losses.length);
  for (const i of hard) matched[i] = 1;
  return { ...batch, matched, matches: hard.length };
}

/** The same by definition. */
export function ssdDefinition(batch: SsdBatch, alpha = 1): Answer & { anchorLosses: Float64Array } {
  const { anchors, matched } = batch;
  const gradient = new Float64Array(4 * anchors.length);
  const anchorLosses = new Float64Array(anchors.length);
  for (const [i, { target, prediction }] of anchors.entries()) {
    if (!matched[i]) continue;
    const answers = residuals(prediction, target).map((d) => smoothL1(d, 1));
    anchorLosses[i] = answers.reduce((sum, { value }) => sum + value, 0);
    gradient.set(
      answers.map(({ slope }) => slope),
      4 * i,
    );
  }
  const matches = matched.reduce((count, isMatched) => count + isMatched, 0);
  const factor = alpha / Math.max(1, matches);
  const loss = factor * anchorLosses.reduce((sum, loss) => sum + loss, 0);
  return { loss, gradient: gradient.map((slope) => factor * slope), anchorLosses };
}

// ---- a batch ----------------------------------------------------------------------------------

export function ssdBatch(picture: Picture, random: Random): SsdBatch {
  const found = matchBoxes(anchorsOf(picture), picture.objects);
  const matched = uint8(found.map(({ isBest, overlap }) => Number(isBest || overlap > 0.5)));
  const anchors = found.map(({ box, object }): Anchor => {
    const target = offsets(box, object, SPREAD);
    return { target, prediction: guess(target, 0.7, random) };
  });
  return {
    anchors,
    predictions: float32(anchors.flatMap(({ prediction }) => [...prediction])),
    targets: float32(anchors.flatMap(({ target }) => [...target])),
    matched,
    matches: matched.reduce((count, isMatched) => count + isMatched, 0),
    classLosses: Float32Array.from(anchors, () => -Math.log(1 - random())),
  };
}

/** The 8,732 anchors of SSD300, over six grids. */
function anchorsOf(picture: Picture): Box[] {
  const some = [1, 2, 1 / 2];
  const more = [...some, 3, 1 / 3];
  const grids = [
    { stride: 8, size: 30, next: 60, ratios: some },
    { stride: 16, size: 60, next: 111, ratios: more },
    { stride: 32, size: 111, next: 162, ratios: more },
    { stride: 64, size: 162, next: 213, ratios: more },
    { stride: 100, size: 213, next: 264, ratios: some },
    { stride: 300, size: 264, next: 315, ratios: some },
  ];
  return grids.flatMap(({ stride, size, next, ratios }) => {
    const between = shapesOf([Math.sqrt(size * next)], [1]);
    return anchorsOn(picture, stride, [...shapesOf([size], ratios), ...between]);
  });
}
