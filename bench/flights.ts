// The real data: the flights of the demo, and its predictions of their delays.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { float32, free } from 'smooth-l1';
import { fitRobust } from '../demo/regression.ts';
import type { Pool } from './data.ts';

const PARQUET = '../node_modules/vega-datasets/data/flights-3m.parquet';
const KEPT = '../target/bench/flights.f32';

/**
 * Predictions and delays of the demo's flights, after its fit. The arrays are kept in a file, since
 * reading and fitting takes some seconds.
 */
export async function flightsPool(): Promise<Pool> {
  const file = fileURLToPath(new URL(KEPT, import.meta.url));
  if (!existsSync(file)) {
    mkdirSync(new URL('.', new URL(KEPT, import.meta.url)), { recursive: true });
    writeFileSync(file, new Uint8Array((await fitFlights()).buffer));
  }
  const numbers = new Float32Array(new Uint8Array(readFileSync(file)).buffer);
  const n = (numbers.length - 1) / 2;
  return {
    beta: numbers[0]!,
    input: numbers.slice(1, 1 + n),
    target: numbers.slice(1 + n),
  };
}

/** Beta, then the predictions, then the delays. */
async function fitFlights(): Promise<Float32Array> {
  const file = await asyncBufferFromFile(fileURLToPath(new URL(PARQUET, import.meta.url)));
  const metadata = await parquetMetadataAsync(file);
  const n = Number(metadata.num_rows);
  const columns = {
    delay: float32(n),
    hour: float32(n),
    distance: float32(n),
    weekend: float32(n),
  };
  await parquetRead({
    file,
    metadata,
    compressors,
    columns: ['date', 'delay', 'distance'],
    parsers: { timestampFromMicroseconds: (micros) => Number(micros) / 60e6 },
    onChunk({ columnName, columnData, rowStart }) {
      for (let i = 0; i < columnData.length; i++) {
        const value = Number(columnData[i] ?? NaN);
        if (columnName !== 'date')
          columns[columnName as 'delay' | 'distance'][rowStart + i] = value;
        else {
          // As in the demo, the day begins at four.
          const minutes = value - 240;
          const weekday = Math.floor(minutes / 1440) % 7;
          columns.hour[rowStart + i] = ((minutes % 1440) + 240) / 60;
          columns.weekend[rowStart + i] = weekday === 2 || weekday === 3 ? 1 : 0;
        }
      }
    },
  });
  for (const column of [columns.hour, columns.distance, columns.weekend]) standardise(column);
  const sorted = columns.delay.slice().sort();
  const beta = sorted[Math.floor(0.75 * (n - 1))]! - sorted[Math.floor(0.25 * (n - 1))]!;
  const scratch = { prediction: float32(n), gradient: float32(n) };
  fitRobust(columns, beta, scratch); // its last epoch leaves its predictions
  const result = new Float32Array(1 + 2 * n);
  result[0] = beta;
  result.set(scratch.prediction, 1);
  result.set(columns.delay, 1 + n);
  for (const array of Object.values({ ...columns, ...scratch })) free(array);
  return result;
}

function standardise(column: Float32Array): void {
  let [sum, squares] = [0, 0];
  for (const x of column) {
    sum += x;
    squares += x * x;
  }
  const mean = sum / column.length;
  const sd = Math.sqrt(squares / column.length - mean * mean);
  for (let i = 0; i < column.length; i++) column[i] = (column[i]! - mean) / sd;
}
