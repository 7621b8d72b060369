// Files that outlast the process: the bytes of an accumulator alone, or with what a run needs to go on.
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import type { LossAccumulator } from '#core';
import { DataError, named } from './errors.ts';
import type { Series } from './series.ts';

const BYTES = 128;
const VERSION = 1;

/** Writes a file under its name only when it is complete and on the disk. */
export function replace(path: string, bytes: Uint8Array): void {
  const part = `${path}.${process.pid}.part`;
  const file = openSync(part, 'w');
  try {
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    throw named(path, error);
  }
}

/** What must be the same in a run that goes on, beside the loss, which the accumulator knows. */
export type Identity = Readonly<Record<string, unknown>>;

export function identityOf(all: readonly Series[], options: Identity): Identity {
  const files = all.map(({ role, places }) => [
    role,
    places.map(({ path, part }) => {
      if (path === '-') return { path, part };
      const { size, mtimeMs } = statSync(path);
      return { path, part, size, modified: mtimeMs };
    }),
  ]);
  return { version: VERSION, ...Object.fromEntries(files), ...options };
}

export function save(path: string, accumulator: LossAccumulator, identity: Identity): void {
  const text = Buffer.from(`${JSON.stringify(identity)}\n`);
  replace(path, Buffer.concat([accumulator.toBytes(), text]));
}

/** Reads what a run has left, into its accumulator; false if there is nothing yet. */
export function resume(path: string, accumulator: LossAccumulator, identity: Identity): boolean {
  let file: Buffer;
  try {
    file = readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  let left: Identity;
  try {
    left = JSON.parse(file.subarray(BYTES).toString());
  } catch {
    throw new DataError(`${path}: this is no file of --resume`);
  }
  const now = JSON.parse(JSON.stringify(identity)) as Identity;
  for (const name of new Set([...Object.keys(left), ...Object.keys(now)]))
    if (JSON.stringify(left[name]) !== JSON.stringify(now[name]))
      throw new DataError(
        `${path}: it is of another run: ${name} differ, ${JSON.stringify(left[name])} there, ${JSON.stringify(now[name])} here; remove it to begin anew`,
      );
  try {
    accumulator.merge(new Uint8Array(file.subarray(0, BYTES)));
  } catch (error) {
    throw new DataError(
      `${path}: ${(error as Error).message.replace('LossAccumulator.merge: ', '')}`,
    );
  }
  return true;
}
