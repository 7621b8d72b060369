// The data: three million flights in the USA, decoded straight into the kernel's memory.

import { fileURLToPath } from 'node:url';
import { deviation, extent, mean, quantile } from 'd3-array';
import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { float32 } from 'smooth-l1';

const FILE = new URL('../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url);

// Minutes. The day begins at four: who leaves at one in the morning belongs to the evening before.
export const DAY = 24 * 60;
const DAWN = 4 * 60;

/** A row for each flight, every column in the kernel's memory. */
export interface Flights {
  /** Minutes late on arrival; negative is early. */
  readonly delay: Float32Array;
  /** Time of departure, in hours from 4 to 28: after midnight it is still the evening before. */
  readonly hour: Float32Array;
  /** Miles. */
  readonly distance: Float32Array;
  /** 1 on Saturday and Sunday, else 0. */
  readonly weekend: Float32Array;
}

/** Decodes the file, a row group at a time. `onValues` hears how many values came, and of how many. */
export async function readFlights(
  onValues: (count: number, total: number) => void = () => {},
): Promise<Flights> {
  const file = await asyncBufferFromFile(fileURLToPath(FILE)).catch(() => {
    throw new Error(`The flights are not at ${FILE.pathname}: run 'npm ci', which brings them.`);
  });
  const metadata = await parquetMetadataAsync(file);
  const n = Number(metadata.num_rows);
  const flights = {
    delay: float32(n),
    hour: float32(n),
    distance: float32(n),
    weekend: float32(n),
  };
  const store: Record<string, (row: number, value: number) => void> = {
    date(row, minutes) {
      const sinceDawn = minutes - DAWN;
      flights.hour[row] = ((sinceDawn % DAY) + DAWN) / 60;
      const weekday = Math.floor(sinceDawn / DAY) % 7; // 0 is a Thursday, as 1 January 1970 was
      flights.weekend[row] = weekday === 2 || weekday === 3 ? 1 : 0;
    },
    delay(row, minutes) {
      flights.delay[row] = minutes;
    },
    distance(row, miles) {
      flights.distance[row] = miles;
    },
  };
  const columns = Object.keys(store);
  await parquetRead({
    file,
    metadata,
    compressors,
    columns,
    parsers: { timestampFromMicroseconds: (micros) => Number(micros) / 60e6 }, // not Date objects
    onChunk({ columnName, columnData, rowStart }) {
      const put = store[columnName]!;
      for (let i = 0; i < columnData.length; i++) {
        put(rowStart + i, Number(columnData[i] ?? NaN)); // a missing value must not become 0
      }
      onValues(columnData.length, n * columns.length);
    },
  });
  return flights;
}

/** The mean and the standard deviation that a column had before it was standardised. */
export interface Scale {
  readonly mean: number;
  readonly sd: number;
}
export type Scales = Record<'hour' | 'distance' | 'weekend', Scale>;

/** Each feature less its mean, divided by its standard deviation. */
export function standardise({ hour, distance, weekend }: Flights): Scales {
  const one = (column: Float32Array) => {
    const scale = { mean: mean(column)!, sd: deviation(column)! };
    for (let i = 0; i < column.length; i++) column[i] = (column[i]! - scale.mean) / scale.sd;
    return scale;
  };
  return { hour: one(hour), distance: one(distance), weekend: one(weekend) };
}

/** The numbers of a box plot. Far out, three boxes away from the box, are the outliers. */
export function boxPlot(delay: Float32Array) {
  const [low, high] = [quantile(delay, 0.25)!, quantile(delay, 0.75)!];
  const [first, last] = extent(delay) as [number, number];
  const box = high - low;
  const [from, to] = [low - 3 * box, high + 3 * box];
  const isUsual = (minutes: number) => minutes >= from && minutes <= to;
  const outliers = delay.reduce((sum, minutes) => sum + (isUsual(minutes) ? 0 : 1), 0);
  return { low, high, box, from, to, first, last, isUsual, outliers };
}
