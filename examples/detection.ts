// The box losses of three detectors on made-up pictures, each beside its definition in f64:
//
//   npm run detection [seed]
//
// No array is released here: the program ends soon.

import { float32 } from 'smooth-l1';
import { makePicture, randomFrom } from './boxes.ts';
import { compare, worst } from './comparison.ts';
import { headBatch, headDefinition, headLoss } from './head.ts';
import { rpnBatch, rpnDefinition, rpnLoss } from './rpn.ts';
import { hardest, ssdAnchorLosses, ssdBatch, ssdDefinition, ssdLoss } from './ssd.ts';

const seed = Number(process.argv[2] ?? 1);
const random = randomFrom(seed);
const SOURCE = 'definition';

function rpn(): void {
  const batch = rpnBatch(makePicture(random, 800, 600, 8), random);
  const gradient = float32(batch.predictions.length);
  const loss = rpnLoss(batch, gradient);
  const expected = rpnDefinition(batch);
  const objects = batch.anchors.filter(({ label }) => label === 1).length;
  compare(
    `Faster R-CNN, region proposals: ${batch.anchors.length} anchors as [${batch.shape.join(', ')}],\n` +
      `${objects} on objects, ${batch.examples - objects} on background, the others ignored`,
    SOURCE,
    [
      { name: 'loss', expected: expected.loss, ours: loss },
      worst('gradient', expected.gradient, gradient),
    ],
  );
}

function head(): void {
  const batch = headBatch(makePicture(random, 800, 600, 8), random);
  const gradient = float32(batch.predictions.length);
  const loss = headLoss(batch, gradient);
  const expected = headDefinition(batch);
  const objects = batch.regions.filter(({ label }) => label > 0).length;
  const [rows, columns] = [batch.regions.length, gradient.length / batch.regions.length];
  compare(
    `Fast R-CNN, head: ${rows} regions as [${rows}, ${columns}], ${objects} on objects`,
    SOURCE,
    [
      { name: 'loss', expected: expected.loss, ours: loss },
      worst('gradient', expected.gradient, gradient),
    ],
  );
}

function ssd(): void {
  const batch = ssdBatch(makePicture(random, 300, 300, 8), random);
  const gradient = float32(batch.predictions.length);
  const loss = ssdLoss(batch, gradient);
  const expected = ssdDefinition(batch);
  const rows = [
    { name: 'loss', expected: expected.loss, ours: loss },
    worst('gradient', expected.gradient, gradient),
    worst('loss of an anchor', expected.anchorLosses, ssdAnchorLosses(batch)),
  ];
  const hard = hardest(batch, 512);
  const ofHard = ssdLoss(hard, gradient);
  rows.push({
    name: `loss of the ${hard.matches} hard ones`,
    expected: ssdDefinition(hard).loss,
    ours: ofHard,
  });
  compare(`SSD: ${batch.anchors.length} anchors, ${batch.matches} matched`, SOURCE, rows);

  const empty = ssdBatch(makePicture(random, 300, 300, 0), random);
  compare('SSD, a picture without objects', SOURCE, [
    { name: 'loss', expected: 0, ours: ssdLoss(empty, gradient) },
    worst('gradient', new Float64Array(gradient.length), gradient),
  ]);
}

rpn();
head();
ssd();
