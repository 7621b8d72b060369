// Standard output: the result, and nothing else.
import type { LossAccumulator } from '#core';

/** Writes, and waits where the reader is slow. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(text))
    await new Promise((resolve) => process.stdout.once('drain', resolve));
}

/** A number as JSON, which has no NaN and no infinities: they are strings. */
export function jsonOf(value: number): string {
  return Number.isFinite(value) ? String(value) : JSON.stringify(String(value));
}

export async function printResult(accumulator: LossAccumulator, isJson: boolean): Promise<void> {
  const loss = accumulator.value();
  await print(isJson ? `{"loss":${jsonOf(loss)},"elements":${accumulator.count}}\n` : `${loss}\n`);
}
