// Makes files of ts/ wrong in one place at a time, with Stryker, and looks whether a test fails.
//
//   node wrapper.mjs                               all files of the table below
//   node wrapper.mjs check.ts half.ts:20-43        these files, or lines of them
//   node wrapper.mjs half.ts --tests half,errors   with these test files in place of those of the table
//
// Results are kept in target/mutants-ts: what the same tests found in the same code is not looked for again.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** Of each file of ts/: the test files that are about it, or some tests of one, quick ones first. */
const TESTS = {
  'arrays.ts': [
    'memory/wasm-shared',
    'memory/js: float32',
    'half/makes zeros',
    'half/Float16Array',
  ],
  'arrow.ts': ['arrow'],
  'attach.ts': [
    'attach',
    'hosts',
    'columns/attached memory',
    'threads/is left by the workers',
    'threads/whose allocator fails',
  ],
  'bind.ts': [
    'vectors/shared',
    'edge-cases/shared',
    'changing/calls that follow',
    'changing/arrays that change',
    'attach',
    'errors/js',
    'errors/other wrong',
    'errors/option of a wrong type after',
    'errors/in the way',
    'errors/have length',
    'half/no option',
    'half/what it needs',
    'half/contradicts',
    'half/is never on',
    'half/ignoreValue is rounded',
    'pieces/more columns than',
    'columns',
    'folds/js',
    'memory/are counted',
    'memory/rows end within',
    'threads/the gradient over',
    'fuzz',
  ],
  'call.ts': [
    'vectors/shared',
    'edge-cases/shared',
    'folds/means of rows',
    'folds/derivatives',
    'accumulator/attached',
    'attach/detaching',
    'attach/nothing is taken',
    'memory/a memory of a fixed size',
    'memory/js: arrays from elsewhere long ones',
    'errors/js: other wrong calls',
    'jobs',
    'fuzz',
  ],
  'check.ts': ['streams', 'errors', 'memory'],
  'control.ts': ['threads/the results are those of one thread'],
  'curves.ts': [
    'vectors/js',
    'errors/js',
    'attach/by column',
    'columns/is wrong',
    'columns/js',
    'columns/memory',
    'changing/values that change',
  ],
  'distance.ts': ['worksheet', 'edge-cases', 'errors'],
  'exact.ts': ['exact', 'accumulator'],
  'fold.ts': ['folds', 'attach'],
  'functions.ts': ['vectors', 'errors/js', 'errors/names', 'accumulator/errors'],
  'half.ts': ['half'],
  // Not those tests that count how often a statement runs: Stryker's own count, too.
  'heap.ts': [
    'heap/taken and released',
    'memory/a shared memory',
    'memory/buffer objects',
    'memory/user that grows',
    'memory/fixed size says',
    'memory/memory of the user',
    'memory/wasm-shared: arrays from elsewhere',
    'attach/memory that grows',
    'hosts',
    'faults/memory.grow',
  ],
  'job.ts': [
    'jobs',
    'pieces',
    'fuzz',
    'vectors/shared',
    'edge-cases/shared',
    'threads/thread rows of',
  ],
  'kernel.ts': [
    'hosts',
    'memory/load',
    'memory/memory of the user',
    'memory/wasm-shared',
    'changing/load',
    'attach',
    'exact/js a mean',
    'faults',
    'threads/resolves when the threads have ended',
    'threads/what the call took for itself',
  ],
  'loss-accumulator.ts': [
    'accumulator/js',
    'accumulator/errors',
    'accumulator/the bytes',
    'accumulator/2^31',
    'accumulator/attached',
    'accumulator/of 16 bits',
    'accumulator/is in the bytes',
    'accumulator/of -0',
  ],
  'loss.ts': ['edge-cases', 'vectors', 'errors'],
  'losses.ts': ['vectors', 'errors/js', 'streams'],
  'module.ts': ['hosts', 'strict/ships', 'strict/processor', 'strict/decoder'],
  'options.ts': [
    'changing/option',
    'changing/another',
    'changing/what Object.prototype',
    'fuzz',
    'vectors/shared',
    'errors/js',
    'accumulator/js',
  ],
  'plain-kernel.ts': [
    'vectors/js',
    'edge-cases/js',
    'exact/js',
    'half/widened exactly',
    'half/all magnitudes',
    'property/js',
    'columns/js: each',
    'folds',
    'memory/js: float32',
    'fuzz',
  ],
  'plan.ts': [
    'vectors/shared',
    'edge-cases/shared',
    'worksheet',
    'errors/option of a wrong type after',
    'errors/js',
    'changing/and nothing else',
    'changing/option',
    'fuzz',
    'folds/js what',
    'columns/js',
    'columns/is wrong',
    'half/js',
    'exact/js',
    'exact/same 64 bits',
    'exact/wrong with the option',
    'accumulator/js',
    'attach/for what a call makes',
  ],
  'rows.ts': ['folds', 'half'],
  'self-test.ts': ['self-test'],
  'stage.ts': [
    'pieces',
    'half/wasm-shared',
    'memory/a memory of a fixed size',
    'memory/wasm-shared: arrays from',
  ],
  'stamp.ts': [
    'memory/wasm-shared',
    'memory/js: float32',
    'memory/user that grows',
    'errors/js arrays elsewhere l1Loss: arguments',
    'errors/revoked',
    'attach',
  ],
  'streams.ts': ['streams'],
  'tfjs.ts': ['tfjs'],
  'threads.ts': [
    'threads/thread the divisor',
    'threads/setNumThreads',
    'threads/while workers start',
    'threads/unload',
    'threads/a page',
    'threads/does not start',
    'threads/is lost',
    'threads/as browsers have it',
    'threads/attached memory',
    'threads/async createWorker',
    'faults/answers twice',
    'faults/no Worker',
    'faults/of its cores',
    'exact/same 64 bits',
    'hosts/has no threads',
  ],
  'totals.ts': ['exact', 'folds'],
  'walk.ts': [
    'pieces',
    'exact/wasm-shared',
    'accumulator/attached',
    'threads/thread rows of',
    'threads/thread the divisor',
    'threads/stays on one thread',
    'exact/same 64 bits',
    'jobs',
  ],
  'worker.ts': [
    'threads/thread rows of',
    'threads/thread the divisor',
    'threads/getNumThreads tells',
    'threads/while workers',
    'threads/is lost',
    'threads/attached',
    'threads/unload',
    'threads/as browsers have it',
    'exact/same 64 bits',
  ],
};

const { values, positionals } = parseArgs({
  options: { tests: { type: 'string' } },
  allowPositionals: true,
});
const here = fileURLToPath(new URL('.', import.meta.url));
const lock = readFileSync(`${here}package-lock.json`, 'utf8');
const installed = `${here}node_modules/.installed-lock`;
if (!existsSync(installed) || readFileSync(installed, 'utf8') !== lock) {
  execFileSync('npm', ['ci', '--ignore-scripts'], { cwd: here, stdio: 'inherit' });
  writeFileSync(installed, lock);
}
const { Stryker } = await import('@stryker-mutator/core');
process.chdir(`${here}../..`);

const scores = [];
for (const place of positionals.length > 0 ? positionals : Object.keys(TESTS)) {
  const file = place.split(':')[0];
  const tests = values.tests?.split(',') ?? TESTS[file];
  if (tests === undefined)
    throw new Error(`no test files are known for ${file}: name them by --tests`);
  process.env.MUTANTS_TESTS = tests.join();
  process.env.MUTANTS_FILE = file;
  const mutants = await new Stryker({
    mutate: [`ts/${place}`],
    // Texts: test/errors.test.ts compares each.
    mutator: { excludedMutations: ['StringLiteral'] },
    plugins: [new URL('runner.mjs', import.meta.url).href],
    testRunner: 'in-one-process',
    maxTestRunnerReuse: 100,
    coverageAnalysis: file === 'worker.ts' ? 'off' : 'perTest',
    concurrency: 1,
    // The tests import the sources, whose types nothing checks on the way.
    disableTypeChecks: false,
    timeoutMS: 10_000,
    incremental: true,
    incrementalFile: `target/mutants-ts/${file}.json`,
    tempDirName: 'target/mutants-ts/sandbox',
    ignorePatterns: ['**', '!ts/**', '!test/**', '!dist/**', '!*.json', 'node_modules'],
    reporters: ['clear-text'],
    clearTextReporter: { allowColor: false, reportTests: false, reportScoreTable: false },
    allowConsoleColors: false,
    logLevel: 'warn',
  }).runMutationTest();
  const count = (...states) => mutants.filter(({ status }) => states.includes(status)).length;
  const found = count('Killed', 'Timeout');
  const left = count('Survived', 'NoCoverage');
  scores.push({
    file: place,
    found,
    left,
    'score, %': +((100 * found) / (found + left)).toFixed(1),
  });
}
console.table(scores);
