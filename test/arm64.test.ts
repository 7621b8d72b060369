// Another processor: the package that was built, in Node for ARM64, which an emulator runs.
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Found } from './engines/checks.ts';
import { published } from './engines/published.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const { status, stdout } = spawnSync('bash', ['test/engines/arm64.sh', 'find'], {
  cwd: root,
  encoding: 'utf8',
});

const script = `
  import { readFileSync } from 'node:fs';
  import * as smooth from 'smooth-l1';
  const { smoke } = await import('./test/engines/smoke.js');
  const texts = ['vectors', 'outside'].map((name) => readFileSync('test/vectors/' + name + '.json', 'utf8'));
  console.log(JSON.stringify(await smoke(smooth, 'default', texts)));`;

function suiteIn(node: string): Found {
  const args = ['--input-type=module', '--eval', script];
  return JSON.parse(execFileSync(node, args, { cwd: root, encoding: 'utf8' }));
}

describe.skipIf(status !== 0)('Node for ARM64, which bash test/engines/arm64.sh sets up', () => {
  test('the same bits as here, by the module for that processor', () => {
    const here = suiteIn(process.execPath);
    expect(here, 'docs/engines.md has these hashes').toMatchObject(published());
    const there = suiteIn(stdout.trim());
    expect(there).toMatchObject({ backend: 'wasm-shared', threads: 2, failures: [] });
    expect({ ...there, module: '' }).toEqual({ ...here, module: '' });
    expect(there.module === here.module).toBe(process.arch === 'arm64');
  });
});
