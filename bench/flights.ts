// The real data: the delays of the demo's flights, and what the demo's fit predicts of them.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { float32, free } from 'smooth-l1';
import { boxPlot, readFlights, standardise } from '../demo/data.ts';
import { fitRobust } from '../demo/regression.ts';
import type { Pool } from './data.ts';

const FOLDER = fileURLToPath(new URL('../target/bench/', import.meta.url));
const KEPT = `${FOLDER}flights.f32`;

/** Predictions and delays. They are kept in a file, since reading and fitting takes some seconds. */
export async function flightsPool(): Promise<Pool> {
  if (!existsSync(KEPT)) {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(KEPT, await fitFlights());
  }
  const numbers = new Float32Array(new Uint8Array(readFileSync(KEPT)).buffer);
  const n = (numbers.length - 1) / 2;
  return { beta: numbers[0]!, input: numbers.slice(1, 1 + n), target: numbers.slice(1 + n) };
}

/** Beta, then the predictions, then the delays. */
async function fitFlights(): Promise<Float32Array> {
  const flights = await readFlights();
  standardise(flights);
  const n = flights.delay.length;
  const beta = boxPlot(flights.delay).box;
  const scratch = { prediction: float32(n), gradient: float32(n) };
  fitRobust(flights, beta, scratch); // its last epoch leaves its predictions
  const result = new Float32Array(1 + 2 * n);
  result[0] = beta;
  result.set(scratch.prediction, 1);
  result.set(flights.delay, 1 + n);
  for (const array of Object.values({ ...flights, ...scratch })) free(array);
  return result;
}
