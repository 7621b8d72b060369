/** The form of the two JSON files: how to read a case, call the oracle with it, compare with it. */

import { readFileSync } from 'node:fs';
import type { Form, Job, Layout } from '../oracle.ts';

/** A case's options, by the names of the public API. */
export interface Options
  extends Pick<
    Job,
    | 'rowLength'
    | 'insideWeights'
    | 'outsideWeights'
    | 'mask'
    | 'ignoreNaNTargets'
    | 'reduction'
    | 'divisor'
    | 'minDivisor'
    | 'onZeroDivisor'
    | 'scale'
  > {
  beta?: number | number[];
  sigma?: number;
  delta?: number | number[];
  gradOutput?: Layout;
}

export const outputs = [
  'loss',
  'gradInput',
  'gradInsideWeights',
  'gradOutsideWeights',
  'hessian',
  'thresholdGrad',
] as const;
export type Output = (typeof outputs)[number];

export interface Tolerance {
  /** Units in the last place of the expected value as an f32. */
  ulp: number;
  /** Where a sum cancels, its error is measured against its terms: this much is allowed too. */
  absolute?: { [output in Output]?: number };
}

export interface Case {
  name: string;
  form: Form;
  options: Options;
  input: number[];
  target: number[];
  expected: { [output in Output]?: number | number[] };
  tolerance: Tolerance;
  /** Whether a 0 or -0 of `gradInput` must have that sign. */
  signedZeros?: true;
}

const named = new Map<unknown, number>([
  ['nan', NaN],
  ['inf', Infinity],
  ['-inf', -Infinity],
  ['-0', -0],
]);

/** Reads JSON in which the numbers that JSON lacks are strings. */
export function parse(text: string): unknown {
  return JSON.parse(text, (key, x) => (key === 'onZeroDivisor' ? x : (named.get(x) ?? x)));
}

/** The inverse of `parse`. */
export function stringify(value: unknown): string {
  return JSON.stringify(value, (_, x) => {
    for (const [name, number] of named)
      if (typeof x === 'number' && Object.is(x, number)) return name;
    return x;
  });
}

export function readCases(file: URL): Case[] {
  return (parse(readFileSync(file, 'utf8')) as { cases: Case[] }).cases;
}

export function jobOf({
  form,
  options,
  input,
  target,
}: Pick<Case, 'form' | 'options' | 'input' | 'target'>): Job {
  const { beta, sigma, delta, ...rest } = options;
  const given = beta ?? delta ?? (sigma === undefined ? 1 : 1 / (sigma * sigma));
  const threshold = typeof given === 'number' ? Math.fround(given) : given.map(Math.fround);
  return { form, threshold, input, target, ...rest };
}

/** Whether one number of an output is right. */
export function matches(
  actual: number,
  expected: number,
  output: Output,
  { tolerance, signedZeros }: Pick<Case, 'tolerance' | 'signedZeros'>,
): boolean {
  if (signedZeros && output === 'gradInput' && expected === 0) return Object.is(actual, expected);
  if (Object.is(Math.fround(expected), Math.fround(actual))) return true;
  const allowed = Math.max(tolerance.absolute?.[output] ?? 0, tolerance.ulp * ulpOf(expected));
  return Number.isFinite(expected) && Math.abs(actual - expected) <= allowed;
}

/** The distance between neighbouring f32 numbers around x. */
function ulpOf(x: number): number {
  return 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(x)))) - 23);
}
