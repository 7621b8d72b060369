// The charts of a run; the same results give the same files.

import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as Plot from '@observablehq/plot';
import { extent, group, pairs } from 'd3-array';
import { axis, COLOURS, drawing, panel, text } from '../demo/drawing.ts';
import { OURS, type Results, short } from './results.ts';

const OUT = fileURLToPath(new URL('../docs/images/', import.meta.url));

/** What is drawn, by the beginning of a contender's name: each in a colour of its own. */
const LINES: readonly { starts: string; label?: string; stroke: string; isDashed?: boolean }[] = [
  { starts: 'smooth-l1, staged', stroke: COLOURS.teal },
  { starts: OURS, stroke: COLOURS.blue },
  { starts: 'branch-free', stroke: COLOURS.amber },
  { starts: 'naive', stroke: COLOURS.red },
  { starts: 'native, the kernel', stroke: COLOURS.brown, label: 'native, the same loop, 128 bits' },
  { starts: 'limit: WebAssembly', stroke: COLOURS.grey, label: 'only the bytes', isDashed: true },
  { starts: 'PyTorch', stroke: COLOURS.green },
  { starts: 'TF.js', stroke: COLOURS.pink },
  { starts: 'onnxruntime-node', stroke: COLOURS.violet },
  { starts: 'onnxruntime-web', stroke: COLOURS.olive },
];
const lookOf = (name: string) => LINES.find(({ starts }) => name.startsWith(starts))!;

/** Variants of a contender would be a second line of its colour. */
const isDrawn = (name: string) =>
  !/PyTorch [^ ]+$|TF.js .*cpu/.test(name) && lookOf(name) !== undefined;

type Point = readonly [elements: number, value: number];

const WIDTH = 1000;
const MARGINS = { marginTop: 24, marginBottom: 40, marginRight: 220 };
const LABEL = 14; // pixels from one label to the next

/** A chart of lines over the number of elements, with their names at the right. */
function lineChart<R extends { readonly contender: string; readonly n: number }>(
  top: number,
  height: number,
  rows: readonly R[],
  label: string,
  measureOf: (row: R) => number,
  more: { domain?: [number, number]; marks?: Plot.Markish[]; tickFormat?: string } = {},
): string {
  const drawn = rows.filter(({ contender }) => isDrawn(contender));
  const lines = [...group(drawn, ({ contender }) => contender)].map(([name, own]) => ({
    name,
    points: own.map((row): Point => [Math.log2(row.n), measureOf(row)]),
  }));
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value));
  const [least, most] = extent(values) as [number, number];
  const domain = more.domain ?? [least / 1.2, most * 1.2];
  const exponents = [...new Set(drawn.map(({ n }) => Math.log2(n)))];
  return panel(16, top, {
    width: WIDTH,
    height,
    ...MARGINS,
    // By their logarithm: of a scale of type "log", Plot leaves out labels as it likes.
    x: axis('elements →', {
      labelAnchor: 'center',
      ticks: exponents,
      tickFormat: (exponent: number) => short(2 ** exponent),
      domain: extent(exponents) as [number, number],
    }),
    y: axis(label, {
      type: 'log',
      grid: true,
      domain,
      ticks: decades(domain),
      tickFormat: more.tickFormat ?? '~g',
    }),
    marks: [
      ...(more.marks ?? []),
      ...lines.map(({ name, points }, j) => {
        const {
          stroke,
          isDashed = lines.slice(0, j).some((other) => covers(points, other.points)),
        } = lookOf(name);
        return Plot.line(points, {
          stroke,
          strokeWidth: name === OURS ? 3 : 1.75,
          ...(isDashed && { strokeDasharray: '6 6' }),
          marker: 'dot',
        });
      }),
      ...labels(lines, domain, height - MARGINS.marginTop - MARGINS.marginBottom),
    ],
  });
}

/** Whether a line lies on another, which then has to show through. */
const covers = (points: readonly Point[], others: readonly Point[]) =>
  points.every(([, value], i) => Math.abs(Math.log(value / others[i]![1])) < 0.02);

/** Every power of ten of a domain, or every second one. */
function decades([low, high]: readonly [number, number]): number[] {
  const first = Math.ceil(Math.log10(low));
  const last = Math.floor(Math.log10(high));
  const all = Array.from({ length: last - first + 1 }, (_, k) => 10 ** (first + k));
  return all.length > 9 ? all.filter((_, k) => k % 2 === 0) : all;
}

/** The names of lines, beside their ends: moved apart where they would cover each other. */
function labels(
  lines: readonly { name: string; points: readonly Point[] }[],
  [low, high]: readonly [number, number],
  height: number,
): Plot.Markish[] {
  const perOctave = height / Math.log2(high / low);
  const ends = lines.map(({ name, points }) => {
    const [x, y] = points.at(-1)!;
    return { name, x, y, at: Math.log2(y / low) * perOctave };
  });
  const right = Math.max(...ends.map(({ x }) => x));
  const lowest = LABEL / 2;
  ends.sort((a, b) => a.at - b.at);
  for (let pass = 0; pass < 100; pass++) {
    for (const [below, above] of pairs(ends)) {
      const tooNear = (below.at + LABEL - above.at) / 2;
      if (tooNear <= 0) continue;
      below.at -= tooNear;
      above.at += tooNear;
    }
    for (const end of ends) end.at = Math.min(Math.max(end.at, lowest), height - lowest);
  }
  return ends.flatMap(({ name, x, y, at }) => {
    const { stroke, label } = lookOf(name);
    const place = low * 2 ** (at / perOctave);
    const gap = (right - 4) / 60;
    return [
      Plot.line(
        [
          [x, y],
          [right + gap, place],
        ],
        { stroke, strokeWidth: 0.75 },
      ),
      Plot.text([[right + gap, place]], {
        text: () => label ?? name.replace(', memory kept', ''),
        fill: stroke,
        textAnchor: 'start',
        fontWeight: name === OURS ? 700 : 400,
        dx: 3,
      }),
    ];
  });
}

function place({ machine: { cpu, engine, date } }: Results): string {
  return `${cpu}, ${engine}, ${date}`;
}

/** Nanoseconds an element by length: forward, and fused. */
function speedChart(results: Results): string {
  const one = (operation: 'forward' | 'fused', top: number) =>
    lineChart(
      top,
      470,
      results.speed.filter((row) => row.data === 'random' && row.operation === operation),
      `↑ ${operation}: nanoseconds an element`,
      ({ ns, n }) => ns / n,
    );
  const title = 'Smooth L1: the time an element takes, by the length of the arrays';
  return drawing([WIDTH + 32, 1060], title, [
    text(24, 36, 20, title, 600),
    text(24, 58, 13, `one thread, random residuals; less is better; ${place(results)}`),
    one('forward', 76),
    one('fused', 566),
  ]);
}

/** Forward over 16 to 256M elements. */
function sizeChart(results: Results): string {
  const { sizes, machine } = results;
  const [first, last] = [sizes[0]!.n, sizes.at(-1)!.n];
  const edges = Object.entries(machine.caches)
    .map(([level, bytes]) => ({ n: Math.log2(bytes / 8), level: `${level} full` }))
    .filter(({ n }) => n < Math.log2(last));
  const stroke = COLOURS.grey;
  const marks = [
    Plot.ruleX(edges, { x: 'n', stroke, strokeDasharray: '2 4' }),
    Plot.text(edges, {
      x: 'n',
      text: 'level',
      frameAnchor: 'top',
      textAnchor: 'start',
      dx: 4,
      fill: stroke,
    }),
  ];
  const title = `From cache to memory: mean loss over ${short(first)} to ${short(last)} elements`;
  const words = 'forward, one thread, random residuals, the same arrays for all';
  return drawing([WIDTH + 32, 470], title, [
    text(24, 36, 20, title, 600),
    text(24, 58, 13, `${words}; ${place(results)}`),
    lineChart(76, 380, sizes, '↑ nanoseconds an element', ({ ns, n }) => ns / n, { marks }),
  ]);
}

function accuracyChart(results: Results): string {
  const LEAST = 1e-17;
  const rows = results.accuracy.filter(({ contender }) => !/staged|native/.test(contender));
  const title = 'How far the mean is from the exact one';
  return drawing([WIDTH + 32, 520], title, [
    text(24, 36, 20, title, 600),
    text(24, 58, 13, `relative error, uniform random residuals (1e-17: none); ${place(results)}`),
    lineChart(
      76,
      430,
      rows,
      '↑ relative error',
      ({ relativeError }) => Math.max(relativeError, LEAST),
      { domain: [LEAST, 1e-1], tickFormat: '.0e' },
    ),
  ]);
}

/** Bars: plain JavaScript's time as a multiple of ours, in each engine. */
function engineChart(results: Results): string {
  const n = 2 ** 20;
  const bars = results.engines
    .filter((row) => row.n === n && row.contender !== OURS)
    .map(({ engine, ...row }) => ({ ...row, engine: engine.split('.')[0]! }));
  const engines = [...new Set(bars.map(({ engine }) => engine))];
  const one = (operation: 'forward' | 'fused', left: number) => {
    const own = bars.filter((bar) => bar.operation === operation);
    const places = { x: 'ratio', fy: 'engine', y: 'contender' };
    return panel(left, 76, {
      width: 490,
      height: 390,
      marginLeft: 110,
      marginRight: 40,
      x: axis(`${operation} →`, { grid: true, labelAnchor: 'right' }),
      y: { label: null },
      fy: { label: null, axis: null, padding: 0.2, domain: engines },
      marks: [
        Plot.barX(own, {
          ...places,
          fill: (bar: { contender: string }) => lookOf(bar.contender).stroke,
        }),
        Plot.text(own, {
          ...places,
          text: (bar: { ratio: number }) => bar.ratio.toFixed(1),
          textAnchor: 'start',
          dx: 4,
        }),
        Plot.text(engines, {
          fy: (engine: string) => engine,
          text: (engine: string) => engine,
          frameAnchor: 'left',
          textAnchor: 'end',
          dx: -6,
        }),
        Plot.axisY({ ticks: [] }),
      ],
    });
  };
  const title = 'Plain JavaScript in each engine: times as long as smooth-l1';
  const words = `amber: branch-free, red: naive; ${short(n)} elements`;
  return drawing([WIDTH + 32, 480], title, [
    text(24, 36, 20, title, 600),
    text(24, 58, 13, `${words}; ${place(results)}`),
    one('forward', 16),
    one('fused', 526),
  ]);
}

/** Writes the charts that a run has the numbers for; returns their files. */
export function writeCharts(results: Results): string[] {
  const charts = {
    speed: speedChart,
    sizes: sizeChart,
    accuracy: accuracyChart,
    engines: engineChart,
  } as const;
  mkdirSync(OUT, { recursive: true });
  return Object.entries(charts).flatMap(([name, draw]) => {
    if (results[name as keyof typeof charts].length === 0) return [];
    const file = `${OUT}bench-${name}.svg`;
    writeFileSync(file, draw(results));
    return [file];
  });
}
