// Standard output: the result, and nothing else.
import type { LossAccumulator } from '#core';

// `print` throws it.
process.stdout.on('error', () => {});

/** Writes, and waits where the reader is slow. */
export async function print(text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

/** Whether a reader had enough, such as `head`, and has closed the pipe. */
export function isClosedPipe(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EPIPE';
}

/** A number as JSON, which has no NaN and no infinities: they are strings. */
export function jsonOf(value: number): string {
  return Number.isFinite(value) ? String(value) : JSON.stringify(String(value));
}

export async function printResult(accumulator: LossAccumulator, isJson: boolean): Promise<void> {
  const loss = accumulator.value();
  await print(isJson ? `{"loss":${jsonOf(loss)},"elements":${accumulator.count}}\n` : `${loss}\n`);
}
