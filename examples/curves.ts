// What the losses and their derivatives look like, as a picture for the web.

import * as Plot from '@observablehq/plot';
import {
  huberLoss,
  huberLossBackward,
  l1Loss,
  l1LossBackward,
  smoothL1Loss,
  smoothL1LossBackward,
} from 'smooth-l1';
import { axis, COLOURS, drawing, panel } from '../demo/drawing.ts';

type Values = (x: Float32Array) => Float32Array;

interface Curve {
  readonly name: string;
  readonly stroke: string;
  readonly width: number;
  readonly dashes?: string;
  readonly loss: Values;
  readonly slope: Values;
  /** Where the parabola ends. */
  readonly bound?: number;
}

const none = { reduction: 'none' } as const;
const sum = { reduction: 'sum' } as const;
const zeros = (x: Float32Array) => new Float32Array(x.length);

function smooth(sigma: number, stroke: string, width: number): Curve {
  return {
    name: `smooth L1, σ = ${sigma}`,
    stroke,
    width,
    loss: (x) => smoothL1Loss(x, zeros(x), { sigma, ...none }),
    slope: (x) => smoothL1LossBackward(1, x, zeros(x), { sigma, ...sum }),
    bound: 1 / sigma ** 2,
  };
}

/** From the widest to the narrowest, so that all show where they are one. */
const curves: readonly Curve[] = [
  smooth(1, COLOURS.blue, 6),
  smooth(3, COLOURS.amber, 3),
  {
    name: 'L1: |d|',
    stroke: 'currentColor',
    width: 1.5,
    loss: (x) => l1Loss(x, zeros(x), none),
    slope: (x) => l1LossBackward(1, x, zeros(x), sum),
  },
  {
    name: 'L2: d²/2',
    stroke: COLOURS.green,
    width: 2,
    dashes: '6 4',
    loss: (x) => huberLoss(x, zeros(x), { delta: Infinity, ...none }),
    slope: (x) => huberLossBackward(1, x, zeros(x), { delta: Infinity, ...sum }),
  },
];

/** Where the curves are computed: on a grid, at the corners of sigma 3, and on both sides of 0. */
function places(): Float32Array {
  const grid = Array.from({ length: 4 * 32 + 1 }, (_, k) => k / 32 - 2).filter((x) => x !== 0);
  const corners = [1e-6, 1 / 9].flatMap((x) => [-x, x]);
  return Float32Array.from([...grid, ...corners]).sort();
}

/** Which of the two functions of a curve is drawn. */
type Choice = (curve: Curve) => Values;

/** A plot as an element of the picture. */
function curvesPanel(left: number, label: string, domain: number[], valuesOf: Choice): string {
  return panel(left, 52, {
    style: { fontSize: '13px' },
    width: 424,
    height: 350,
    marginTop: 30,
    marginLeft: 46,
    marginBottom: 42,
    clip: true,
    x: axis('d = input − target', { labelAnchor: 'center', ticks: 5, grid: true }),
    y: { label, domain, ticks: 5, grid: true },
    marks: marks(valuesOf),
  });
}

function marks(valuesOf: Choice): Plot.Markish[] {
  const x = places();
  const lines = curves.map((curve) => {
    const { stroke, width: strokeWidth, dashes } = curve;
    const look = { stroke, strokeWidth, ...(dashes && { strokeDasharray: dashes }) };
    return Plot.line(valuesOf(curve)(x), { x, y: Plot.identity, ...look });
  });
  const ends = curves.flatMap((curve) => {
    if (curve.bound === undefined) return [];
    const x = Float32Array.of(-curve.bound, curve.bound);
    return [Plot.dot(valuesOf(curve)(x), { x, y: Plot.identity, r: 6, fill: curve.stroke })];
  });
  return [...lines, ...ends];
}

function legend(): string {
  let left = 24;
  const entry = (symbol: string, length: number, words: string): string => {
    const text = `<text x="${length + 8}" y="5">${words}</text>`;
    const entry = `<g transform="translate(${left},28)">${symbol}${text}</g>`;
    left += length + 8 * words.length + 30;
    return entry;
  };
  const line = ({ name, stroke, width, dashes = 'none' }: Curve): string =>
    entry(
      `<path d="M0,0h32" stroke="${stroke}" stroke-width="${width}" stroke-dasharray="${dashes}"/>`,
      32,
      name,
    );
  return [
    ...curves.map(line),
    entry('<circle cx="5" r="5"/>', 10, 'end of the parabola, ±1/σ²'),
  ].join('\n');
}

/** The text of an SVG file. */
export function draw(): string {
  const title = 'Smooth L1 at sigma 1 and 3, L1 and L2: the losses and their derivatives';
  return drawing([880, 410], title, [
    `<g font-size="14">\n${legend()}\n</g>`,
    curvesPanel(8, 'loss', [-0.06, 2], ({ loss }) => loss),
    curvesPanel(444, 'derivative', [-1.3, 1.3], ({ slope }) => slope),
  ]);
}
