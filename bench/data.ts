// What the passes work on. The residuals decide how well a processor guesses the branches of a loop
// that has them, and so by up to five times how fast that loop is; other loops do not care.

import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

export type Data = 'random' | 'sorted' | 'flights';

export const DESCRIPTION: Readonly<Record<Data, string>> = {
  random: 'independent residuals, uniform in -2 to 2: half of them are inside of beta = 1',
  sorted: 'the same residuals in order: each branch goes one way, then the other',
  flights: 'the residuals of the robust fit of the demo, flight after flight',
};

/** Arrays outside of the kernel's memory, and the threshold that belongs to them. */
export interface Pool {
  readonly input: Float32Array;
  readonly target: Float32Array;
  readonly beta: number;
}

/** Numbers from 0 to 1 that are the same in every run. */
export function uniform(seed: number): () => number {
  const generator = xoroshiro128plus(seed);
  return () => uniformFloat32(generator);
}

export function randomPool(n: number): Pool {
  const random = uniform(1);
  const input = new Float32Array(n);
  const target = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    target[i] = 2 * random() - 1;
    input[i] = target[i]! + 4 * random() - 2;
  }
  return { input, target, beta: 1 };
}

/** The first `n` elements of a pool, the smallest residual first. */
export function sortedPool(pool: Pool, n: number): Pool {
  const target = pool.target.slice(0, n);
  const residuals = pool.input.slice(0, n).map((x, i) => x - target[i]!);
  residuals.sort((a, b) => Math.abs(a) - Math.abs(b));
  return { input: residuals.map((d, i) => d + target[i]!), target, beta: pool.beta };
}
