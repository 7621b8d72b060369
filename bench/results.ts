// What a bench leaves behind: one JSON file, from which the report and the charts are made.

import type { Operation } from './contender.ts';
import type { Data } from './data.ts';
import type { Machine } from './machine.ts';
import type { Sample } from './measure.ts';

/** One contender at one task. */
export interface Row extends Sample {
  readonly contender: string;
  readonly operation: Operation;
  readonly data: Data;
  readonly n: number;
  readonly threads: number;
  /** The smallest memory that holds all that the calls take turns on. */
  readonly regime: string;
}

/** A loss of TensorFlow.js. */
export interface TensorRow extends Row {
  /** Of the mean, to the exact one of the same f32 inputs. */
  readonly relativeError: number;
  /** Bytes that this package copied, in all races together. */
  readonly copied: number;
}

/** Time an element over ever longer arrays. */
export interface SizeRow extends Sample {
  readonly contender: string;
  readonly n: number;
  readonly regime: string;
}

export interface AccuracyRow {
  readonly contender: string;
  readonly n: number;
  /** Of the mean, to the exact one of the same f32 inputs. */
  readonly relativeError: number;
}

/** Milliseconds in a process of its own, medians; MiB of memory that it had then. */
export interface ColdStart {
  readonly package: string;
  readonly importMs: number;
  readonly firstCallMs: number;
  readonly memoryMiB: number;
  /** Calls over 65,536 elements until one was as fast as it stays, and the time until then. */
  readonly callsToSpeed?: number;
  readonly msToSpeed?: number;
}

export interface BundleSize {
  readonly package: string;
  readonly minified: number;
  readonly gzipped: number;
}

/** What one call costs, however little it computes. */
export interface CallRow {
  readonly kind: string;
  readonly n: number;
  /** Nanoseconds, the median. */
  readonly ns: number;
  /** Times as long as this call: the naive loop, and the call in the build of `--baseline`. */
  readonly naive?: number;
  readonly baseline?: number;
}

export interface EngineRow extends Sample {
  readonly engine: string;
  readonly contender: string;
  readonly operation: Operation;
  readonly n: number;
}

/** A worker at the edge, asked over HTTP for a loss and its gradient. */
export interface EdgeRow extends Sample {
  readonly contender: string;
  readonly n: number;
  /** Milliseconds from the start of a process to its first answer, the median. */
  readonly startMs: number;
  /** Of the bundled script. */
  readonly bytes: number;
}

export interface Skipped {
  readonly what: string;
  readonly why: string;
}

export interface Results {
  readonly machine: Machine;
  readonly rounds: number;
  /** Random, sorted and real residuals, one thread. */
  readonly speed: readonly Row[];
  /** All threads, and one thread of this package as a measure. */
  readonly threaded: readonly Row[];
  /** Weighted and masked calls, and inputs of 16 bits, beside the plain call. */
  readonly paths: readonly Row[];
  /** Exact sums beside fast ones, with one thread and with two. */
  readonly exact: readonly Row[];
  readonly calls: readonly CallRow[];
  readonly sizes: readonly SizeRow[];
  readonly accuracy: readonly AccuracyRow[];
  readonly cold: readonly ColdStart[];
  readonly bundles: readonly BundleSize[];
  readonly engines: readonly EngineRow[];
  readonly edge: readonly EdgeRow[];
  /** `smooth-l1/tfjs` beside TensorFlow.js's own loss. */
  readonly tfjs: readonly TensorRow[];
  readonly skipped: readonly Skipped[];
}

/** Results of no section. */
export const nothing = {
  speed: [],
  threaded: [],
  paths: [],
  exact: [],
  calls: [],
  sizes: [],
  accuracy: [],
  cold: [],
  bundles: [],
  engines: [],
  edge: [],
  tfjs: [],
} satisfies Partial<Results>;

/** The results as JSON: one row a line, and four digits, which is more than a round repeats. */
export function toJson(results: Results): string {
  const four = (_: string, value: unknown) =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
  const fields = Object.entries(results).map(([name, value]) => {
    if (!Array.isArray(value)) return `"${name}": ${JSON.stringify(value, four)}`;
    const rows = value.map((row) => `\n${JSON.stringify(row, four)}`);
    return `"${name}": [${rows.join()}]`;
  });
  return `{\n${fields.join(',\n')}\n}\n`;
}

export const OURS = 'smooth-l1';

/** 4096 -> "4K". */
export function short(n: number): string {
  if (n >= 2 ** 20) return `${n / 2 ** 20}M`;
  return n >= 2 ** 10 ? `${n / 2 ** 10}K` : String(n);
}
