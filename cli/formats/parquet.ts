// Parquet, a column of it, one row group after the other.
import { type AsyncBuffer, parquetMetadataAsync, parquetRead, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import type { FileBytes } from '../bytes.ts';
import { DataError } from '../errors.ts';
import type { Column } from '../numbers.ts';
import { choose } from './choose.ts';
import { type Batch, Batches } from './values.ts';

export async function parquet(
  path: string,
  bytes: FileBytes,
  wanted: string | undefined,
): Promise<Column> {
  const byteLength = bytes.left;
  const file: AsyncBuffer = {
    byteLength,
    async slice(start, end = byteLength) {
      const part = new Uint8Array(end - start);
      if ((await bytes.readAt(part, start)) < part.length) throw new Error('the file is truncated');
      return part.buffer;
    },
  };
  const metadata = await parquetMetadataAsync(file).catch((error) => {
    throw new DataError(`${path}: this is no .parquet file: ${error.message}`);
  });
  const names = parquetSchema(metadata).children.map(({ element }) => element.name);
  const column = choose(path, 'column', names, wanted);
  const name = `${path}:${column}`;
  const groups = metadata.row_groups.map(({ num_rows }) => Number(num_rows));
  let group = 0;
  let row = 0;
  const next = async (): Promise<Batch | undefined> => {
    const rows = groups[group++];
    if (rows === undefined) return undefined;
    const parts: ArrayLike<unknown>[] = [];
    await parquetRead({
      file,
      metadata,
      columns: [column],
      rowStart: row,
      rowEnd: row + rows,
      compressors,
      onChunk: ({ columnData }) => parts.push(columnData),
    }).catch((error) => {
      throw new DataError(`${name}, rows ${row + 1} to ${row + rows}: ${error.message}`);
    });
    row += rows;
    const values =
      parts.length === 1
        ? (parts[0] as ArrayLike<unknown>)
        : parts.flatMap((part) => Array.from(part));
    if (values.length !== rows)
      throw new DataError(`${name}: a row group has ${values.length} values in ${rows} rows`);
    return values;
  };
  return new Batches(name, Number(metadata.num_rows), next, () => bytes.close());
}
