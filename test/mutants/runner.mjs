// Runs test files for Stryker, in one process: for each mutant the modules of ts/ and test/ are loaded anew, all others
// once. Stryker's own runner for Vitest starts a thread for each test file and mutant: 1 s, in place of 0.1 s.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Script } from 'node:vm';
import { INSTRUMENTER_CONSTANTS } from '@stryker-mutator/api/core';
import { declareClassPlugin, PluginKind } from '@stryker-mutator/api/plugin';
import {
  DryRunStatus,
  determineHitLimitReached,
  TestStatus,
  toMutantRunResult,
} from '@stryker-mutator/api/test-runner';
import { buildSync, transformSync } from 'esbuild';

const config = {
  root: process.cwd(),
  sequence: { hooks: 'stack', seed: 0 },
  expect: {},
  fakeTimers: {},
  maxConcurrency: 1,
  testTimeout: 120_000,
  hookTimeout: 120_000,
  retry: 0,
  tags: [],
};
// What Vitest's functions look for in a worker of Vitest.
globalThis.__vitest_worker__ = { config, environment: { name: 'node' }, durations: {} };
const { NAMESPACE } = INSTRUMENTER_CONSTANTS;
/** Test files, each with a part of the names of those tests in it that are wanted. */
const PLACES = process.env.MUTANTS_TESTS.split(',').map((place) => place.split('/'));
const { cache } = createRequire(import.meta.url);
const { startTests } = await import('@vitest/runner');
const vitest = await import('vitest');

/** Makes dist/worker.js of worker.ts with one mutant of it: nothing tells a thread which is wanted. */
function writeWorker(activeMutant) {
  buildSync({
    entryPoints: ['ts/worker.ts'],
    outfile: 'dist/worker.js',
    bundle: true,
    format: 'iife',
    target: 'es2022',
    banner: { js: `globalThis.${NAMESPACE} = { activeMutant: '${activeMutant}' };` },
  });
}

/** The modules of ts/ and test/: each is compiled once, and loaded as often as somebody wants it anew. */
class Modules {
  #codes = new Map();
  #loaded = new Map();
  #mocks = new Map();
  #vitest = {
    ...vitest,
    vi: {
      ...vitest.vi,
      resetModules: () => this.#loaded.clear(),
      doMock: (name, make) => this.#mocks.set(name, make()),
      doUnmock: (name) => this.#mocks.delete(name),
    },
  };

  reset() {
    this.#loaded.clear();
    this.#mocks.clear();
    // It keeps what the module before has registered, and itself in global names.
    for (const file of Object.keys(cache)) if (file.includes('/@tensorflow/')) delete cache[file];
    delete globalThis._tfengine;
    delete globalThis._tfGlobals;
    vitest.vi.restoreAllMocks();
    vitest.vi.unstubAllGlobals();
    vitest.vi.useRealTimers();
  }

  load(path) {
    const known = this.#loaded.get(path);
    if (known) return known.exports;
    const module = { exports: {} };
    this.#loaded.set(path, module);
    const require = createRequire(path);
    const load = (name) => {
      if (name === 'vitest') return this.#vitest;
      if (this.#mocks.has(name)) return this.#mocks.get(name);
      const file = name.startsWith('file:') ? fileURLToPath(name) : require.resolve(name);
      return file.endsWith('.ts') ? this.load(file) : require(file);
    };
    this.#codeOf(path)(module, module.exports, load, pathToFileURL(path).href);
    return module.exports;
  }

  #codeOf(path) {
    const known = this.#codes.get(path);
    if (known) return known.runInThisContext();
    const { code } = transformSync(readFileSync(path, 'utf8'), {
      loader: 'ts',
      format: 'cjs',
      target: 'node20',
      define: { 'import.meta.url': 'moduleUrl' },
      supported: { 'dynamic-import': false },
      logLevel: 'silent',
    });
    const whole = `(module, exports, require, moduleUrl) => {${code}\n}`;
    const script = new Script(whole, { filename: path });
    this.#codes.set(path, script);
    return script.runInThisContext();
  }
}

const modules = new Modules();
const fullName = (task) => (task.suite ? `${fullName(task.suite)} ${task.name}` : task.name).trim();
const idOf = (test) => `${relative(process.cwd(), test.file.filepath)}#${fullName(test)}`;

/** Where the instrumented code looks for the mutant that is wanted, and notes what tests reach. */
const state = {};
globalThis[NAMESPACE] = state;

/** Runs tests until one fails. */
class Run {
  config = config;
  results = [];
  /** Whether a test is wanted, by its id. */
  isWanted;
  // Tests change what `performance` says.
  #began = 0n;

  get failed() {
    return this.results.find(({ status }) => status === TestStatus.Failed);
  }

  importFile(path) {
    return modules.load(path);
  }

  onCollected([file]) {
    this.#select(file);
    if (file.result) this.#add(file, `${file.name} is loaded`);
  }

  /** Skips what is not wanted; a suite of nothing else with its hooks. */
  #select(task) {
    const isWanted =
      task.type === 'test'
        ? this.isWanted(idOf(task))
        : task.tasks.map((each) => this.#select(each)).includes(true);
    if (!isWanted) task.mode = 'skip';
    return task.mode !== 'skip';
  }

  onBeforeRunTask(test) {
    if (this.failed) test.mode = 'skip';
    if (test.mode !== 'skip') state.currentTestId = idOf(test);
    this.#began = process.hrtime.bigint();
  }

  onAfterRunTask(test) {
    state.currentTestId = undefined;
    this.#add(test, idOf(test), Number(process.hrtime.bigint() - this.#began) / 1e6);
  }

  onAfterRunSuite(suite) {
    if (suite.result?.errors?.length) this.#add(suite, `${fullName(suite)}: hooks`);
  }

  #add({ result, file }, id, timeSpentMs = 0) {
    const status = { pass: TestStatus.Success, fail: TestStatus.Failed }[result.state];
    if (status === undefined) return;
    const failureMessage = String(result.errors?.[0]?.message);
    this.results.push({
      id,
      name: id,
      fileName: file.filepath,
      timeSpentMs,
      status,
      failureMessage,
    });
  }
}

/** An error that no test has caught, such as a rejected promise. */
let uncaught;
process.on('unhandledRejection', (error) => {
  uncaught ??= error;
});

class Runner {
  /** The tests that found the last mutants. */
  #finders = [];

  capabilities() {
    return { reloadEnvironment: true };
  }

  async dryRun() {
    const result = await this.#run();
    // What a thread reaches is not known: each mutant is tried with all tests.
    if (process.env.MUTANTS_FILE === 'worker.ts') return result;
    const { perTest = {}, static: atLoad = {} } = state.mutantCoverage ?? {};
    // What tests reach is tried with those only, though it is wrong while modules are loaded, too.
    const reached = new Set(Object.values(perTest).flatMap((counts) => Object.keys(counts)));
    const rest = Object.entries(atLoad).filter(([mutant]) => !reached.has(mutant));
    return { ...result, mutantCoverage: { perTest, static: Object.fromEntries(rest) } };
  }

  async mutantRun({ activeMutant, hitLimit, testFilter }) {
    Object.assign(state, { activeMutant: activeMutant.id, hitLimit, hitCount: 0 });
    if (process.env.MUTANTS_FILE === 'worker.ts') writeWorker(activeMutant.id);
    const result = await this.#run(testFilter && new Set(testFilter));
    return toMutantRunResult(determineHitLimitReached(state.hitCount, hitLimit) ?? result);
  }

  /** Runs the tests with these ids, or all. */
  async #run(ids) {
    uncaught = undefined;
    const run = new Run();
    // Mutants beside each other fail the same tests.
    if (ids) await this.#runFiles(run, new Set(this.#finders.filter((id) => ids.has(id))));
    if (!run.failed) await this.#runFiles(run, ids);
    if (ids && run.failed) {
      const others = this.#finders.filter((id) => id !== run.failed.id);
      this.#finders = [run.failed.id, ...others].slice(0, 4);
    }
    if (uncaught !== undefined)
      run.results.push({
        id: 'uncaught',
        name: 'uncaught',
        timeSpentMs: 0,
        status: TestStatus.Failed,
        failureMessage: String(uncaught),
      });
    return { status: DryRunStatus.Complete, tests: run.results };
  }

  async #runFiles(run, ids) {
    // A file is loaded once, whatever number of its parts are wanted.
    for (const name of new Set(PLACES.map(([name]) => name))) {
      const file = `test/${name}.test.ts`;
      if (ids && ![...ids].some((id) => id.startsWith(file))) continue;
      const isNamed = (id) =>
        PLACES.some(([file, part = '']) => file === name && id.includes(part));
      run.isWanted = (id) => ids?.has(id) ?? isNamed(id);
      modules.reset();
      await startTests([resolve(file)], run);
      if (run.failed) return;
    }
  }
}

export const strykerPlugins = [declareClassPlugin(PluginKind.TestRunner, 'in-one-process', Runner)];
