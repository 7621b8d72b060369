// What runs inside each engine of --engines: a few races of this package with plain JavaScript. It is
// bundled into one file, and uses nothing that a browser does not have.

import { backend } from 'smooth-l1';
import { raceRight } from './check.ts';
import { randomPool } from './data.ts';
import { branchFree, naive, object } from './javascript.ts';
import type { Effort } from './measure.ts';
import type { EngineRow } from './results.ts';

const SIZES = [256, 2 ** 16, 2 ** 20, 2 ** 22];

/** The address of a page may ask for a shorter run, and so may the first argument of a script. */
async function run(isQuick: boolean): Promise<Omit<EngineRow, 'engine'>[]> {
  const effort: Effort = isQuick
    ? { rounds: 3, batch: 10, warmUp: 50 }
    : { rounds: 11, batch: 20, warmUp: 300 };
  const sizes = isQuick ? SIZES.slice(0, 3) : SIZES;
  const pool = randomPool(sizes.at(-1)!);
  const rows: Omit<EngineRow, 'engine'>[] = [];
  for (const operation of ['forward', 'fused'] as const) {
    for (const n of sizes) {
      const task = { operation, n, windows: Math.max(1, 2 ** 16 / n), threads: 1, pool };
      const contenders = [object, branchFree, naive];
      const samples = await raceRight(task, contenders, effort);
      for (const [j, { name }] of contenders.entries()) {
        rows.push({ contender: name, operation, n, ...samples[j]! });
      }
    }
  }
  return rows;
}

const isPage = typeof document !== 'undefined';
const isQuick = isPage
  ? location.search === '?quick'
  : (globalThis as { process?: { argv: string[] } }).process?.argv[2] === 'quick';
const answer = await run(isQuick).then(
  (rows) => ({ backend, rows }),
  (error: unknown) => ({ error: String(error) }),
);
if (isPage) await fetch('/result', { method: 'POST', body: JSON.stringify(answer) });
else console.log(JSON.stringify(answer));
