// The report of a run in Markdown, ratios first.

import { group } from 'd3-array';
import { markdownTable } from 'markdown-table';
import { OPERATIONS, type Operation } from './contender.ts';
import { DESCRIPTION } from './data.ts';
import { shareOfBytes } from './paths.ts';
import { OURS, type Results, type Row, short } from './results.ts';
import { targets } from './targets.ts';

const TITLES: Readonly<Record<Operation, string>> = {
  forward: 'Forward (mean loss)',
  backward: 'Backward (gradient of the mean)',
  fused: 'Fused (loss and gradient)',
};

/** All that a run has found. */
export function report(results: Results): string {
  const { machine, rounds } = results;
  const sizes = Object.entries(machine.caches).map(([level, bytes]) => `${level} ${short(bytes)}B`);
  return [
    `# Bench of ${machine.date}`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${sizes.join(', ')}. ${machine.engine}, ${machine.system}. Load at the start: ${machine.load.toFixed(1)}.`,
    `Medians of ${rounds} rounds of one run, in which the contenders take turns. Ratios compare times of the same round; the numbers after ± are half the distance of the quartiles. "Far out" is the last size of a table; a virtual machine may call a part of it L3.`,
    ...races(results, ratioWithSpread),
    ...threads(results),
    ...goals(results),
    ...weights(results),
    ...exactSums(results),
    ...calls(results),
    ...lengths(results),
    ...accuracy(results),
    ...coldStarts(results),
    ...bundles(results),
    ...engines(results),
    ...edge(results),
    ...tensorFlow(results),
    ...leftOut(results),
    '',
  ].join('\n\n');
}

/** What one wants to see at the end of a run. */
export function summary(results: Results): string {
  const random = results.speed.filter(({ data }) => data === 'random');
  return [
    ...races({ ...results, speed: random }, ({ ratio }) => digits(ratio)),
    ...calls(results),
    ...goals(results),
    '',
  ].join('\n\n');
}

/** A table whose numbers are flush right; nothing where it has no rows. */
function section(
  title: string,
  words: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  names = 1,
): string[] {
  if (rows.length === 0) return [];
  const align = head.map((_, column) => (column < names ? 'l' : 'r'));
  return [`## ${title}`, words, markdownTable([head, ...rows], { align })].filter(
    (part) => part !== '',
  );
}

/** A table of all that `cellOf` says: a row for each name, a column for each number of elements. */
function bySize<R extends { readonly n: number }>(
  title: string,
  words: string,
  rows: readonly R[],
  nameOf: (row: R) => string,
  cellOf: (row: R) => string,
  headOf: (row: R) => string = ({ n }) => short(n),
): string[] {
  const heads = new Map(rows.map((row) => [row.n, headOf(row)]));
  const cells = [...group(rows, nameOf)].map(([name, own]) => [
    name,
    ...[...heads.keys()].map((n) => {
      const row = own.find((one) => one.n === n);
      return row ? cellOf(row) : '';
    }),
  ]);
  return section(title, words, ['', ...heads.values()], cells);
}

const withRegime = ({ n, regime }: Row) => `${short(n)} (${regime})`;

function ratioWithSpread({ ratio, ratioLow, ratioHigh }: Row): string {
  if (ratioLow === 1 && ratioHigh === 1) return '1';
  return `${digits(ratio)} ± ${digits((ratioHigh - ratioLow) / 2)}`;
}

function races({ speed }: Results, cellOf: (row: Row) => string): string[] {
  return [...group(speed, ({ data }) => data)].flatMap(([data, own]) =>
    OPERATIONS.flatMap((operation) =>
      bySize(
        `${TITLES[operation]}, ${data} residuals: times as long as ${OURS}`,
        `One thread, ${DESCRIPTION[data]}.`,
        own.filter((row) => row.operation === operation),
        ({ contender }) => contender,
        cellOf,
        withRegime,
      ),
    ),
  );
}

function threads({ threaded, machine }: Results): string[] {
  return OPERATIONS.flatMap((operation) =>
    bySize(
      `${TITLES[operation]}, ${machine.cores} threads: times as long`,
      '',
      threaded.filter((row) => row.operation === operation),
      ({ contender, threads }) => `${contender}, ${threads} thread${threads > 1 ? 's' : ''}`,
      ratioWithSpread,
      withRegime,
    ),
  );
}

function goals(results: Results): string[] {
  const rows = targets(results).map(({ target, isMet, got }) => [
    isMet ? 'met' : '**missed**',
    target,
    got,
  ]);
  return section('Targets', '', ['', 'target', 'measured'], rows, 3);
}

function weights({ paths }: Results): string[] {
  return section(
    'Weights, masks and inputs of 16 bits, beside the plain call',
    '',
    ['path', 'operation', 'elements', 'fits', 'times plain', 'share of bytes', 'ns/element'],
    paths.map(({ contender, operation, n, regime, ratio, ns }) => [
      contender,
      operation,
      short(n),
      regime,
      digits(ratio),
      digits(shareOfBytes(contender, operation)),
      digits(ns / n),
    ]),
    2,
  );
}

function exactSums({ exact }: Results): string[] {
  return section(
    'Exact sums, beside the fast sum',
    `${DESCRIPTION.random}. An element takes 8 bytes forward; fused 12, and 16 out of the second-level cache.`,
    ['', 'operation', 'elements', 'threads', 'fits', 'times fast', 'ns/element'],
    exact.map((row) => [
      row.contender,
      row.operation,
      short(row.n),
      String(row.threads),
      row.regime,
      ratioWithSpread(row),
      digits(row.ns / row.n),
    ]),
    2,
  );
}

function calls({ calls }: Results): string[] {
  return section(
    'What one call costs',
    `Arrays in the kernel's memory unless staged. "naive" is the loop in JavaScript that computes the same, and "before" the other build of \`--baseline\`, both in times of this one.`,
    ['call', 'elements', 'ns', 'naive', 'before'],
    calls.map(({ kind, n, ns, naive, baseline }) => [
      kind,
      short(n),
      ns.toFixed(0),
      digits(naive),
      digits(baseline),
    ]),
  );
}

function lengths({ sizes }: Results): string[] {
  return bySize(
    'Forward, ns/element by length',
    '',
    sizes,
    ({ contender }) => contender,
    ({ ns, n }) => digits(ns / n),
    ({ n, regime }) => `${short(n)} (${regime})`,
  );
}

function accuracy({ accuracy }: Results): string[] {
  return bySize(
    'Relative error of the mean',
    '',
    accuracy,
    ({ contender }) => contender,
    ({ relativeError }) => relativeError.toExponential(1),
  );
}

function coldStarts({ cold }: Results): string[] {
  return section(
    'Cold start',
    'A new process for each, medians. Calls are forward passes over 64K elements.',
    [
      '',
      'import, ms',
      'first call, ms',
      'memory then, MiB',
      'calls until full speed',
      'ms until full speed',
    ],
    cold.map((row) => [
      row.package,
      digits(row.importMs),
      digits(row.firstCallMs),
      digits(row.memoryMiB),
      String(row.callsToSpeed ?? ''),
      digits(row.msToSpeed),
    ]),
  );
}

function bundles({ bundles }: Results): string[] {
  return section(
    'Bytes to download',
    '',
    ['', 'minified', 'and gzipped'],
    bundles.map((row) => [
      row.package,
      row.minified.toLocaleString('en'),
      row.gzipped.toLocaleString('en'),
    ]),
  );
}

function engines({ engines }: Results): string[] {
  const columns = [...new Set(engines.map(({ operation, n }) => `${operation} ${short(n)}`))];
  const rows = [...group(engines, (row) => `${row.engine}|${row.contender}`)].map(([key, own]) => {
    const [engine, contender] = key.split('|') as [string, string];
    const isOurs = contender === OURS;
    return [
      engine,
      isOurs ? `${OURS}, ns/element` : contender,
      ...own.map(({ ns, n, ratio }) => digits(isOurs ? ns / n : ratio)),
    ];
  });
  const title = `Engines: times as long as ${OURS} in the same engine`;
  return section(title, '', ['', '', ...columns], rows, 2);
}

function edge({ edge }: Results): string[] {
  const sizes = [...new Set(edge.map(({ n }) => n))];
  return section(
    'At the edge',
    'The worker of examples/edge in workerd, and the same with a JavaScript loop. From the start of a process to its first answer, and requests over HTTP on this machine for loss and gradient, one after the other, in milliseconds; for the loop, times as long.',
    ['', 'script, bytes', 'first answer, ms', ...sizes.map((n) => `${short(n)} elements`)],
    [...group(edge, ({ contender }) => contender)].map(([contender, rows]) => [
      contender,
      rows[0]!.bytes.toLocaleString('en'),
      digits(rows[0]!.startMs),
      ...rows.map(({ ns, ratio }) => digits(contender === OURS ? ns / 1e6 : ratio)),
    ]),
  );
}

function tensorFlow({ tfjs }: Results): string[] {
  return section(
    'In TensorFlow.js',
    `smooth-l1/tfjs beside the loss of TensorFlow.js on its WebAssembly backend, over the same tensors, one thread; ${DESCRIPTION.random}. Times are those of whole calls, with what TensorFlow.js does in them. ${OURS} copied ${tfjs[0]?.copied} bytes.`,
    ['', 'operation', 'elements', 'times as long', 'ms', 'relative error of the mean'],
    tfjs.map((row) => [
      row.contender,
      row.operation,
      short(row.n),
      ratioWithSpread(row),
      digits(row.ns / 1e6),
      row.relativeError.toExponential(1),
    ]),
    2,
  );
}

/** Reasons that are the same for many tasks of a contender are told once. */
function leftOut({ skipped }: Results): string[] {
  const nameOf = (what: string) => what.replace(/, (forward|backward|fused), .*/, '');
  const rows = [...group(skipped, ({ what, why }) => `${nameOf(what)}|${why}`)].map(
    ([key, tasks]) => {
      const [name, why] = key.split('|') as [string, string];
      return [tasks.length > 1 ? `${name}, ${tasks.length} tasks` : tasks[0]!.what, why];
    },
  );
  return section('Left out', '', ['what', 'why'], rows, 2);
}

/** Three significant digits, without an exponent; nothing for what was not measured. */
function digits(value: number | undefined): string {
  if (value === undefined) return '';
  if (value === 0) return '0';
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(places, 6));
}
