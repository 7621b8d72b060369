// Adds what runs on several machines have left with --partial.
import { readFile } from 'node:fs/promises';
import { LossAccumulator } from '#core';
import { replace } from './checkpoint.ts';
import { DataError } from './errors.ts';
import { placesOf } from './open.ts';
import { printResult } from './print.ts';

export interface MergeSettings {
  readonly files: readonly string[];
  readonly json: boolean;
  readonly partial: string | undefined;
}

export async function merge({ files, json, partial }: MergeSettings): Promise<void> {
  let total: LossAccumulator | undefined;
  for (const argument of files)
    for (const { path } of await placesOf(argument)) {
      const bytes = new Uint8Array(await readFile(path));
      try {
        if (total) total.merge(bytes);
        else total = LossAccumulator.from(bytes);
      } catch (error) {
        throw new DataError(
          `${path}: ${(error as Error).message.replace(/^LossAccumulator\.\w+: /, '')}`,
        );
      }
    }
  const sum = total as LossAccumulator;
  if (partial !== undefined) replace(partial, sum.toBytes());
  await printResult(sum, json);
}
