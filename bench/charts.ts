// The charts of a run, for README.md; the same results give the same files.
//
//   tsx bench/charts.ts bench/results/....json

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { type Results, short } from './results.ts';

const OUT = fileURLToPath(new URL('../docs/images/', import.meta.url));

// Middle tones, which can be read on white and on black.
const BLUE = '#3b82f6';
const RED = '#e5484d';
const GREEN = '#2f9e64';
const VIOLET = '#8b7fd6';
const AMBER = '#c98a1b';
const GREY = '#8a929b';
const PINK = '#d6589f';
const TEAL = '#1c9aa0';

/** The colour of a contender, the same in all charts. */
function colour(name: string): string {
  if (name === 'smooth-l1' || name.startsWith('smooth-l1, plain')) return BLUE;
  if (name.startsWith('smooth-l1')) return TEAL;
  if (name.startsWith('naive')) return RED;
  if (name.startsWith('branch-free')) return AMBER;
  if (name.startsWith('PyTorch')) return GREEN;
  if (name.startsWith('TF.js')) return PINK;
  if (name.startsWith('onnx')) return VIOLET;
  return GREY;
}

const { document } = parseHTML('<html></html>');

/** A plot as an element of a drawing. */
function panel(x: number, y: number, options: Plot.PlotOptions): string {
  const svg = Plot.plot({
    document,
    style: { fontSize: '12px' },
    marginLeft: 56,
    marginBottom: 40,
    ...options,
  });
  svg.querySelector('style')?.remove(); // meant for a page: it would resize an inner svg
  svg.setAttribute('x', String(x));
  svg.setAttribute('y', String(y));
  return svg.outerHTML;
}

function text(x: number, y: number, size: number, content: string, weight = 400): string {
  return `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}">${content}</text>`;
}

/** The text of an SVG file. It brings its own paper, light or dark, as the reader's system is. */
function drawing(
  [width, height]: readonly [number, number],
  title: string,
  subtitle: string,
  panels: readonly string[],
): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"
  font-family="system-ui, sans-serif" color="#1f2933">
<style>
  .paper { fill: #fdfdfc }
  @media (prefers-color-scheme: dark) { svg { color: #dde3ea } .paper { fill: #15191e } }
</style>
<rect class="paper" width="${width}" height="${height}" rx="12"/>
<g fill="currentColor">
  ${text(24, 36, 20, title, 600)}
  ${text(24, 58, 13, subtitle)}
</g>
${panels.join('\n')}
</svg>
`;
}

function axis(label: string, options: Plot.ScaleOptions = {}): Plot.ScaleOptions {
  return { label, labelArrow: false, ...options };
}

/** Lengths by their logarithm: of a scale of type "log", Plot leaves out labels as it likes. */
function lengths(ns: readonly number[]): Plot.ScaleOptions {
  return axis('elements →', {
    labelAnchor: 'right',
    ticks: [...new Set(ns)].map(Math.log2),
    tickFormat: (exponent: number) => short(2 ** exponent),
  });
}

/** A logarithmic axis that is labelled at powers of ten. */
function decades(label: string, [low, high]: readonly [number, number]): Plot.ScaleOptions {
  const first = Math.ceil(Math.log10(low));
  const last = Math.floor(Math.log10(high));
  const ticks = Array.from({ length: last - first + 1 }, (_, k) => 10 ** (first + k));
  return axis(label, { type: 'log', grid: true, domain: [low, high], ticks, tickFormat: '~g' });
}

interface Line {
  readonly name: string;
  /** The logarithm (base 2) of a length, and a value. */
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly isDashed?: boolean;
}

/** Lines with their names at the right, moved apart where they would cover each other. */
function lines(
  all: readonly Line[],
  height: number,
  domain: readonly [number, number],
): Plot.Markish[] {
  const logOf = (y: number) => Math.log(y / domain[0]) / Math.log(domain[1] / domain[0]);
  const ends = all
    .map((line) => ({ line, at: logOf(line.points.at(-1)![1]) * height }))
    .sort((a, b) => a.at - b.at);
  const right = Math.max(...all.map(({ points }) => points.at(-1)![0]));
  let lowest = -Infinity;
  return ends.flatMap(({ line: { name, points, isDashed }, at }) => {
    const place = Math.max(at, lowest + 14);
    lowest = place;
    const stroke = colour(name);
    return [
      Plot.line(points, {
        stroke,
        strokeWidth: name === 'smooth-l1' ? 3 : 1.75,
        ...(isDashed ? { strokeDasharray: '5 4' } : {}),
        marker: 'dot',
      }),
      Plot.text([[right, points.at(-1)![1]]], {
        text: () => name,
        fill: stroke,
        textAnchor: 'start',
        fontWeight: name === 'smooth-l1' ? 700 : 400,
        dx: 9,
        dy: at - place,
      }),
    ];
  });
}

function place({ machine }: Results): string {
  const { cpu, engine, date } = machine;
  return `${cpu}, ${engine}, ${date}`;
}

/** Nanoseconds an element by length: forward, and fused. */
function speedChart(results: Results): string | undefined {
  const rows = results.speed.filter(({ data }) => data === 'random');
  if (rows.length === 0) return undefined;
  const one = (operation: 'forward' | 'fused', y: number) => {
    const own = rows.filter((row) => row.operation === operation && !/plain f/.test(row.contender));
    const names = [...new Set(own.map(({ contender }) => contender))];
    const all = names.map((name) => ({
      name: name
        .replace(/^limit: /, 'only moves the bytes: ')
        .replace(' that only moves the bytes', ''),
      isDashed: name.startsWith('limit'),
      points: own
        .filter(({ contender }) => contender === name)
        .map(({ n, ns }) => [Math.log2(n), ns / n] as const),
    }));
    const values = all.flatMap(({ points }) => points.map(([, value]) => value));
    const domain = [Math.min(...values) / 1.2, Math.max(...values) * 1.2] as const;
    const height = 470;
    return panel(16, y, {
      width: 1000,
      height,
      marginRight: 260,
      x: lengths(own.map(({ n }) => n)),
      y: decades(`↑ ${operation}: nanoseconds an element`, domain),
      marks: lines(all, height - 60, domain),
    });
  };
  return drawing(
    [1032, 1060],
    'Smooth L1: the time an element takes, by the length of the arrays',
    `one thread, random residuals; less is better; ${place(results)}`,
    [one('forward', 76), one('fused', 566)],
  );
}

/** Forward over 16 to 256M elements. */
function sizeChart(results: Results): string | undefined {
  const { sizes } = results;
  if (sizes.length === 0) return undefined;
  const all = [...new Set(sizes.map(({ contender }) => contender))].map((name) => ({
    name: name.startsWith('limit') ? 'only reads the bytes' : name,
    isDashed: name.startsWith('limit'),
    points: sizes
      .filter(({ contender }) => contender === name)
      .map(({ n, ns }) => [Math.log2(n), ns / n] as const),
  }));
  const values = all.flatMap(({ points }) => points.map(([, value]) => value));
  const domain = [Math.min(...values) / 1.2, Math.max(...values) * 1.2] as const;
  const { caches } = results.machine;
  const edges = Object.entries(caches)
    .map(([level, bytes]) => ({ n: Math.log2(bytes / 8), level: `${level} full` }))
    .filter(({ n }) => n < Math.log2(sizes.at(-1)!.n));
  return drawing(
    [1032, 470],
    `From cache to memory: mean loss over ${short(sizes[0]!.n)} to ${short(sizes.at(-1)!.n)} elements`,
    `forward, one thread, random residuals, the same arrays for all; ${place(results)}`,
    [
      panel(16, 76, {
        width: 1000,
        height: 380,
        marginRight: 190,
        x: lengths(sizes.map(({ n }) => n)),
        y: decades('↑ nanoseconds an element', domain),
        marks: [
          Plot.ruleX(edges, { x: 'n', stroke: GREY, strokeDasharray: '2 4' }),
          Plot.text(edges, {
            x: 'n',
            text: 'level',
            frameAnchor: 'top',
            textAnchor: 'start',
            dx: 4,
            fill: GREY,
          }),
          ...lines(all, 320, domain),
        ],
      }),
    ],
  );
}

function accuracyChart(results: Results): string | undefined {
  const { accuracy } = results;
  if (accuracy.length === 0) return undefined;
  const shown = (name: string) => !/plain f|staged|memory kept|AVX|limit|128/.test(name);
  const LEAST = 1e-17;
  const all = [...new Set(accuracy.map(({ contender }) => contender))]
    .filter(shown)
    .map((name) => ({
      name,
      points: accuracy
        .filter(({ contender }) => contender === name)
        .map(({ n, relativeError }) => [Math.log2(n), Math.max(relativeError, LEAST)] as const),
    }));
  const domain = [LEAST, 1e-2] as const;
  return drawing(
    [1032, 520],
    'How far the mean is from the exact one',
    `relative error, uniform random residuals (1e-17: none); ${place(results)}`,
    [
      panel(16, 76, {
        width: 1000,
        height: 430,
        marginRight: 190,
        x: lengths(accuracy.map(({ n }) => n)),
        y: axis('↑ relative error', {
          type: 'log',
          grid: true,
          domain: [...domain],
          tickFormat: '.0e',
          ticks: [1e-16, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2],
        }),
        marks: lines(all, 370, domain),
      }),
    ],
  );
}

/** Bars: plain JavaScript's time as a multiple of ours, in each engine. */
function engineChart(results: Results): string | undefined {
  const { engines } = results;
  if (engines.length === 0) return undefined;
  const n = 2 ** 20;
  const bars = engines
    .filter((row) => row.n === n && row.contender !== 'smooth-l1')
    .map(({ engine, ...row }) => ({ ...row, engine: engine.split('.')[0]! }));
  return drawing(
    [1032, 480],
    'Plain JavaScript in each engine: times as long as smooth-l1',
    `amber: branch-free, red: naive; ${short(n)} elements, one thread, random residuals; ${place(results)}`,
    (['forward', 'fused'] as const).map((operation, i) =>
      panel(16 + 510 * i, 76, {
        width: 490,
        height: 390,
        marginLeft: 110,
        marginRight: 40,
        x: axis(`${operation} →`, { grid: true, labelAnchor: 'right' }),
        y: { label: null },
        fy: {
          label: null,
          axis: null,
          padding: 0.2,
          domain: [...new Set(bars.map((bar) => bar.engine))],
        },
        marks: [
          Plot.barX(
            bars.filter((bar) => bar.operation === operation),
            {
              x: 'ratio',
              fy: 'engine',
              y: 'contender',
              fill: (bar: { contender: string }) => colour(bar.contender),
            },
          ),
          Plot.text(
            bars.filter((bar) => bar.operation === operation),
            {
              x: 'ratio',
              fy: 'engine',
              y: 'contender',
              text: (bar: { ratio: number }) => bar.ratio.toFixed(1),
              textAnchor: 'start',
              dx: 4,
            },
          ),
          Plot.text(
            bars.filter((bar) => bar.operation === operation && bar.contender.startsWith('naive')),
            { fy: 'engine', text: 'engine', frameAnchor: 'left', textAnchor: 'end', dx: -6 },
          ),
          Plot.axisY({ ticks: [] }),
        ],
      }),
    ),
  );
}

/** Writes the charts that a run has the numbers for; returns their files. */
export function writeCharts(results: Results): string[] {
  const charts = {
    speed: speedChart(results),
    sizes: sizeChart(results),
    accuracy: accuracyChart(results),
    engines: engineChart(results),
  };
  mkdirSync(OUT, { recursive: true });
  const files: string[] = [];
  for (const [name, svg] of Object.entries(charts)) {
    if (!svg) continue;
    files.push(`${OUT}bench-${name}.svg`);
    writeFileSync(files.at(-1)!, svg);
  }
  return files;
}

const [script, file] = process.argv.slice(1);
if (script && file && import.meta.url === pathToFileURL(script).href) {
  for (const name of writeCharts(JSON.parse(readFileSync(file, 'utf8')) as Results)) {
    console.log(name);
  }
}
