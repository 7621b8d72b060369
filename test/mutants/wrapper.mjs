// Makes files of ts/ wrong in one place at a time, with Stryker, and looks whether a test fails.
//
//   node wrapper.mjs                               all files of the table below
//   node wrapper.mjs check.ts half.ts:20-43        these files, or lines of them
//   node wrapper.mjs half.ts --tests half,errors   with these test files in place of those of the table
//   node wrapper.mjs half.ts --static              with what runs only while a module is loaded, too
//
// Results are kept in target/mutants-ts: what the same tests found in the same code is not looked for again.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** Of each file of ts/: the test files that are about it, quick ones first. */
const TESTS = {
  'check.ts': ['streams', 'errors', 'memory'],
  'distance.ts': ['worksheet', 'edge-cases', 'errors'],
  'exact.ts': ['exact', 'accumulator'],
  'fold.ts': ['folds', 'attach'],
  'half.ts': ['half'],
  'loss.ts': ['edge-cases', 'vectors', 'errors'],
  'rows.ts': ['folds', 'half'],
  'stage.ts': ['folds', 'half'],
  'totals.ts': ['exact', 'folds'],
};

const { values, positionals } = parseArgs({
  options: { tests: { type: 'string' }, static: { type: 'boolean', default: false } },
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
  const mutants = await new Stryker({
    mutate: [`ts/${place}`],
    // Texts: test/errors.test.ts compares each.
    mutator: { excludedMutations: ['StringLiteral'] },
    testRunner: 'vitest',
    vitest: { configFile: 'test/mutants/vitest.config.ts', related: false },
    coverageAnalysis: 'perTest',
    ignoreStatic: !values.static,
    concurrency: 1,
    // The tests import the sources, whose types nothing checks on the way.
    disableTypeChecks: false,
    timeoutMS: 20_000,
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
