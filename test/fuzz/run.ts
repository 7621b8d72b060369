// npm run fuzz [-- --seconds N] [--seed S] [--case JSON]: searches for a call that goes wrong, among all
// options at once. It prints its seed, and the line that repeats what it finds.
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { seconds: { type: 'string' }, seed: { type: 'string' }, case: { type: 'string' } },
});

function integer(name: 'seconds' | 'seed', fallback: number, least: number): number {
  const text = values[name];
  const value = text === undefined ? fallback : Number(text);
  if (!Number.isSafeInteger(value) || value < least || value >= 2 ** 31)
    throw new RangeError(`--${name} must be an integer from ${least} to 2^31 - 1, got ${text}`);
  return value;
}

let asked: string;
if (values.case === undefined) {
  const seconds = integer('seconds', 30, 1);
  const seed = integer('seed', randomInt(2 ** 31), 0);
  console.log(`${seconds} seconds, --seed ${seed}`);
  asked = JSON.stringify({ seconds, seed });
} else {
  asked = JSON.stringify({ case: JSON.parse(values.case) });
}
const { status } = spawnSync('vitest', ['run', 'test/fuzz.test.ts'], {
  env: { ...process.env, FUZZ: asked },
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
