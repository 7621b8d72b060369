// A real job for a robust loss: how does the delay of a flight depend on the time of day, the
// distance and the weekend? Three million flights, some of them hours late, a few plainly wrong.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { markdownTable } from 'markdown-table';
import { backend, float32, free } from 'smooth-l1';
import { raceRight } from '../bench/check.ts';
import { branchFree, naive, object } from '../bench/javascript.ts';
import { boxPlot, DAY, type Flights, readFlights, type Scales, standardise } from './data.ts';
import { draw, type Scene, sketch } from './picture.ts';
import { type Progress, progress } from './progress.ts';
import {
  checkGradient,
  EPOCHS,
  type Fit,
  fitRobust,
  type Line,
  leastSquares,
  mapLine,
  predict,
  type Scratch,
} from './regression.ts';

const PICTURE = fileURLToPath(new URL('out/flights.svg', import.meta.url));
const ROUNDS = 15;

const count = (n: number) => n.toLocaleString('en');
const percent = (part: number) => `${(100 * part).toFixed(1)} %`;
const title = (text: string) => console.log(`\n## ${text}\n`);

/** A table whose first column is flush left, and the others right. */
function show(...rows: (readonly string[])[]): void {
  const align = rows[0]!.map((_, column) => (column === 0 ? 'l' : 'r'));
  console.log(markdownTable(rows, { align }));
}

/** Puts every twelfth evening flight off by some minutes; returns how many that were. */
function putOff({ delay, hour }: Flights, scales: Scales, minutes: number): number {
  const evening = (20 - scales.hour.mean) / scales.hour.sd;
  let seen = 0;
  for (let i = 0; i < delay.length; i++) {
    if (hour[i]! > evening && seen++ % 12 === 0) delay[i]! += minutes;
  }
  return Math.ceil(seen / 12);
}

function showDelays(delays: ReturnType<typeof boxPlot>, n: number): void {
  const { low, high, first, last, from, to, outliers } = delays;
  console.log(`
${count(n)} flights in the USA, January to June 2001: minutes late on arrival.
Half of them lie between ${low} and ${high}, the extremes are ${count(first)} and ${count(last)}.
Outliers are those below ${from} and above ${to}, three interquartile ranges from that half:
${count(outliers)} flights, ${percent(outliers / n)}. The robust fit is not told which.`);
}

function showFit({ losses, steps }: Fit, milliseconds: number): void {
  show(
    ['epoch', 'mean loss (min)', 'largest change of a coefficient (min)'],
    ...[1, 2, 3, 4, 5, 6, 8, 10, 15, EPOCHS].map((epoch) => [
      String(epoch),
      losses[epoch - 1]!.toFixed(6),
      steps[epoch - 1]!.toExponential(1),
    ]),
  );
  const each = (milliseconds / EPOCHS).toFixed(0);
  console.log(`
The fit has converged: the last epoch changed no coefficient by more than a millionth of a minute.
An epoch took ${each} ms: predictions, loss and gradient, and the chain rule.`);
}

function showLines(scales: Scales, ...columns: [name: string, line: Line][]): void {
  const units = [
    ['average flight (min)', 1],
    ['each hour later (min)', scales.hour.sd],
    ['each 1,000 miles more (min)', scales.distance.sd / 1000],
    ['at the weekend (min)', scales.weekend.sd],
  ] as const;
  show(
    ['', ...columns.map(([name]) => name)],
    ...units.map(([name, unit], j) => [
      name,
      ...columns.map(([, line]) => (line[j]! / unit).toFixed(2)),
    ]),
  );
}

function showGradientCheck(line: Line, flights: Flights, beta: number, scratch: Scratch): void {
  const { analytic, numeric, relativeErrors } = checkGradient(line, flights, beta, scratch);
  show(
    ['d loss / d coefficient', 'by the kernel', 'by differences', 'relative error'],
    ...['average', 'hour', 'distance', 'weekend'].map((name, j) => [
      name,
      ...[analytic, numeric].map((gradient) => gradient[j]!.toFixed(9)),
      relativeErrors[j]!.toExponential(1),
    ]),
  );
  const worst = Math.max(...relativeErrors);
  if (!(worst < 1e-5)) throw new Error(`The gradient is wrong: its relative error is ${worst}.`);
  console.log(
    `\nThe gradient is right: at most ${worst.toExponential(0)} off, and f32 has 6e-8 to offer.`,
  );
}

/** `bytes` an element: two floats read and one written; in DRAM a store first reads its line. */
async function showRace(
  flights: Flights,
  beta: number,
  { prediction }: Scratch,
  n: number,
  bytes: number,
): Promise<number> {
  const pool = { input: prediction, target: flights.delay, beta };
  const contenders = [object, branchFree, naive];
  const samples = await raceRight(
    { operation: 'fused', n, windows: 1, threads: 1, pool },
    contenders,
    { rounds: ROUNDS, batch: 2, warmUp: 50 },
  );
  show(
    [`${count(n)} rows, ${(12e-6 * n).toFixed(1)} MB`, 'times as long', 'a pass', 'bandwidth'],
    ...samples.map(({ ns, ratio }, j) => [
      j === 0 ? `smooth-l1 (${backend})` : contenders[j]!.name,
      ratio.toFixed(1),
      `${(ns / 1000).toFixed(1)} us`,
      `${((bytes * n) / ns).toFixed(1)} GB/s`,
    ]),
  );
  console.log();
  return samples[1]!.ratio;
}

async function analyse(flights: Flights, scratch: Scratch): Promise<Scene> {
  const scales = standardise(flights);
  const n = flights.delay.length;
  const delays = boxPlot(flights.delay);
  showDelays(delays, n);

  // Huber's choice is 1.345 sigma, and a normal distribution's interquartile range is 1.349 sigma.
  const beta = delays.box;
  title(`1. The fit: gradient descent on smooth L1, beta = ${beta} min, the interquartile range`);
  const bar = progress('Fitting', EPOCHS);
  const start = performance.now();
  const fit = fitRobust(flights, beta, scratch, () => bar.step(1));
  const milliseconds = performance.now() - start;
  bar.stop();
  showFit(fit, milliseconds);
  const robust = fit.line;

  title('2. The coefficients, beside least squares without the outliers and of all flights');
  const trimmed = leastSquares(flights, delays.isUsual);
  const squares = leastSquares(flights, () => true);
  showLines(
    scales,
    ['smooth L1', robust],
    ['without outliers', trimmed],
    ['of all flights', squares],
  );
  const perHour = (line: Line) => (line[1] / scales.hour.sd).toFixed(2);
  console.log(`
Smooth L1 over all flights finds what least squares finds once the outliers are gone: ${perHour(robust)} and
${perHour(trimmed)} minutes more an hour. With the outliers, least squares says ${perHour(squares)}.`);

  title('3. The gradient, half way to the fit, beside central differences in double precision');
  const halfWay = mapLine(robust, (coefficient) => coefficient / 2);
  showGradientCheck(halfWay, flights, beta, scratch);

  title(
    '4. The time of one pass of loss and gradient, by one thread, over the residuals of the fit',
  );
  predict(robust, flights, scratch.prediction);
  const inMemory = await showRace(flights, beta, scratch, n, 16);
  const inCache = await showRace(flights, beta, scratch, 32768, 12);
  console.log(`Medians of ${ROUNDS} rounds; in every round all three take turns. Each was checked before. An element is
12 bytes: two floats are read and one is written. The first table does not fit an L2 cache, and there
a store first reads its cache line: 16 bytes. The best JavaScript loop takes ${inMemory.toFixed(1)} times as long as
smooth-l1 from memory, and ${inCache.toFixed(1)} times from the cache.`);

  const evening = putOff(flights, scales, DAY);
  title(
    `5. And with ${count(evening)} evening flights (${percent(evening / n)}) recorded a day late`,
  );
  const corrupted = {
    flights: evening,
    robust: fitRobust(flights, beta, scratch).line,
    leastSquares: leastSquares(flights, () => true),
  };
  putOff(flights, scales, -DAY);
  showLines(
    scales,
    ['smooth L1', robust],
    ['... after', corrupted.robust],
    ['least squares', squares],
    ['... after', corrupted.leastSquares],
  );
  console.log(`
Such errors move the slope of least squares from ${perHour(squares)} to ${perHour(corrupted.leastSquares)} minutes an hour, that of smooth L1
from ${perHour(robust)} to ${perHour(corrupted.robust)}.`);

  return {
    flights,
    hourOf: (z) => scales.hour.mean + scales.hour.sd * z,
    delayAt: ([level, slope], hour) => level + (slope * (hour - scales.hour.mean)) / scales.hour.sd,
    robust,
    leastSquares: squares,
    withoutOutliers: trimmed,
    corrupted,
    losses: fit.losses,
  };
}

async function main(): Promise<void> {
  console.log(`smooth-l1, backend ${backend}

Smooth L1 is half the squared error, divided by beta, where the error is below beta, and the plain
error less beta / 2 beyond: small errors count as in least squares, and an outlier pulls with a
constant force, however far out it is.`);
  let bar: Progress | undefined;
  const flights = await readFlights((values, total) => {
    bar ??= progress('Reading', total);
    bar.step(values);
  });
  bar?.stop();
  const n = flights.delay.length;
  const scratch = { prediction: float32(n), gradient: float32(n) };
  const scene = await analyse(flights, scratch);
  title('6. The picture');
  console.log(sketch(scene));
  console.log(`
  Across: minutes late. Down: the hour of departure. Shaded: the middle half of the flights.
  ● median   S smooth L1   o least squares without outliers   L least squares of all flights`);
  mkdirSync(dirname(PICTURE), { recursive: true });
  writeFileSync(PICTURE, draw(scene));
  console.log(`\nThe picture is in ${relative('', PICTURE)}: open it in a browser.`);
  for (const column of Object.values({ ...flights, ...scratch })) free(column);
}

await main().catch((error: unknown) => {
  console.error(`\nThe demo failed. ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
});
