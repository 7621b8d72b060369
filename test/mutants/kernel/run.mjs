// node run.mjs DIRECTORY: builds the tests there with all mutants in them, and looks for each whether a test fails:
// first the small ones, then all. Those that no test finds are in survivors.txt.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const [directory] = process.argv.slice(2);
const mutants = readFileSync(`${directory}/mutants.tsv`, 'utf8')
  .split('\n')
  .filter(Boolean)
  .map((line) => line.split('\t'));

function build(quick) {
  const args = ['test', '--locked', '--test', 'kernel', '--no-run', '--message-format=json'];
  const { status, stdout } = spawnSync('cargo', args, {
    cwd: directory,
    env: {
      ...process.env,
      ...(quick && { SMOOTH_L1_QUICK: '1' }),
      CARGO_TARGET_DIR: `target/${quick ? 'quick' : 'full'}`,
      CARGO_PROFILE_TEST_DEBUG: 'false',
      RUSTFLAGS: '-Awarnings',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error('the mutants do not compile');
  const made = stdout.split('\n').filter((line) => line.includes('"executable":"'));
  return JSON.parse(made.at(-1)).executable;
}

/** Seconds that the test takes, or undefined if it fails. A mutant may never end: it has so many seconds. */
function passes(program, test, mutant, limit) {
  const start = performance.now();
  const { status } = spawnSync(
    'sh',
    ['-c', `ulimit -t ${limit}; ulimit -c 0; exec "$0" --exact "$1"`, program, test],
    { cwd: directory, env: { ...process.env, MUTANT: mutant }, stdio: 'ignore' },
  );
  return status === 0 ? (performance.now() - start) / 1000 : undefined;
}

/** Those of the mutants that no test of this build finds. */
function survivors(program, tried) {
  const list = spawnSync(program, ['--list', '--format=terse'], { encoding: 'utf8' }).stdout;
  const tests = list.split('\n').flatMap((line) => {
    const name = /^(.*): test$/.exec(line)?.[1];
    if (!name) return [];
    const seconds = passes(program, name, '0', 600);
    if (!seconds) throw new Error(`${name} fails without a mutant`);
    return [{ name, seconds, found: 1 }];
  });
  return tried.filter(([number, name]) => {
    // Those first that find much in little time.
    tests.sort((a, b) => b.found / b.seconds - a.found / a.seconds);
    for (const test of tests) {
      if (!passes(program, test.name, number, Math.ceil(5 + 10 * test.seconds))) {
        test.found++;
        return false;
      }
    }
    console.log(`    no test has found: ${name}`);
    return true;
  });
}

console.log('==> small tests');
const left = survivors(build(true), mutants);
console.log('==> all tests, for those that are left');
const missed = survivors(build(false), left);
writeFileSync(`${directory}/survivors.txt`, missed.map(([, name]) => `${name}\n`).join(''));
console.log(`${mutants.length - missed.length} of ${mutants.length} were found`);
