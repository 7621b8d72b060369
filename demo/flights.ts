// A real job for a robust loss: how does the delay of a flight depend on the time of day, the
// distance and the weekend? Three million flights, some of them hours late, a few plainly wrong.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Presets, SingleBar } from 'cli-progress';
import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { backend, float32, free } from 'smooth-l1';
import { draw, type Scene, sketch } from './picture.ts';
import { ROUNDS, race } from './race.ts';
import {
  checkGradient,
  EPOCHS,
  type Fit,
  type Flights,
  fitRobust,
  type Line,
  leastSquares,
  mapLine,
  predict,
  type Scratch,
} from './regression.ts';

const DATA = fileURLToPath(
  new URL('../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url),
);
const PICTURE = fileURLToPath(new URL('out/flights.svg', import.meta.url));

// Minutes. The day begins at four: who leaves at one in the morning belongs to the evening before.
const DAY = 24 * 60;
const DAWN = 4 * 60;

// ---- the data ---------------------------------------------------------------------------------

async function openData() {
  if (!existsSync(DATA)) {
    throw new Error(`The flights are not at ${DATA}: run 'npm install', which brings them.`);
  }
  const file = await asyncBufferFromFile(DATA);
  return { file, metadata: await parquetMetadataAsync(file) };
}

/** Decodes the columns, a row group at a time, straight into the kernel's memory. */
async function read({ file, metadata }: Awaited<ReturnType<typeof openData>>, flights: Flights) {
  const store: Record<string, (row: number, value: number) => void> = {
    date(row, minutes) {
      const sinceDawn = minutes - DAWN;
      flights.hour[row] = ((sinceDawn % DAY) + DAWN) / 60;
      const weekday = Math.floor(sinceDawn / DAY) % 7; // 0 is a Thursday, as 1 January 1970 was
      flights.weekend[row] = weekday === 2 || weekday === 3 ? 1 : 0;
    },
    delay(row, minutes) {
      flights.delay[row] = minutes;
    },
    distance(row, miles) {
      flights.distance[row] = miles;
    },
  };
  const columns = Object.keys(store);
  const bar = progress('Reading', flights.delay.length * columns.length, 'values');
  await parquetRead({
    file,
    metadata,
    compressors,
    columns,
    parsers: { timestampFromMicroseconds: (micros) => Number(micros) / 60e6 }, // not Date objects
    onChunk({ columnName, columnData, rowStart }) {
      const put = store[columnName]!;
      for (let i = 0; i < columnData.length; i++) {
        put(rowStart + i, Number(columnData[i] ?? NaN)); // a missing value must not become 0
      }
      bar.increment(columnData.length);
    },
  });
  bar.stop();
}

/** The mean and the standard deviation that a column had before it was standardised. */
interface Scale {
  readonly mean: number;
  readonly sd: number;
}
type Scales = Record<'hour' | 'distance' | 'weekend', Scale>;

function standardise(column: Float32Array): Scale {
  let [sum, squares] = [0, 0];
  for (const x of column) {
    sum += x;
    squares += x * x;
  }
  const mean = sum / column.length;
  const sd = Math.sqrt(squares / column.length - mean * mean);
  for (let i = 0; i < column.length; i++) column[i] = (column[i]! - mean) / sd;
  return { mean, sd };
}

/** The numbers of a box plot. Far out, three boxes away from the box, are the outliers. */
function boxPlot(delay: Float32Array) {
  const sorted = Float32Array.from(delay).sort();
  const at = (part: number) => sorted[Math.floor(part * (sorted.length - 1))]!;
  const [low, high] = [at(0.25), at(0.75)];
  const box = high - low;
  const [from, to] = [low - 3 * box, high + 3 * box];
  const isUsual = (minutes: number) => minutes >= from && minutes <= to;
  const outliers = sorted.reduce((sum, minutes) => sum + (isUsual(minutes) ? 0 : 1), 0);
  return { low, high, box, from, to, first: at(0), last: at(1), isUsual, outliers };
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

// ---- the report -------------------------------------------------------------------------------

const count = (n: number) => n.toLocaleString('en');
const percent = (part: number) => `${(100 * part).toFixed(1)} %`;
const title = (text: string) => console.log(`\n${text}\n`);

/** A line of a table: a wide cell, then narrow ones flush right. */
function row(first: string, ...cells: string[]): void {
  console.log(`  ${first.padEnd(29)}${cells.map((cell) => cell.padStart(17)).join('')}`);
}

function progress(name: string, total: number, unit: string): SingleBar {
  const bar = new SingleBar(
    {
      format: `${name} {bar} {percentage} % | {value} of {total} ${unit}`,
      formatValue: count,
      stream: process.stdout,
      noTTYOutput: true, // a log shows the bar too, twice
    },
    Presets.shades_classic,
  );
  bar.start(total, 0);
  return bar;
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
  row('epoch', 'mean loss', 'longest step');
  for (const epoch of [1, 2, 3, 4, 5, 6, 8, 10, 15, EPOCHS]) {
    row(
      String(epoch).padStart(5),
      `${losses[epoch - 1]!.toFixed(6)} min`,
      `${steps[epoch - 1]!.toExponential(1)} min`,
    );
  }
  const each = (milliseconds / EPOCHS).toFixed(0);
  console.log(`  An epoch took ${each} ms: predictions, loss and gradient, and the chain rule.`);
}

function showLines(scales: Scales, ...columns: [name: string, line: Line][]): void {
  const units = [
    ['average flight (min)', 1],
    ['each hour later (min)', scales.hour.sd],
    ['each 1,000 miles more (min)', scales.distance.sd / 1000],
    ['at the weekend (min)', scales.weekend.sd],
  ] as const;
  row('', ...columns.map(([name]) => name));
  for (const [j, [name, unit]] of units.entries()) {
    row(name, ...columns.map(([, line]) => (line[j]! / unit).toFixed(2)));
  }
}

function showGradientCheck(line: Line, flights: Flights, beta: number, scratch: Scratch): void {
  const { analytic, numeric, relativeErrors } = checkGradient(line, flights, beta, scratch);
  row('d loss / d coefficient', 'by the kernel', 'by differences', 'relative error');
  for (const [j, name] of ['average', 'hour', 'distance', 'weekend'].entries()) {
    const pair = [analytic, numeric].map((gradient) => gradient[j]!.toFixed(9));
    row(name, ...pair, relativeErrors[j]!.toExponential(1));
  }
  const worst = Math.max(...relativeErrors);
  if (!(worst < 1e-5)) throw new Error(`The gradient is wrong: its relative error is ${worst}.`);
}

/** `bytes` an element: two floats read and one written; in DRAM a store first reads its line. */
function showRace(flights: Flights, beta: number, scratch: Scratch, n: number, bytes: number) {
  const first = (column: Float32Array) => column.subarray(0, n);
  const job = [
    first(scratch.prediction),
    first(flights.delay),
    first(scratch.gradient),
    beta,
  ] as const;
  const passes = Math.round(flights.delay.length / n);
  row(`${count(n)} rows, ${(12e-6 * n).toFixed(1)} MB`, 'times as long', 'a pass', 'bandwidth');
  for (const { name, ratio, milliseconds } of race(job, passes)) {
    row(
      `  ${name}`,
      ratio.toFixed(1),
      `${(1000 * milliseconds).toFixed(1)} us`,
      `${((bytes * n) / milliseconds / 1e6).toFixed(1)} GB/s`,
    );
  }
}

function analyse(flights: Flights, scratch: Scratch): Scene {
  const scales: Scales = {
    hour: standardise(flights.hour),
    distance: standardise(flights.distance),
    weekend: standardise(flights.weekend),
  };
  const n = flights.delay.length;
  const delays = boxPlot(flights.delay);
  showDelays(delays, n);

  // Huber's choice is 1.345 sigma, and a normal distribution's interquartile range is 1.349 sigma.
  const beta = delays.box;
  title(`1. The fit: gradient descent on smooth L1, beta = ${beta} min, the interquartile range`);
  const bar = progress('Fitting', EPOCHS, 'epochs');
  const start = performance.now();
  const fit = fitRobust(flights, beta, scratch, (epoch) => bar.update(epoch));
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

  title('3. The gradient, half way to the fit, beside central differences in double precision');
  const halfWay = mapLine(robust, (value) => value / 2);
  showGradientCheck(halfWay, flights, beta, scratch);

  title(
    '4. The time of one pass of loss and gradient, by one thread, over the residuals of the fit',
  );
  predict(robust, flights, scratch.prediction);
  showRace(flights, beta, scratch, n, 16);
  showRace(flights, beta, scratch, 32768, 12);
  console.log(`
  Medians of ${ROUNDS} rounds; in every round all three take turns on the same arrays, and each was
  checked before. An element is 12 bytes: two floats are read and one is written. The first block
  does not fit an L2 cache, and there a store first reads its cache line: 16 bytes.`);

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
  console.log(`smooth-l1, backend ${backend}`);
  const data = await openData();
  const n = Number(data.metadata.num_rows);
  const flights = {
    delay: float32(n),
    hour: float32(n),
    distance: float32(n),
    weekend: float32(n),
  };
  const scratch = { prediction: float32(n), gradient: float32(n) };
  try {
    await read(data, flights);
    const scene = analyse(flights, scratch);
    title('6. The picture');
    console.log(sketch(scene));
    console.log(`
  Across: minutes late. Down: the hour of departure. Shaded: the middle half of the flights.
  ● median   S smooth L1   o least squares without outliers   L least squares of all flights`);
    mkdirSync(dirname(PICTURE), { recursive: true });
    writeFileSync(PICTURE, draw(scene));
    console.log(`\nThe picture is in ${relative('', PICTURE)}: open it in a browser.`);
  } finally {
    for (const column of Object.values({ ...flights, ...scratch })) free(column);
  }
}

await main().catch((error: unknown) => {
  console.error(`\nThe demo failed. ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
});
