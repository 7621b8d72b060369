// The report of a run in Markdown, ratios first.

import { BYTES, OPERATIONS } from './contender.ts';
import { DESCRIPTION } from './data.ts';
import { type EngineRow, OURS, type Results, type Row, short } from './results.ts';
import { targets } from './targets.ts';

export function report(results: Results): string {
  const { machine, speed, threaded, paths, rounds, skipped } = results;
  const sizes = Object.entries(machine.caches).map(([level, bytes]) => `${level} ${short(bytes)}B`);
  const lines = [
    `# Bench of ${machine.date}`,
    '',
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${sizes.join(', ')}. ${machine.engine}, ${machine.system}. Load at the start: ${machine.load.toFixed(1)}.`,
    '',
    `Medians of ${rounds} rounds of one run, in which the contenders take turns. Ratios compare times of the same round; the numbers after ± are half the distance of the quartiles. "Far out" is the last size of a table; a virtual machine may call a part of it L3.`,
  ];
  const random = speed.filter(({ data }) => data === 'random');
  for (const operation of OPERATIONS) {
    const own = random.filter((row) => row.operation === operation);
    if (own.length === 0) continue;
    lines.push('', `## ${title(operation)}: times as long as ${OURS}`, '');
    lines.push(`One thread, ${DESCRIPTION.random}.`, '', ...ratioTable(own));
  }
  for (const data of ['sorted', 'flights'] as const) {
    const own = speed.filter((row) => row.data === data);
    for (const operation of OPERATIONS) {
      const rows = own.filter((row) => row.operation === operation);
      if (rows.length === 0) continue;
      lines.push('', `## ${title(operation)}, ${data}: times as long as ${OURS}`, '');
      lines.push(`One thread, ${DESCRIPTION[data]}.`, '', ...ratioTable(rows));
    }
  }
  for (const operation of OPERATIONS) {
    const own = threaded.filter((row) => row.operation === operation);
    if (own.length === 0) continue;
    lines.push('', `## ${title(operation)}, ${machine.cores} threads: times as long`, '');
    lines.push(...ratioTable(own.map((row) => ({ ...row, contender: withThreads(row) }))));
  }
  lines.push('', '## Targets', '', ...table(targetRows(results), ['', 'target', 'measured']));
  lines.push('', '## Weights and masks, beside the plain call', '');
  lines.push(...table(paths.map(pathCells), PATH_HEAD));
  lines.push(...callSection(results));
  lines.push(...sizeSection(results), ...accuracySection(results), ...costSection(results));
  lines.push(...engineSection(results.engines));
  if (skipped.length > 0) {
    lines.push('', '## Left out', '');
    lines.push(...table(skippedCells(skipped), ['what', 'why']));
  }
  return `${lines.join('\n')}\n`;
}

function callSection({ calls }: Results): string[] {
  if (calls.length === 0) return [];
  const cells = calls.map(({ kind, n, ns, naive, baseline }) => [
    kind,
    short(n),
    ns.toFixed(0),
    naive === undefined ? '' : digits(naive),
    baseline === undefined ? '' : digits(baseline),
  ]);
  return [
    '',
    '## What one call costs',
    '',
    'Arrays in the kernel\'s memory unless staged. "naive" is the loop in JavaScript that computes the same, and "before" the other build of `--baseline`, both in times of this one.',
    '',
    ...table(cells, ['call', 'elements', 'ns', 'naive', 'before']),
  ];
}

function title(operation: string): string {
  const names: Record<string, string> = {
    forward: 'Forward (mean loss)',
    backward: 'Backward (gradient of the mean)',
    fused: 'Fused (loss and gradient)',
  };
  return names[operation]!;
}

const withThreads = ({ contender, threads }: Row) =>
  `${contender}, ${threads} thread${threads > 1 ? 's' : ''}`;

function ratioTable(rows: readonly Row[]): string[] {
  const sizes = [...new Set(rows.map(({ n }) => n))].sort((a, b) => a - b);
  const head = sizes.map((n) => `${short(n)} (${rows.find((row) => row.n === n)!.regime})`);
  const names = [...new Set(rows.map(({ contender }) => contender))];
  const cells = names.map((name) => [
    name,
    ...sizes.map((n) => {
      const row = rows.find((one) => one.contender === name && one.n === n);
      if (!row) return '';
      if (row.ratioLow === 1 && row.ratioHigh === 1) return '1';
      return `${digits(row.ratio)} ± ${digits((row.ratioHigh - row.ratioLow) / 2)}`;
    }),
  ]);
  return table(cells, ['', ...head]);
}

const PATH_HEAD = [
  'path',
  'operation',
  'elements',
  'fits',
  'times plain',
  'share of bytes',
  'ns/element',
];
function pathCells({ contender, operation, n, regime, ratio, cost, ns }: Row): string[] {
  const share = digits(cost.bytes / BYTES[operation]);
  return [contender, operation, short(n), regime, digits(ratio), share, digits(ns / n)];
}

function targetRows(results: Results): string[][] {
  return targets(results).map(({ target, isMet, got }) => [
    isMet === undefined ? '?' : isMet ? 'met' : '**missed**',
    target,
    got,
  ]);
}

function sizeSection({ sizes }: Results): string[] {
  if (sizes.length === 0) return [];
  const names = [...new Set(sizes.map(({ contender }) => contender))];
  const lengths = [...new Set(sizes.map(({ n }) => n))];
  const cells = lengths.map((n) => {
    const own = names.map((name) => sizes.find((row) => row.n === n && row.contender === name)!);
    return [short(n), own[0]!.regime, ...own.map(({ ns }) => digits(ns / n))];
  });
  return [
    '',
    '## Forward, ns/element by length',
    '',
    ...table(cells, ['elements', 'fits', ...names]),
  ];
}

function accuracySection({ accuracy }: Results): string[] {
  if (accuracy.length === 0) return [];
  const names = [...new Set(accuracy.map(({ contender }) => contender))];
  const lengths = [...new Set(accuracy.map(({ n }) => n))];
  const cells = names.map((name) => [
    name,
    ...lengths.map((n) => {
      const row = accuracy.find((one) => one.contender === name && one.n === n);
      return row ? row.relativeError.toExponential(1) : '';
    }),
  ]);
  const head = ['', ...lengths.map((n) => short(n))];
  return ['', '## Relative error of the mean', '', ...table(cells, head)];
}

function costSection({ cold, bundles }: Results): string[] {
  const lines: string[] = [];
  if (cold.length > 0) {
    const head = [
      '',
      'import, ms',
      'first call, ms',
      'memory then, MiB',
      'calls until full speed',
      'ms until full speed',
    ];
    const cells = cold.map((row) => [
      row.package,
      digits(row.importMs),
      digits(row.firstCallMs),
      digits(row.memoryMiB),
      row.callsToSpeed === undefined ? '' : String(row.callsToSpeed),
      row.msToSpeed === undefined ? '' : digits(row.msToSpeed),
    ]);
    lines.push(
      '',
      '## Cold start',
      '',
      'A new process for each, medians. Calls are forward passes over 64K elements.',
    );
    lines.push('', ...table(cells, head));
  }
  if (bundles.length > 0) {
    const cells = bundles.map((row) => [
      row.package,
      row.minified.toLocaleString('en'),
      row.gzipped.toLocaleString('en'),
    ]);
    lines.push('', '## Bytes to download', '', ...table(cells, ['', 'minified', 'and gzipped']));
  }
  return lines;
}

function engineSection(engines: readonly EngineRow[]): string[] {
  if (engines.length === 0) return [];
  const keys = [...new Set(engines.map(({ operation, n }) => `${operation} ${n}`))];
  const cells = [...new Set(engines.map(({ engine }) => engine))].flatMap((engine) =>
    ['branch-free JavaScript', 'naive JavaScript', OURS].map((contender) => [
      engine,
      contender === OURS ? `${OURS}, ns/element` : contender,
      ...keys.map((key) => {
        const row = engines.find(
          (one) =>
            one.engine === engine &&
            one.contender === contender &&
            `${one.operation} ${one.n}` === key,
        );
        return row ? digits(contender === OURS ? row.ns / row.n : row.ratio) : '';
      }),
    ]),
  );
  const head = keys.map((key) => {
    const [operation, n] = key.split(' ');
    return `${operation} ${short(Number(n))}`;
  });
  return [
    '',
    `## Engines: times as long as ${OURS} in the same engine`,
    '',
    ...table(cells, ['', '', ...head]),
  ];
}

/** Reasons that are the same for many tasks are told once. */
function skippedCells(skipped: Results['skipped']): string[][] {
  const byWhy = new Map<string, string[]>();
  for (const { what, why } of skipped) {
    const name = what.split(', ').slice(0, 2).join(', ');
    const key = `${name.split(', forward')[0]!.split(', backward')[0]!.split(', fused')[0]}|${why}`;
    byWhy.set(key, [...(byWhy.get(key) ?? []), what]);
  }
  return [...byWhy].map(([key, list]) => {
    const [name, why] = key.split('|');
    return [list.length > 1 ? `${name}, ${list.length} tasks` : list[0]!, why!];
  });
}

function table(rows: readonly (readonly string[])[], head: readonly string[]): string[] {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replace(/\|/g, '\\|')).join(' | ')} |`;
  return [line(head), `|${' --- |'.repeat(head.length)}`, ...rows.map(line)];
}

/** Three significant digits, without an exponent. */
export function digits(value: number): string {
  if (value === 0) return '0';
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(places, 6));
}
