// The box loss of the head of Fast R-CNN. For each region it predicts a box for every class; only
// that of the class which is really there counts.

import { float32, smoothL1LossWithGrad, uint8 } from 'smooth-l1';
import {
  type Box,
  CLASSES,
  guess,
  type Match,
  makePicture,
  matchBoxes,
  moved,
  type Offsets,
  offsets,
  type Picture,
  type Random,
  SPREAD,
  sample,
  type Thing,
} from './boxes.ts';
import { type Answer, residuals, smoothL1 } from './definition.ts';

const REGIONS = 128;
/** Four for each class, and for the background, which is class 0. */
const COLUMNS = 4 * (CLASSES + 1);

interface Region {
  readonly label: number;
  readonly target: Offsets;
  /** Of all classes. */
  readonly predictions: Float32Array;
}

export interface HeadBatch {
  readonly regions: readonly Region[];
  /** Rows of 4 (K + 1) numbers. */
  readonly predictions: Float32Array;
  readonly targets: Float32Array;
  /** 1 in the four columns of the region's class. */
  readonly mask: Uint8Array;
}

/** The loss; `gradient` receives that to the predictions. */
export function headLoss(batch: HeadBatch, gradient: Float32Array): number {
  const { predictions, targets, mask } = batch;
  return smoothL1LossWithGrad(predictions, targets, gradient, {
    mask,
    rowLength: COLUMNS,
    divisor: 'rows', // all regions, those of background as well
  });
}

/** The same by definition: of each region with an object four offsets, divided by all regions. */
export function headDefinition({ regions }: HeadBatch): Answer {
  const gradient = new Float64Array(regions.length * COLUMNS);
  let loss = 0;
  for (const [i, { label, target, predictions }] of regions.entries()) {
    if (label === 0) continue;
    const ofClass = predictions.subarray(4 * label, 4 * label + 4);
    for (const [c, d] of residuals(ofClass, target).entries()) {
      const { value, slope } = smoothL1(d, 1);
      loss += value / regions.length;
      gradient[i * COLUMNS + 4 * label + c] = slope / regions.length;
    }
  }
  return { loss, gradient };
}

// ---- a batch ----------------------------------------------------------------------------------

export function headBatch(picture: Picture, random: Random): HeadBatch {
  const regions = chooseRegions(picture, random);
  const predictions = float32(regions.flatMap((region) => [...region.predictions]));
  const targets = float32(regions.length * COLUMNS);
  const mask = uint8(regions.length * COLUMNS);
  for (const [i, { label, target }] of regions.entries()) {
    if (label === 0) continue;
    const column = i * COLUMNS + 4 * label;
    targets.set(target, column);
    mask.fill(1, column, column + 4);
  }
  return { regions, predictions, targets, mask };
}

/** 128 proposals, at most a quarter of them on objects. */
function chooseRegions(picture: Picture, random: Random): Region[] {
  const matches = matchBoxes(proposals(picture, random), picture.objects);
  const isOnObject = ({ overlap }: Match<Thing>) => overlap >= 0.5;
  const chosen = sample(random, matches.filter(isOnObject), REGIONS / 4);
  const others = matches.filter((match) => !isOnObject(match));
  const background = sample(random, others, REGIONS - chosen.length);
  return [
    ...chosen.map(({ box, object }) => makeRegion(box, object, random)),
    ...background.map(({ box }) => makeRegion(box, undefined, random)),
  ];
}

/** Boxes near the objects, and boxes anywhere. */
function proposals(picture: Picture, random: Random): Box[] {
  const near = picture.objects.flatMap((object) =>
    Array.from({ length: 40 }, () => moved(object, random)),
  );
  const anywhere = makePicture(random, picture.width, picture.height, 300).objects;
  return [...near, ...anywhere];
}

function makeRegion(box: Box, object: Thing | undefined, random: Random): Region {
  const label = object?.label ?? 0;
  const target = offsets(box, object, SPREAD);
  const predictions = guess(new Float32Array(COLUMNS), 1, random);
  predictions.set(guess(target, 0.7, random), 4 * label);
  return { label, target, predictions };
}
