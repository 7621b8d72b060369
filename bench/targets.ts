// What this package wants to reach, beside what a run measured.

import type { Operation } from './contender.ts';
import { exact as exactSum } from './exact.ts';
import { converted, shareOfBytes } from './paths.ts';
import { OURS, type Results, type Row, short } from './results.ts';

export interface Verdict {
  readonly target: string;
  readonly isMet: boolean;
  readonly got: string;
}

/** A number that a target speaks about, and where it was found. */
interface Found {
  readonly value: number;
  readonly where: string;
}

/** The targets that the run has measured. */
export function targets({ speed, threaded, paths, exact, tfjs, machine }: Results): Verdict[] {
  /** Rows of a contender whose name begins so, with random residuals and one thread by default. */
  function rows(name: string, operation: Operation, also: Partial<Row> = {}): Row[] {
    const wanted = { data: 'random', threads: 1, operation, ...also };
    return [...speed, ...threaded].filter(
      (row) =>
        row.contender.startsWith(name) &&
        Object.entries(wanted).every(([key, value]) => row[key as keyof Row] === value),
    );
  }
  const ratios = (list: readonly Row[]): Found[] =>
    list.map((row) => ({
      value: row.ratio,
      where: `${row.operation}, ${short(row.n)}${row.threads > 1 ? `, ${row.threads} threads` : ''}`,
    }));
  const { L2 = 0 } = machine.caches;
  const biggest = Math.max(0, ...speed.map(({ n }) => n));
  const inL2 = (row: Row) => row.regime === 'L2' && row.n === 65536;
  const inCache = (row: Row) => row.n >= 4096 && row.n * 12 <= L2;
  // The last size, whatever it is called: a virtual machine may be told of an L3 that it shares.
  const far = (row: Row) => row.n === biggest;
  const verdicts: Verdict[] = [];

  function add(
    target: string,
    found: readonly Found[],
    isGood: (value: number) => boolean,
    worstOf: (...values: number[]) => number,
  ): void {
    if (found.length === 0) return;
    const value = worstOf(...found.map((one) => one.value));
    const { where } = found.find((one) => one.value === value)!;
    const good = found.filter((one) => isGood(one.value)).length;
    const of = found.length > 1 ? `; holds in ${good} of ${found.length} cases` : '';
    verdicts.push({
      target,
      isMet: good === found.length,
      got: `${value.toFixed(2)} at worst (${where})${of}`,
    });
  }
  function atLeast(target: string, limit: number, found: readonly Found[]): void {
    add(target, found, (value) => value >= limit, Math.min);
  }
  function atMost(target: string, limit: number, found: readonly Found[]): void {
    add(target, found, (value) => value <= limit, Math.max);
  }

  const native = rows('native, the kernel at 128 bits', 'forward');
  atLeast('forward: 0.9 of the native 128-bit build in L2', 0.9, ratios(native.filter(inL2)));
  atLeast(
    `forward: 0.95 of the native 128-bit build far out (${short(biggest)})`,
    0.95,
    ratios(native.filter(far)),
  );
  atLeast(
    `forward: 0.9 of a loop that only reads, far out (${short(biggest)})`,
    0.9,
    ratios(rows('limit', 'forward').filter(far)),
  );
  for (const [operation, factor] of [
    ['forward', 7],
    ['fused', 5.5],
  ] as const) {
    atLeast(
      `${operation}: ${factor} times branch-free JavaScript in cache`,
      factor,
      ratios(rows('branch-free', operation).filter(inCache)),
    );
  }
  for (const operation of ['forward', 'fused'] as const) {
    atLeast(
      `${operation}: 40 times naive JavaScript on random residuals, from 64K elements in cache`,
      40,
      ratios(rows('naive', operation).filter((row) => row.n >= 65536 && row.n <= 2 ** 20)),
    );
  }
  for (const threads of new Set([1, machine.cores])) {
    const also = { threads };
    const own = threads > 1 ? `${threads} threads` : 'one thread';
    atLeast(`PyTorch forward, ${own}: 1 times`, 1, ratios(rows('PyTorch', 'forward', also)));
    atLeast(
      `PyTorch forward plus backward, ${own}: 2 times`,
      2,
      ratios(rows('PyTorch', 'fused', also)),
    );
  }
  for (const [operation, factor] of [
    ['forward', 50],
    ['fused', 100],
  ] as const) {
    const peers = rows('TF.js', operation, { n: 2 ** 20 }).filter(({ contender }) =>
      contender.endsWith('wasm'),
    );
    atLeast(`${operation}: ${factor} times TF.js wasm at 1M`, factor, ratios(peers));
  }
  const inTensorFlow = tfjs.filter(({ operation, n }) => operation === 'fused' && n === 2 ** 20);
  const isOwn = ({ contender }: Row) => contender.startsWith(OURS);
  const where = 'fused, 1M';
  atLeast(
    `smooth-l1/tfjs, ${where}: 50 times TF.js wasm`,
    50,
    ratios(inTensorFlow.filter((row) => !isOwn(row))),
  );
  for (const { relativeError, copied } of inTensorFlow.filter(isOwn)) {
    verdicts.push({
      target: `smooth-l1/tfjs, ${where}: relative error below 1e-7, no byte copied`,
      isMet: relativeError < 1e-7 && copied === 0,
      got: `${relativeError.toExponential(1)}, ${copied} bytes`,
    });
  }
  for (const data of ['random', 'sorted'] as const) {
    const tiny = (n: number) =>
      (['forward', 'backward', 'fused'] as const).flatMap((operation) =>
        ratios(rows('naive', operation, { data, n })),
      );
    const inverse = tiny(16).map(({ value, where }) => ({ value: 1 / value, where }));
    atMost(`16 elements, ${data}: at most twice as long as naive JavaScript`, 2, inverse);
    atLeast(`64 elements, ${data}: at least as fast as naive JavaScript`, 1, tiny(64));
  }
  for (const operation of ['forward', 'fused'] as const) {
    const n = 2 ** 24;
    const [own] = rows(`${OURS}, staged`, operation, { n });
    const [free] = rows('branch-free', operation, { n });
    const where = `${operation}, 16M`;
    atMost(
      `${operation}, staged at 16M: at most 2.2 times the zero-copy call`,
      2.2,
      own ? [{ value: own.ratio, where }] : [],
    );
    atLeast(
      `${operation}, staged at 16M: 2 times branch-free JavaScript`,
      2,
      own && free ? [{ value: free.ratio / own.ratio, where }] : [],
    );
  }
  for (const [operation, threads, n, limit] of [
    ['forward', 1, 2 ** 16, 2.2],
    ['forward', 1, 2 ** 24, 1.15],
    ['forward', 2, 2 ** 24, 1.05],
    ['fused', 1, 2 ** 16, 1.8],
    ['fused', 1, 2 ** 24, 1.1],
    ['fused', 2, 2 ** 24, 1.05],
  ] as const) {
    const rows = exact.filter(
      (row) =>
        row.contender === exactSum.name &&
        row.operation === operation &&
        row.threads === threads &&
        row.n === n,
    );
    const own = threads > 1 ? `${threads} threads` : 'one thread';
    atMost(
      `exact, ${operation}, ${short(n)}, ${own}: ${limit} times the fast sum`,
      limit,
      ratios(rows),
    );
  }
  for (const [half, limit] of [
    ['bfloat16', 0.7],
    ['float16', 1],
  ] as const) {
    const ratioOf = (name: string) =>
      paths.find(
        (row) => row.contender === name && row.operation === 'forward' && row.n === 2 ** 24,
      )?.ratio;
    const [own, other] = [ratioOf(`${half} inputs`), ratioOf(converted(half))];
    if (own === undefined || other === undefined) continue;
    const where = 'forward, 16M';
    atMost(`${half}, forward, 16M: ${limit} times float32`, limit, [{ value: own, where }]);
    atLeast(`${half}, forward, 16M: 8 times converting first`, 8, [{ value: other / own, where }]);
  }
  for (const name of new Set(paths.map(({ contender }) => contender))) {
    const found = paths
      .filter(({ contender }) => contender === name && contender !== 'plain')
      .map((row) => ({
        value: row.ratio / shareOfBytes(name, row.operation),
        where: `${row.operation}, ${short(row.n)}`,
      }));
    if (name !== 'plain' && !name.includes('float'))
      atMost(`${name}: within 10 % of its bytes' share`, 1.1, found);
  }
  return verdicts;
}
