// From an argument to columns of numbers: its files, their formats, which of their parts. Readers of formats are
// loaded when a file needs them.
import { existsSync } from 'node:fs';
import { type Bytes, FileBytes, StreamBytes } from './bytes.ts';
import { DataError, named, UsageError } from './errors.ts';
import { MAGIC, npy } from './formats/npy.ts';
import { type Column, Numbers, type NumberType } from './numbers.ts';

/** A file, and which part of it. */
export interface Place {
  /** `-`: standard input. */
  readonly path: string;
  readonly part: string | undefined;
}

const WITH_PARTS = /^(.*\.(?:npz|safetensors|parquet|arrow|feather|csv|tsv)|-)(?::(.+))?$/is;
const GLOB = /[*?[\]{}]/;

/** The files of an argument such as `data/*.parquet:price`, in order. */
export async function placesOf(argument: string): Promise<Place[]> {
  const [, path = argument, part] = existsSync(argument) ? [] : (WITH_PARTS.exec(argument) ?? []);
  if (path === '-' || existsSync(path) || !GLOB.test(path)) return [{ path, part }];
  const { glob } = await import('tinyglobby');
  const paths = await glob([path], { expandDirectories: false });
  if (paths.length === 0) throw new DataError(`${path}: no file fits this pattern`);
  return paths.sort().map((each) => ({ path: each, part }));
}

/** Opens a file. `inOrder`: its numbers row by row, however they lie. */
export async function openColumn(
  { path, part }: Place,
  type: NumberType | undefined,
  inOrder: boolean,
): Promise<Column> {
  if (path === '-') return openInput(part, type, inOrder);
  const extension = /\.(\w+)$/.exec(path)?.[1]?.toLowerCase();
  const bytes = await FileBytes.open(path);
  try {
    switch (extension) {
      case 'npz':
        return await (await import('./formats/npz.ts')).npz(path, bytes, part, inOrder);
      case 'npy':
        return await npy(path, bytes, inOrder);
      case 'safetensors':
        return await (await import('./formats/safetensors.ts')).safetensors(path, bytes, part);
      case 'csv':
      case 'tsv':
        return await (await import('./formats/csv.ts')).csv(path, bytes, part);
      case 'parquet':
        return await (await import('./formats/parquet.ts')).parquet(path, bytes, part);
      case 'arrow':
      case 'feather':
        return await (await import('./formats/arrow.ts')).arrow(path, bytes, part);
      default:
        if (!type)
          throw new UsageError(
            `${path}: the format is not known by the name; for raw numbers give --type, such as --type f4`,
          );
        return new Numbers(path, bytes, type);
    }
  } catch (error) {
    await bytes.close();
    throw named(path, error);
  }
}

/** Standard input: .npy by its first bytes, raw numbers with a type, otherwise CSV. */
async function openInput(
  part: string | undefined,
  type: NumberType | undefined,
  inOrder: boolean,
): Promise<Column> {
  const name = 'standard input';
  const bytes = new StreamBytes(process.stdin);
  const start = Buffer.alloc(MAGIC.length);
  const read = await bytes.read(start);
  bytes.unread(start.subarray(0, read));
  if (start.equals(MAGIC)) return npy(name, bytes, inOrder);
  if (type) return new Numbers(name, bytes as Bytes, type);
  return (await import('./formats/csv.ts')).csv(name, bytes, part);
}
