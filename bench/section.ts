// What a section of the bench is: it measures, and returns its part of the results.

import type { Contender } from './contender.ts';
import type { Pool } from './data.ts';
import type { Limit } from './limit.ts';
import type { Machine } from './machine.ts';
import type { Effort } from './measure.ts';
import type { Results, Skipped } from './results.ts';

export type Section = (setup: Setup) => Promise<Partial<Results>>;

export interface Setup {
  readonly machine: Machine;
  /** A look, in place of numbers to publish. */
  readonly isQuick: boolean;
  readonly effort: Effort;
  readonly sizes: readonly number[];
  readonly pool: Pool;
  /** Those that this run has been asked for; the first is this package. */
  readonly contenders: readonly Contender[];
  readonly limit: Limit;
  /** Whether other packages are there. */
  readonly hasPeers: boolean;
  /** The folder of another build's index.js. */
  readonly baseline: string | undefined;
  /** What was left out. */
  readonly skipped: Skipped[];
}
