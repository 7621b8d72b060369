// The visitor's own data: exact loss, the gradient, the residuals. All of it stays in this page.

import {
  float32,
  free,
  type HuberOptions,
  huberLossWithGrad,
  l1LossWithGrad,
  smoothL1LossWithGrad,
  uint8,
} from 'smooth-l1';
import uPlot from 'uplot';
import { uniform } from '../../bench/data.ts';
import { type Column, columnsOf } from './columns.ts';
import { byId, digits, fill, make, row } from './dom.ts';
import { type Plot, plot } from './plot.ts';
import { colour } from './theme.ts';

// ---- computing ----------------------------------------------------------------------------------

interface Statistics {
  readonly rows: number;
  /** Rows in which a value is missing or NaN. */
  readonly leftOut: number;
  readonly sum: number;
  readonly mean: number;
  readonly gradient: {
    readonly mean: number;
    readonly meanSquare: number;
    readonly low: number;
    readonly high: number;
    /** How many are at a limit: their residual is beyond the threshold. */
    readonly limited: number;
  };
  /** In order, without those left out. */
  readonly residuals: Float32Array;
}

type Loss = 'smoothL1' | 'huber' | 'l1' | 'square';

function compute(
  input: Float32Array,
  target: Float32Array,
  loss: Loss,
  threshold: number,
): Statistics {
  const arrays: (Float32Array | Uint8Array)[] = [];
  const keep = <T extends Float32Array | Uint8Array>(array: T): T => {
    arrays.push(array);
    return array;
  };
  try {
    const n = input.length;
    const x = keep(float32(input));
    const y = keep(float32(target));
    const grad = keep(float32(n));
    const mask = keep(uint8(n));
    let rows = 0;
    for (let i = 0; i < n; i++) {
      mask[i] = Number.isNaN(x[i]) || Number.isNaN(y[i]) ? 0 : 1;
      rows += mask[i]!;
    }
    const common = { mask, sum: 'exact', reduction: 'sum' } as const;
    const ofHuber = (options: HuberOptions<'sum'>): number =>
      huberLossWithGrad(x, y, grad, options);
    const sums: Record<Loss, () => number> = {
      smoothL1: () => smoothL1LossWithGrad(x, y, grad, { ...common, beta: threshold }),
      huber: () => ofHuber({ ...common, delta: threshold }),
      l1: () => l1LossWithGrad(x, y, grad, common),
      square: () => ofHuber({ ...common, delta: Infinity }),
    };
    const sum = sums[loss]();
    const limit = loss === 'huber' ? Math.fround(threshold) : loss === 'square' ? Infinity : 1;
    const residuals = new Float32Array(rows);
    let [total, squares, low, high, limited, at] = [0, 0, Infinity, -Infinity, 0, 0];
    for (let i = 0; i < n; i++) {
      if (!mask[i]) continue;
      const slope = grad[i]!;
      residuals[at++] = x[i]! - y[i]!;
      total += slope;
      squares += slope * slope;
      low = Math.min(low, slope);
      high = Math.max(high, slope);
      if (Math.abs(slope) >= limit) limited++;
    }
    const gradient = { mean: total / rows, meanSquare: squares / rows, low, high, limited };
    const leftOut = n - rows;
    return { rows, leftOut, sum, mean: sum / rows, gradient, residuals: residuals.sort() };
  } finally {
    for (const array of arrays) free(array);
  }
}

// ---- showing ------------------------------------------------------------------------------------

const BINS = 60;

/** Counts of the residuals from `low` to `high`; the rest is counted beside them. */
function histogram(residuals: Float32Array) {
  const finite = residuals.filter(Number.isFinite);
  const at = (part: number): number => finite[Math.round(part * (finite.length - 1))] ?? 0;
  // The middle 99 percent: an outlier would leave nothing but one bar.
  let [low, high] = [at(0.005), at(0.995)];
  if (!(high > low)) [low, high] = [low - 0.5, low + 0.5];
  const width = (high - low) / BINS;
  const counts = new Array<number>(BINS).fill(0);
  let [below, above] = [0, 0];
  for (const d of residuals) {
    if (d < low) below++;
    else if (d > high) above++;
    else counts[Math.min(BINS - 1, Math.floor((d - low) / width))]!++;
  }
  return { centres: counts.map((_, i) => low + (i + 0.5) * width), counts, below, above };
}

let chart: Plot | undefined;

function showHistogram(residuals: Float32Array): string {
  const { centres, counts, below, above } = histogram(residuals);
  byId('histogram-figure').hidden = false;
  const data: uPlot.AlignedData = [centres, counts];
  if (chart) chart.setData(data);
  else
    chart = plot(byId('histogram'), data, {
      xLabel: 'd = input − target',
      cursor: { drag: { x: false, y: false } },
      scales: {
        // Whole bars at both ends.
        x: {
          time: false,
          range: (_, low, high) => [
            low - (high - low) / (2 * BINS - 2),
            high + (high - low) / (2 * BINS - 2),
          ],
        },
        y: { range: (_, __, most) => [0, Math.max(1, most * 1.05)] },
      },
      series: [
        {},
        {
          label: 'rows',
          stroke: () => colour('accent'),
          fill: () => colour('accent'),
          paths: uPlot.paths.bars!({ size: [0.9] }),
          points: { show: false },
        },
      ],
    });
  const beyond = `${below.toLocaleString('en')} below, ${above.toLocaleString('en')} above`;
  byId('histogram').ariaLabel =
    `Histogram of the residuals from ${digits(centres[0]!)} to ${digits(centres.at(-1)!)}; ${beyond}`;
  return `the middle 99 percent of the rows; ${beyond}`;
}

function show(found: Statistics): void {
  const { rows, leftOut, sum, mean, gradient, residuals } = found;
  const count = (n: number): string => n.toLocaleString('en');
  const share = `${count(gradient.limited)} (${digits((100 * gradient.limited) / rows)} %)`;
  const at = (part: number): string => digits(residuals[Math.round(part * (rows - 1))]!);
  const shown = showHistogram(residuals);
  fill('statistics', [
    row('rows', count(rows)),
    row('left out: a value is missing or NaN', count(leftOut)),
    row('sum of the losses, exact', String(sum)),
    row('mean loss', String(mean)),
    row('gradient: least, greatest', `${digits(gradient.low)}, ${digits(gradient.high)}`),
    row('gradient: mean', digits(gradient.mean)),
    row('gradient: root of the mean square', digits(Math.sqrt(gradient.meanSquare))),
    row('gradient at its limit', share),
    row('residuals: least, median, greatest', `${at(0)}, ${at(0.5)}, ${at(1)}`),
    row('histogram', shown),
  ]);
}

function clear(): void {
  fill('statistics', []);
  byId('histogram-figure').hidden = true;
}

// ---- the part -----------------------------------------------------------------------------------

/** A file as numpy.save writes it. */
function npyFile(name: string, values: Float32Array): File {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${values.length},), }`;
  const padded = `${header.padEnd(117)}\n`;
  const start = Uint8Array.of(0x93, ...new TextEncoder().encode('NUMPY'), 1, 0, padded.length, 0);
  return new File([start, padded, values.slice()], name);
}

/** Predictions that are off by a bell of noise, and by far more in one row of fifty. */
function example() {
  const random = uniform(11);
  const target = Float32Array.from({ length: 100_000 }, () => 10 * random());
  const noise = (): number => random() + random() + random() + random() - 2;
  const input = target.map((y) => y + noise() * (random() < 0.02 ? 8 : 1));
  return { input, target };
}

export function start(): void {
  const error = byId('file-error');
  const status = byId('file-status');
  const form = byId<HTMLFormElement>('file-form');
  const selects = ['input-column', 'target-column'].map((id) => byId<HTMLSelectElement>(id));
  const loss = byId<HTMLSelectElement>('file-loss');
  const threshold = byId<HTMLInputElement>('file-threshold');
  let columns: Column[] = [];
  /** Of the newest question: an answer to an older one is of no use. */
  let question = 0;

  async function answer(): Promise<void> {
    const own = ++question;
    threshold.disabled = loss.value === 'l1' || loss.value === 'square';
    try {
      const [input, target] = selects.map(({ value }) => columns[Number(value)]!) as [
        Column,
        Column,
      ];
      if (input.length !== target.length)
        throw new Error(
          `${input.name} has ${input.length} numbers, ${target.name} has ${target.length}: they need as many`,
        );
      const limit = threshold.valueAsNumber;
      if (!threshold.disabled && !(limit >= 0)) throw new Error('beta or delta is a number from 0');
      status.textContent = 'Reading…';
      const [x, y] = await Promise.all([input.read(), target.read()]);
      if (own !== question) return;
      const found = compute(x, y, loss.value as Loss, limit);
      if (found.rows === 0)
        throw new Error(`${input.name} and ${target.name} have no row with two numbers`);
      show(found);
      status.textContent = `${input.name} beside ${target.name}, read in this page. Values are taken as f32.`;
      error.textContent = '';
    } catch (reason) {
      if (own !== question) return;
      clear();
      status.textContent = '';
      error.textContent = (reason as Error).message;
    }
  }

  async function take(files: readonly File[]): Promise<void> {
    if (files.length === 0) return;
    const own = ++question;
    clear();
    form.hidden = true;
    error.textContent = '';
    status.textContent = 'Reading…';
    try {
      // One .npy after the other is two as well.
      const isNpy = files.every(({ name }) => name.toLowerCase().endsWith('.npy'));
      const before = isNpy && files.length === 1 && columns.length === 1 ? columns : [];
      const read = [...before, ...(await columnsOf(files))];
      if (own !== question) return;
      columns = read;
      if (columns.length === 1) {
        status.textContent = `${columns[0]!.name} has ${columns[0]!.length.toLocaleString('en')} numbers. One more: the other half of the pairs.`;
        return;
      }
      for (const [k, select] of selects.entries()) {
        select.replaceChildren(
          ...columns.map(({ name }, i) => make('option', { value: String(i) }, name)),
        );
        select.value = String(k);
      }
      form.hidden = false;
      await answer();
    } catch (reason) {
      if (own !== question) return;
      columns = [];
      status.textContent = '';
      error.textContent = (reason as Error).message;
    }
  }

  const drop = byId('drop');
  // All of the part takes files: what misses the box would replace the page.
  const part = byId('file');
  part.addEventListener('dragover', (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
  for (const end of ['dragleave', 'drop'])
    part.addEventListener(end, () => drop.classList.remove('over'));
  part.addEventListener('drop', (event) => {
    event.preventDefault();
    take([...(event.dataTransfer?.files ?? [])]);
  });
  const field = byId<HTMLInputElement>('files');
  field.addEventListener('change', async () => {
    await take([...(field.files ?? [])]);
    field.value = ''; // the same file can be chosen again
  });
  byId('file-example').addEventListener('click', () => {
    const { input, target } = example();
    take([npyFile('predictions.npy', input), npyFile('truth.npy', target)]);
  });
  for (const control of [...selects, loss, threshold]) control.addEventListener('input', answer);
}
