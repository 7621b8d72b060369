// npm run fuzz:kernel [-- --seconds N] [--seed S] [--keep] [--case HEX]: searches for a job that the kernel
// does wrong, guided by the code that jobs reach. It prints its seed, and the line that repeats what it finds.
// --keep: the corpus becomes the fewest jobs that reach what was reached.
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(randomInt(1, 2 ** 31)) },
    keep: { type: 'boolean', default: false },
    case: { type: 'string' },
  },
});
for (const name of ['seconds', 'seed'] as const) {
  const value = Number(values[name]);
  // 0 stands for no limit, or a seed from the clock.
  if (!Number.isSafeInteger(value) || value < 1 || value >= 2 ** 31)
    throw new RangeError(`--${name} must be an integer from 1 to 2^31 - 1, got ${values[name]}`);
}
if (values.case !== undefined && !/^([0-9a-f]{2})*$/.test(values.case))
  throw new RangeError(`--case must be bytes in hexadecimal digits, got ${values.case}`);

const work = 'target/fuzz-kernel';
const list = 'test/kernel/fuzz/corpus.txt';

/** A file for each case. */
function write(folder: string, cases: Uint8Array[]): string[] {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return cases.map((one, i) => {
    const file = `${folder}/${i}`;
    writeFileSync(file, one);
    return file;
  });
}

const run = (args: string[], stdio: 'inherit' | 'pipe' = 'inherit') =>
  spawnSync(`${work}/kernel`, args, { stdio, encoding: 'utf8', maxBuffer: 2 ** 30 });

/** Shorter, and with smaller bytes, as long as it fails. */
function shrunk(failing: Uint8Array): Uint8Array {
  const end = Date.now() + 60_000;
  for (let best = failing; ; ) {
    const n = best.length;
    const shorter = [n >> 1, n - 8, n - 1].filter((length) => length >= 0 && length < n);
    const smaller = [...best.entries()].flatMap(([i, byte]) =>
      [0, byte >> 1, byte - 1].filter((x) => x >= 0 && x < byte).map((x) => best.with(i, x)),
    );
    const tries = [...shorter.map((length) => best.subarray(0, length)), ...smaller];
    // One after the other, up to the first that fails.
    const files = write(`${work}/tries`, tries);
    const { stderr, status } = run([`-artifact_prefix=${work}/tries/`, ...files], 'pipe');
    const next = tries[(stderr.match(/^Running: /gm) ?? []).length - 1];
    if (status === 0 || next === undefined || Date.now() > end) return best;
    best = next;
  }
}

if (values.case !== undefined) {
  const files = write(`${work}/case`, [Buffer.from(values.case, 'hex')]);
  process.exit(run([`-artifact_prefix=${work}/case/`, ...files]).status ?? 1);
}

const corpus = `${work}/corpus`;
const found = `${work}/found`;
const lines = readFileSync(list, 'utf8').split('\n').slice(0, -1);
write(
  corpus,
  lines.map((line) => Buffer.from(line, 'hex')),
);
write(found, []);
console.log(`${values.seconds} seconds, --seed ${values.seed}`);
const { status } = run([
  corpus,
  `-artifact_prefix=${found}/`,
  `-max_total_time=${values.seconds}`,
  `-seed=${values.seed}`,
  '-max_len=100',
  '-len_control=0',
]);
if (status !== 0) {
  const [file] = readdirSync(found);
  if (file !== undefined) {
    const hex = Buffer.from(shrunk(readFileSync(`${found}/${file}`))).toString('hex');
    console.error(`This repeats it:\nnpm run fuzz:kernel -- --case ${hex}`);
  }
  process.exit(status ?? 1);
}
if (values.keep) {
  const kept = `${work}/kept`;
  write(kept, []);
  // By what is reached alone, not by how often.
  run(['-set_cover_merge=1', '-use_counters=0', kept, corpus]);
  const cases = readdirSync(kept).map((file) => readFileSync(`${kept}/${file}`, 'hex'));
  writeFileSync(
    list,
    cases
      .sort()
      .map((one) => `${one}\n`)
      .join(''),
  );
}
