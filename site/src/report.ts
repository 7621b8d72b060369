// What was found on this device, for an issue: Markdown, with the same as JSON inside.

import { backend } from 'smooth-l1';
import type { Checked } from './check.ts';
import type { Device } from './host.ts';
import type { Result } from './race.worker.ts';

declare const __VERSION__: string;

const cells = (...values: (string | number)[]): string => `| ${values.join(' | ')} |`;

export const report = {
  measured: [] as readonly Result[],
  skipped: [] as readonly { readonly what: string; readonly why: string }[],
  checks: [] as readonly Checked[],

  text(here: Device): string {
    const { measured, skipped, checks } = report;
    const all = { package: __VERSION__, device: here, backend, measured, skipped, checks };
    const lines = [
      `## smooth-l1 ${__VERSION__} on this device`,
      '',
      `- Browser: ${here.browser}`,
      `- Platform: ${here.platform}; ${here.cores} cores${here.memory ? `; ${here.memory} GiB or more` : ''}`,
      `- Backend: ${backend}; page ${here.isolated ? '' : 'not '}isolated; steps of the clock ${here.clockStep.toPrecision(2)} ms`,
      '',
    ];
    if (checks.length > 0)
      lines.push(
        cells('check', 'vectors', 'elements', 'sums', 'threads', ''),
        cells('---', '---', '---', '---', '---', '---'),
        ...checks.map((one) =>
          cells(
            one.backend,
            one.vectors,
            one.elementwise,
            one.sums,
            one.threads,
            one.isRight ? 'right' : `WRONG ${one.failures.slice(0, 3).join('; ')}`,
          ),
        ),
        '',
      );
    if (measured.length > 0)
      lines.push(
        cells('operation', 'elements', 'contender', 'threads', 'ns', 'times naive JavaScript'),
        cells('---', '---', '---', '---', '---', '---'),
        ...measured.map((one) =>
          cells(
            one.operation,
            one.n,
            one.contender,
            one.threads,
            one.ns.toPrecision(4),
            one.speed.toPrecision(3),
          ),
        ),
        '',
      );
    for (const { what, why } of skipped) lines.push(`- Left out: ${what}: ${why}`);
    const rounded = (_: string, value: unknown): unknown =>
      typeof value === 'number' ? Number(value.toPrecision(5)) : value;
    lines.push('', '```json', JSON.stringify(all, rounded), '```', '');
    return lines.join('\n');
  },
};
