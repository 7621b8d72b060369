// The part that measures: what is asked for, how far it is, what was found.

import { BYTES, OPERATIONS } from '../../bench/contender.ts';
import { short } from '../../bench/results.ts';
import { byId, make, row, time } from './dom.ts';
import { whyNoThreads } from './host.ts';
import type { Message, Result, Wish } from './race.worker.ts';
import { report } from './report.ts';

const TITLES = {
  forward: 'Loss',
  backward: 'Gradient',
  fused: 'Loss and gradient in one pass',
} as const;

const rate = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** Half of the inputs' bytes are there where they have 16 bits. */
function bytes({ contender, operation }: Result): number {
  return BYTES[operation] - (contender.includes('16 bits') ? 4 : 0);
}

function resultRow(result: Result, fastest: number): HTMLTableRowElement {
  const { contender, threads, n, ns, speed } = result;
  const bar = make('span', { className: 'speed' }, make('i'));
  (bar.firstChild as HTMLElement).style.width = `${(100 * speed) / fastest}%`;
  bar.ariaHidden = 'true';
  const cells = row(
    threads > 1 ? `${contender}, ${threads} threads` : contender,
    make('span', {}, `${rate(speed)}×`.padStart(6, '\u2007'), bar),
    time(ns),
    `${rate((1e3 * n) / ns)} M/s`,
    `${rate((n * bytes(result)) / ns)} GB/s`,
  );
  if (contender.startsWith('smooth-l1')) cells.className = 'ours';
  return cells;
}

function show(results: readonly Result[]): void {
  const tables = OPERATIONS.map((operation) => {
    const own = results.filter((result) => result.operation === operation);
    const sizes = [...new Set(own.map(({ n }) => n))];
    const bodies = sizes.map((n) => {
      const group = own.filter((result) => result.n === n);
      const fastest = Math.max(...group.map(({ speed }) => speed));
      const head = make('th', { scope: 'rowgroup', colSpan: 5, className: 'size' });
      head.textContent = `${short(n)} elements`;
      return make(
        'tbody',
        {},
        make('tr', {}, head),
        ...group.map((result) => resultRow(result, fastest)),
      );
    });
    const heads = [
      '',
      'times naive JavaScript',
      'time of a call',
      'elements a second',
      'bytes a second',
    ];
    const head = make('tr', {}, ...heads.map((text) => make(text ? 'th' : 'td', {}, text)));
    for (const cell of head.querySelectorAll('th')) cell.scope = 'col';
    const table = make(
      'table',
      {},
      make('caption', {}, TITLES[operation]),
      make('thead', {}, head),
    );
    table.append(...bodies);
    const scroll = make('div', { className: 'scroll', tabIndex: 0 }, table);
    scroll.role = 'region';
    scroll.ariaLabel = TITLES[operation];
    return scroll;
  });
  byId('results').replaceChildren(...(results.length > 0 ? tables : []));
}

export function start(): void {
  const startButton = byId<HTMLButtonElement>('measure-start');
  const stopButton = byId<HTMLButtonElement>('measure-stop');
  const status = byId('measure-status');
  const bar = byId<HTMLProgressElement>('measure-progress');
  const threads = byId<HTMLSelectElement>('threads');

  const reason = whyNoThreads();
  const cores = navigator.hardwareConcurrency;
  const counts = [...new Set([1, 2, 4, 8, 16, cores])].filter((n) => n <= (reason ? 1 : cores));
  threads.replaceChildren(
    ...counts.sort((a, b) => a - b).map((n) => make('option', { value: String(n) }, String(n))),
  );
  threads.value = String(Math.min(4, counts.at(-1)!));
  threads.disabled = reason !== undefined;
  byId('threads-note').textContent = reason
    ? `Threads are off: ${reason}`
    : `Threads are on: this page is isolated. The device has ${cores} cores.`;

  let worker: Worker | undefined;
  const end = (words: string): void => {
    worker?.terminate();
    worker = undefined;
    status.textContent = words;
    startButton.disabled = false;
    stopButton.disabled = true;
  };
  byId('measure-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const results: Result[] = [];
    const skipped: { what: string; why: string }[] = [];
    Object.assign(report, { measured: results, skipped });
    show(results);
    startButton.disabled = true;
    stopButton.disabled = false;
    bar.value = 0;
    status.textContent = 'Starting…';
    worker = new Worker(new URL('./race.worker.ts', import.meta.url), { type: 'module' });
    worker.onerror = ({ message }) => end(`It broke off: ${message || 'the worker did not load'}`);
    worker.onmessage = ({ data }: MessageEvent<Message>) => {
      if (data.kind === 'step') {
        bar.value = data.done;
        status.textContent = `Measuring: ${data.what}`;
      } else if (data.kind === 'results') {
        results.push(...data.results);
        show(results);
      } else if (data.kind === 'skipped') {
        skipped.push(data);
      } else {
        bar.value = 1;
        const left = skipped.map(({ what, why }) => ` Left out: ${what} (${why}).`).join('');
        end(`Measured.${left}`);
      }
    };
    worker.postMessage({
      largest: Number(byId<HTMLSelectElement>('largest').value),
      threads: Number(threads.value),
      tensorFlow: byId<HTMLInputElement>('tensorflow').checked,
    } satisfies Wish);
  });
  stopButton.addEventListener('click', () => end('Stopped. What was measured stays.'));
}
