// What the fit looks like: a drawing for a browser and a sketch for the terminal.

import * as Plot from '@observablehq/plot';
import { mean, median, quantile } from 'd3-array';
import type { Flights } from './data.ts';
import { axis, COLOURS, drawing, panel, text } from './drawing.ts';
import type { Line } from './regression.ts';

export interface Scene {
  readonly flights: Flights;
  /** From the standardised column back to the hour of the day. */
  readonly hourOf: (standardised: number) => number;
  /** The delay, in minutes, that a line predicts for an average flight leaving at an hour. */
  readonly delayAt: (line: Line, hour: number) => number;
  readonly robust: Line;
  readonly leastSquares: Line;
  readonly withoutOutliers: Line;
  /** Two of the lines again, fitted after some evening flights were put off by a day. */
  readonly corrupted: {
    readonly flights: number;
    readonly robust: Line;
    readonly leastSquares: Line;
  };
  /** The mean loss at the start of each epoch. */
  readonly losses: readonly number[];
}

const { blue: BLUE, red: RED, green: GREEN, violet: VIOLET } = COLOURS;

// The part of the plane that is drawn: hours after midnight, and minutes late.
const [FIRST_HOUR, LAST_HOUR] = [5, 24];
const [EARLIEST, LATEST] = [-30, 60];
const CELL = 2;

/** Departures between an hour and `width` hours later. */
interface Slot {
  readonly hour: number;
  readonly width: number;
  readonly delays: readonly number[];
}

function slots({ flights, hourOf }: Scene, width: number): Slot[] {
  const lists = Array.from({ length: (LAST_HOUR - FIRST_HOUR) / width }, (): number[] => []);
  for (let i = 0; i < flights.delay.length; i++) {
    // Half a minute more, because a standardised hour has been rounded.
    const hours = hourOf(flights.hour[i]!) - FIRST_HOUR + 1 / 120;
    lists[Math.floor(hours / width)]?.push(flights.delay[i]!);
  }
  return lists.map((delays, k) => ({ hour: FIRST_HOUR + k * width, width, delays }));
}

const middle = ({ hour, width }: Slot) => hour + width / 2;
const medianOf = ({ delays }: Slot) => median(delays)!;
const meanOf = ({ delays }: Slot) => mean(delays)!;

/** The share of a slot's flights in each cell of two minutes. */
function cells({ hour, width, delays }: Slot) {
  const counts = new Array<number>((LATEST - EARLIEST) / CELL).fill(0);
  for (const delay of delays) {
    const cell = Math.floor((delay - EARLIEST) / CELL);
    if (cell in counts) counts[cell]!++;
  }
  return counts.map((flights, k) => ({
    x1: hour,
    x2: hour + width,
    y1: EARLIEST + CELL * k,
    y2: EARLIEST + CELL * (k + 1),
    share: flights / delays.length,
  }));
}

const HOURS = axis('time of departure (hour of the day) →', {
  domain: [FIRST_HOUR, LAST_HOUR],
  labelAnchor: 'right',
  ticks: [6, 9, 12, 15, 18, 21, 24],
  tickFormat: (hour: number) => `${hour}:00`,
});

function lineOf(scene: Scene, line: Line, stroke: string, options: Plot.LineOptions = {}) {
  const ends = [FIRST_HOUR, LAST_HOUR].map((hour) => [hour, scene.delayAt(line, hour)] as const);
  return Plot.line(ends, { stroke, strokeWidth: 3, ...options });
}

function words(x: number, y: number, fill: string, text: string) {
  const font = { fontWeight: 600, fontSize: 13, textAnchor: 'start' } as const;
  return Plot.text([[x, y]], { text: () => text, fill, ...font });
}

function flightsPanel(scene: Scene): string {
  const halfHours = slots(scene, 0.5);
  const slope = (line: Line) => {
    const perHour = scene.delayAt(line, 1) - scene.delayAt(line, 0);
    return `${perHour.toFixed(2)} min more per hour`;
  };
  return panel(16, 88, {
    width: 748,
    height: 556,
    x: HOURS,
    y: axis('↑ delay on arrival (minutes)', { domain: [EARLIEST, LATEST], grid: true }),
    opacity: { type: 'pow', exponent: 0.75, range: [0, 0.9] },
    marks: [
      Plot.rect(halfHours.flatMap(cells), {
        x1: 'x1',
        x2: 'x2',
        y1: 'y1',
        y2: 'y2',
        fill: VIOLET,
        fillOpacity: { value: 'share', scale: true },
        shapeRendering: 'crispEdges',
      }),
      lineOf(scene, scene.leastSquares, RED),
      lineOf(scene, scene.withoutOutliers, GREEN, { strokeDasharray: '7 5' }),
      lineOf(scene, scene.robust, BLUE),
      Plot.dot(halfHours, {
        x: middle,
        y: meanOf,
        stroke: RED,
        strokeWidth: 1.5,
        r: 3.5,
      }),
      Plot.dot(halfHours, { x: middle, y: medianOf, fill: BLUE, r: 3.5 }),
      words(5.5, 56, RED, `least squares, all flights: ${slope(scene.leastSquares)}`),
      words(
        5.5,
        53,
        GREEN,
        `least squares, without outliers (dashed): ${slope(scene.withoutOutliers)}`,
      ),
      words(5.5, 50, BLUE, `smooth L1, all flights: ${slope(scene.robust)}`),
      words(5.5, 46, RED, '○ mean of half an hour of departures'),
      words(5.5, 43, BLUE, '● median of half an hour of departures'),
    ],
  });
}

function lossPanel({ losses }: Scene): string {
  const last = losses.at(-1)!;
  // Below this the loss is as low as single precision can tell.
  const above = losses.map((loss) => loss - last).filter((excess) => excess > 1e-7);
  return panel(784, 114, {
    width: 400,
    height: 240,
    x: axis('epochs done →', { labelAnchor: 'right', ticks: above.length }),
    y: axis('↑ mean loss above its minimum (minutes)', {
      type: 'log',
      grid: true,
      ticks: [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6],
      tickFormat: '.0e',
    }),
    marks: [Plot.lineY(above, { stroke: BLUE, strokeWidth: 2, marker: 'dot' })],
  });
}

function corruptionPanel(scene: Scene): string {
  const { robust, leastSquares } = scene.corrupted;
  return panel(784, 404, {
    width: 400,
    height: 240,
    x: HOURS,
    y: axis('↑ predicted delay (minutes)', { grid: true }),
    marks: [
      lineOf(scene, scene.leastSquares, RED, { strokeOpacity: 0.4 }),
      lineOf(scene, leastSquares, RED),
      lineOf(scene, scene.robust, BLUE, { strokeOpacity: 0.4 }),
      lineOf(scene, robust, BLUE),
      words(9, 40, RED, 'least squares'),
      words(15, -8, BLUE, 'smooth L1'),
      words(5.5, 75, 'currentColor', 'faint: before'),
    ],
  });
}

const TITLE = 'A few very late flights bend least squares; smooth L1 follows the typical flight';
const SUBTITLE = 'flights in the USA, January to June 2001; violet: how late each half hour is';

/** The text of an SVG file. */
export function draw(scene: Scene): string {
  const flights = scene.flights.delay.length.toLocaleString('en');
  const corrupted = scene.corrupted.flights.toLocaleString('en');
  return drawing([1200, 664], TITLE, [
    text(24, 38, 21, TITLE, 600),
    text(24, 62, 13, `${flights} ${SUBTITLE}`),
    text(792, 102, 14, 'Gradient descent', 600),
    text(792, 392, 14, `${corrupted} evening flights recorded a day late`, 600),
    flightsPanel(scene),
    lossPanel(scene),
    corruptionPanel(scene),
  ]);
}

const [LEFT, RIGHT] = [-15, 35]; // minutes
const PER_MINUTE = 1.5; // characters

/** The same in characters: for each hour the middle half of the flights, and the three lines. */
export function sketch(scene: Scene): string {
  const rows = slots(scene, 1).map((slot) => {
    const [q1, q3] = [quantile(slot.delays, 0.25)!, quantile(slot.delays, 0.75)!];
    const at = (line: Line) => scene.delayAt(line, middle(slot));
    return textRow(`${slot.hour}:00`, (minutes) => (minutes >= q1 && minutes <= q3 ? '░' : ' '), [
      [0, '│'],
      [medianOf(slot), '●'],
      [at(scene.withoutOutliers), 'o'],
      [at(scene.leastSquares), 'L'],
      [at(scene.robust), 'S'],
    ]);
  });
  const ticks = [-10, 0, 10, 20, 30];
  const scale = textRow(
    '',
    () => ' ',
    ticks.map((tick) => [tick, String(tick)]),
  );
  return [...rows, scale].join('\n');
}

function textRow(
  name: string,
  background: (minutes: number) => string,
  marks: readonly (readonly [minutes: number, text: string])[],
): string {
  const width = PER_MINUTE * (RIGHT - LEFT);
  const characters = Array.from({ length: width }, (_, k) => background(LEFT + k / PER_MINUTE));
  for (const [minutes, text] of marks) {
    characters.splice(Math.round((minutes - LEFT) * PER_MINUTE), text.length, ...text);
  }
  return name.padStart(7) + characters.join('');
}
