// The worksheet's plots and its two vectors. Every number is computed by the package.

import {
  float32,
  free,
  huberLoss,
  huberLossBackward,
  huberLossHessian,
  l1Distance,
  l1Loss,
  l1LossBackward,
  smoothL1Loss,
  smoothL1LossBackward,
  smoothL1LossHessian,
  smoothL1OfDistance,
  smoothL1OfDistanceBackward,
} from 'smooth-l1';
import type uPlot from 'uplot';
import { byId, digits, fill, make, row } from './dom.ts';
import { type Plot, plot } from './plot.ts';
import { colour } from './theme.ts';

// ---- the curves ---------------------------------------------------------------------------------

interface Curve {
  readonly name: string;
  /** Of style.css. */
  readonly colour: string;
  readonly width: number;
  readonly dash?: number[];
  /** The three functions that are drawn, in the order of the plots. */
  readonly functions: readonly ((x: Float32Array, zeros: Float32Array) => ArrayLike<number>)[];
  /** Where its parabola ends. */
  readonly kink: () => number | undefined;
}

let beta = 1;
let delta = 0.5;
const none = { reduction: 'none' } as const;
const sum = { reduction: 'sum' } as const;

const curves: readonly Curve[] = [
  {
    name: 'smooth L1',
    colour: 'accent',
    width: 3,
    functions: [
      (x, zeros) => smoothL1Loss(x, zeros, { beta, ...none }),
      (x, zeros) => smoothL1LossBackward(1, x, zeros, { beta, ...sum }),
      (x, zeros) => smoothL1LossHessian(x, zeros, { beta, ...sum }),
    ],
    kink: () => beta,
  },
  {
    name: 'Huber',
    colour: 'huber',
    width: 2,
    functions: [
      (x, zeros) => huberLoss(x, zeros, { delta, ...none }),
      (x, zeros) => huberLossBackward(1, x, zeros, { delta, ...sum }),
      (x, zeros) => huberLossHessian(x, zeros, { delta, ...sum }),
    ],
    kink: () => delta,
  },
  {
    name: 'L1',
    colour: 'l1',
    width: 1.5,
    functions: [
      (x, zeros) => l1Loss(x, zeros, none),
      (x, zeros) => l1LossBackward(1, x, zeros, sum),
      // Smooth L1 at beta 0 is L1.
      (x, zeros) => smoothL1LossHessian(x, zeros, { beta: 0, ...sum }),
    ],
    kink: () => undefined,
  },
  {
    name: 'half squared error',
    colour: 'square',
    width: 2,
    dash: [7, 4],
    // Huber that never becomes linear.
    functions: [
      (x, zeros) => huberLoss(x, zeros, { delta: Infinity, ...none }),
      (x, zeros) => huberLossBackward(1, x, zeros, { delta: Infinity, ...sum }),
      (x, zeros) => huberLossHessian(x, zeros, { delta: Infinity, ...sum }),
    ],
    kink: () => undefined,
  },
];

const LEFT = -2;
const STEPS = 800;
const grid = float32(Array.from({ length: STEPS + 1 }, (_, k) => LEFT + (4 * k) / STEPS));
const zeros = float32(grid.length);

const dataOf = (which: number): uPlot.AlignedData => [
  Array.from(grid),
  ...curves.map(({ functions }) => Array.from(functions[which]!(grid, zeros))),
];

/** Dashed lines at the kinks, and a dot where each meets its curve. */
function drawKinks(chart: uPlot, which: number): void {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const curve of curves) {
    const kink = curve.kink();
    if (kink === undefined) continue;
    const ends = float32([-kink, kink]);
    const values = curve.functions[which]!(ends, zeros.subarray(0, 2));
    ctx.strokeStyle = colour(curve.colour);
    ctx.fillStyle = colour(curve.colour);
    ctx.lineWidth = devicePixelRatio;
    for (const [i, at] of ends.entries()) {
      const x = chart.valToPos(at, 'x', true);
      ctx.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.beginPath();
      ctx.arc(x, chart.valToPos(values[i]!, 'y', true), 4.5 * devicePixelRatio, 0, 2 * Math.PI);
      ctx.fill();
    }
    free(ends);
  }
  ctx.restore();
}

function makePlots(): Plot[] {
  const shapes = [
    { place: 'plot-loss', range: [-0.05, 2] },
    { place: 'plot-slope', range: [-1.6, 1.6] },
    { place: 'plot-curvature', range: [-0.2, 4] },
  ] as const;
  return shapes.map(({ place, range: [low, high] }, which) =>
    plot(byId(place), dataOf(which), {
      ...(which === 2 && { xLabel: 'd = input − target' }),
      cursor: {
        sync: { key: 'residual' },
        drag: { x: false, y: false },
        points: { size: 8 },
      },
      scales: {
        x: { time: false, range: [LEFT, -LEFT] },
        y: {
          // The curvature of smooth L1 is 1 / beta, far above the others where beta is small.
          range: () => (which === 2 ? [low, Math.max(2, 1.15 / beta)] : [low, high]),
        },
      },
      series: [
        {},
        ...curves.map(({ name, colour: own, width, dash }) => ({
          label: name,
          stroke: () => colour(own),
          width,
          ...(dash && { dash }),
          points: { show: false },
        })),
      ],
      hooks: {
        draw: [(chart) => drawKinks(chart, which)],
        setCursor: [
          ({ cursor: { idx } }) => {
            if (idx != null) showValues(grid[idx]!);
          },
        ],
      },
    }),
  );
}

/** A curve's line beside its name. */
function keyOf({ name, colour: own, dash }: Curve): HTMLElement {
  const key = make('span', { className: 'key' });
  key.style.borderColor = `var(--${own})`;
  if (dash) key.style.borderTopStyle = 'dashed';
  return make('span', {}, key, name);
}

function showValues(d: number): void {
  const slider = byId<HTMLInputElement>('residual');
  slider.value = String(d);
  byId('residual-value').textContent = d.toFixed(2).replace('-', '−');
  const at = float32([d]);
  fill(
    'values',
    curves.map((curve) =>
      row(keyOf(curve), ...curve.functions.map((f) => digits(f(at, zeros.subarray(0, 1))[0]!))),
    ),
  );
  free(at);
}

// ---- two vectors --------------------------------------------------------------------------------

/** The numbers of a text field; throws what is wrong about it. */
function numbersOf(id: string): number[] {
  const words = byId<HTMLInputElement>(id)
    .value.split(/[\s,;]+/)
    .filter(Boolean);
  if (words.length === 0) throw new Error(`${id} has no numbers: write some, such as 1, 2, 3`);
  return words.map((word) => {
    const number = Number(word.replace('−', '-'));
    if (Number.isNaN(number)) throw new Error(`${id} has “${word}”, which is not a number`);
    return number;
  });
}

function showVectors(): void {
  const error = byId('vectors-error');
  const fields = ['p', 'q'].map((id) => byId(id));
  try {
    const [p, q] = [numbersOf('p'), numbersOf('q')].map((numbers) =>
      Float32Array.from(numbers),
    ) as [Float32Array, Float32Array];
    if (p.length !== q.length)
      throw new Error(`p has ${p.length} numbers and q has ${q.length}: they need as many`);
    const list = (values: ArrayLike<number>): string => Array.from(values, digits).join(', ');
    const own = Number(byId<HTMLInputElement>('sigma').value);
    const rows = [...new Set([1, 3, own])].map((sigma) =>
      row(
        `${digits(sigma)}`,
        digits(smoothL1Loss(p, q, { sigma, ...sum })),
        list(smoothL1LossBackward(1, p, q, { sigma, ...sum })),
        digits(smoothL1OfDistance(p, q, { sigma })),
        list(smoothL1OfDistanceBackward(1, p, q, { sigma })),
      ),
    );
    fill('vectors', rows);
    byId('distance').textContent =
      `Their L1 distance D = Σ |pᵢ − qᵢ| is ${digits(l1Distance(p, q))}. The rows are at sigma 1, sigma 3, and that of the slider.`;
    error.textContent = '';
  } catch (reason) {
    fill('vectors', []);
    byId('distance').textContent = '';
    error.textContent = (reason as Error).message;
  }
  for (const field of fields) field.ariaInvalid = String(error.textContent !== '');
}

// ---- the part -----------------------------------------------------------------------------------

export function start(): void {
  byId('legend').replaceChildren(...curves.map(keyOf));
  const plots = makePlots();
  const slider = (id: string) => byId<HTMLInputElement>(id);
  const show = (): void => {
    const sigma = 1 / Math.sqrt(beta);
    const names = { beta, sigma, delta };
    for (const [name, value] of Object.entries(names)) {
      byId(`${name}-value`).textContent = String(Number(value.toFixed(3)));
      slider(name).ariaValueText = String(Number(value.toFixed(3)));
    }
    byId('beta-of-sigma').textContent =
      `beta = 1 / sigma² = 1 / ${Number(sigma.toFixed(3))}² = ${Number(beta.toFixed(3))}`;
    plots.forEach((plot, which) => {
      plot.setData(dataOf(which));
    });
    showValues(Number(slider('residual').value));
    showVectors();
  };
  slider('beta').addEventListener('input', ({ currentTarget }) => {
    beta = 2 ** Number((currentTarget as HTMLInputElement).value);
    slider('sigma').value = String(1 / Math.sqrt(beta));
    show();
  });
  slider('sigma').addEventListener('input', ({ currentTarget }) => {
    beta = 1 / Number((currentTarget as HTMLInputElement).value) ** 2;
    slider('beta').value = String(Math.log2(beta));
    show();
  });
  slider('delta').addEventListener('input', ({ currentTarget }) => {
    delta = Number((currentTarget as HTMLInputElement).value);
    show();
  });
  slider('residual').addEventListener('input', ({ currentTarget }) => {
    showValues(Number((currentTarget as HTMLInputElement).value));
  });
  for (const id of ['p', 'q']) byId(id).addEventListener('input', showVectors);
  show();
}
