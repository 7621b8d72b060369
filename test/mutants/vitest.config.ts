// The test files that are named, in that order: most mutants fail a test of the first one.

import { defineConfig } from 'vitest/config';
import {
  BaseSequencer,
  type Reporter,
  type RunnerTestCase,
  type RunnerTestFile,
  type TestSpecification,
} from 'vitest/node';

const files = (process.env.MUTANTS_TESTS ?? '').split(',').map((name) => `test/${name}.test.ts`);
const placeOf = ({ moduleId }: TestSpecification): number =>
  files.findIndex((file) => moduleId.endsWith(file));

class InOrder extends BaseSequencer {
  override async sort(all: TestSpecification[]): Promise<TestSpecification[]> {
    return all.sort((a, b) => placeOf(a) - placeOf(b));
  }
}

/** Shows Stryker a failed test where a test file fails as a whole, which it does not look at by itself. */
const asTest: Reporter = {
  onTestModuleEnd(module) {
    const [error] = module.errors();
    const file = (module as unknown as { task: RunnerTestFile }).task;
    const result = { state: 'fail', errors: [error] };
    if (error)
      file.tasks.push({
        type: 'test',
        name: 'is loaded',
        mode: 'run',
        file,
        result,
      } as RunnerTestCase);
  },
};

export default defineConfig({
  test: {
    include: files,
    reporters: [asTest],
    sequence: { sequencer: InOrder },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
