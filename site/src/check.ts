// The self-check: conformance vectors and hashes of bits, beside the published ones. And the report.

import { GRAIN } from '../../bench/measure.ts';
import type { Found } from '../../test/engines/checks.ts';
import type { Published } from '../../test/engines/published.ts';
import type { Answer } from './check.worker.ts';
import { byId, fill, make, row } from './dom.ts';
import { device } from './host.ts';
import { report } from './report.ts';

declare const __PUBLISHED__: Published;

/** What the suite finds on a backend, in a worker of its own: a page's kernel starts only once. */
function run(backend: 'default' | 'js'): Promise<Found> {
  const worker = new Worker(new URL('./check.worker.ts', import.meta.url), { type: 'module' });
  return new Promise<Found>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Answer>) =>
      'found' in data ? resolve(data.found) : reject(new Error(data.error));
    worker.onerror = ({ message }) =>
      reject(new Error(message || 'the worker could not be loaded'));
    worker.postMessage(backend);
  }).finally(() => worker.terminate());
}

export interface Checked extends Found {
  readonly isRight: boolean;
}

function judge(found: Found): Checked {
  const { elementwise, sums } = __PUBLISHED__;
  const isRight =
    found.failures.length === 0 && found.elementwise === elementwise && found.sums === sums;
  return { ...found, isRight };
}

const verdict = (isRight: boolean, text: string): HTMLElement =>
  make('span', { className: isRight ? 'right' : 'wrong' }, `${text} ${isRight ? '✓' : '✗'}`);

function rowOf({ backend, vectors, elementwise, sums, threads, failures }: Checked) {
  return row(
    backend,
    verdict(failures.length === 0, `${vectors - new Set(failures).size} of ${vectors} right`),
    verdict(elementwise === __PUBLISHED__.elementwise, elementwise),
    verdict(sums === __PUBLISHED__.sums, sums),
    String(threads),
  );
}

async function check(): Promise<void> {
  const button = byId<HTMLButtonElement>('check-start');
  const status = byId('check-status');
  button.disabled = true;
  const found: Checked[] = [];
  fill('checks', []);
  try {
    for (const backend of ['default', 'js'] as const) {
      status.textContent = `Checking ${backend === 'js' ? 'plain JavaScript' : 'WebAssembly'}…`;
      const one = judge(await run(backend));
      found.push(one);
      fill('checks', found.map(rowOf));
    }
    const wrong = found.filter(({ isRight }) => !isRight);
    const [first] = found.flatMap(({ failures }) => failures);
    status.textContent =
      wrong.length === 0
        ? 'All is right: every vector, and every bit as published.'
        : `Wrong on ${wrong.map(({ backend }) => backend).join(' and ')}${first ? `: ${first}` : ''}. Please report it.`;
  } catch (error) {
    status.textContent = `The check did not finish: ${(error as Error).message}`;
  }
  report.checks = found;
  button.disabled = false;
}

export async function start(): Promise<void> {
  byId('check-start').addEventListener('click', check);
  // Before any click: Safari lets a page copy only in the very turn of one.
  const here = await device(GRAIN);
  const field = byId<HTMLTextAreaElement>('report');
  const write = (): void => {
    field.value = report.text(here);
  };
  byId('report-copy').addEventListener('click', async () => {
    const status = byId('report-status');
    write();
    try {
      await navigator.clipboard.writeText(field.value);
      status.textContent = 'Copied.';
    } catch {
      field.closest('details')!.open = true;
      field.select();
      status.textContent = 'This browser lets no page write to its clipboard: copy it from below.';
    }
  });
  field.closest('details')!.addEventListener('toggle', write);
}
