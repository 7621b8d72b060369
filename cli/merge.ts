// Adds what runs on several machines have left with --partial.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { LossAccumulator } from '#core';
import { replace } from './checkpoint.ts';
import { DataError, named, UsageError } from './errors.ts';
import { placesOf } from './open.ts';
import { printResult } from './print.ts';

export interface MergeSettings {
  readonly files: readonly string[];
  readonly json: boolean;
  readonly partial: string | undefined;
}

export async function merge({ files, json, partial }: MergeSettings): Promise<void> {
  let total: LossAccumulator | undefined;
  const seen = new Set<string>();
  for (const argument of files)
    for (const { path } of await placesOf(argument)) {
      if (seen.has(resolve(path)))
        throw new UsageError(`merge: ${path} is given twice, and would be counted twice`);
      seen.add(resolve(path));
      const bytes = await readFile(path).catch((error) => {
        throw named(path, error);
      });
      try {
        if (total) total.merge(bytes);
        else total = LossAccumulator.from(bytes);
      } catch (error) {
        throw new DataError(
          `${path}: ${(error as Error).message.replace(/^LossAccumulator\.\w+: /, '')}`,
        );
      }
    }
  if (partial !== undefined && seen.has(resolve(partial)))
    throw new UsageError(`merge: ${partial} is one of the files, so --partial cannot write it`);
  const sum = total as LossAccumulator;
  if (partial !== undefined) replace(partial, sum.toBytes());
  await printResult(sum, json);
}
