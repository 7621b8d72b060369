// The page for those who come from another system: each of its calls, over every backend, and its
// values against those that the other systems give.
import { readFileSync } from 'node:fs';
import { format } from 'node:util';
import { transformSync } from 'esbuild';
import { describe, expect, test } from 'vitest';
import { backends, type Package } from './backends.ts';
import { type Case, type Output, readCases } from './vectors/format.ts';

/** A block of the page: its line, its code, what that prints, and where these values are from. */
interface Block {
  line: number;
  code: string;
  expected: string[];
  /** For each thing printed, the name of a case, and which of its outputs it is. */
  sources: string[];
}

const BLOCK = /(?:<!-- outside: (.+) -->\s*)?^```ts\n([\s\S]*?)^```/gm;
const PRINTED = /console\.log\(.*\); \/\/ (.*)$/;

function blocksOf(page: string): Block[] {
  return [...page.matchAll(BLOCK)].map(({ index, 1: sources, 2: code = '' }) => ({
    line: page.slice(0, index).split('\n').length,
    code,
    expected: code.split('\n').flatMap((line) => PRINTED.exec(line)?.[1] ?? []),
    sources: sources?.split('; ') ?? [],
  }));
}

function run(code: string, smooth: Package): string[] {
  const printed: string[] = [];
  const log = (...values: unknown[]): number => printed.push(format(...values));
  const js = transformSync(code, { loader: 'ts', format: 'cjs', target: 'es2022' }).code;
  const load = (name: string): Package => {
    expect(name).toBe('smooth-l1');
    return smooth;
  };
  new Function('require', 'console', 'module', js)(load, { log }, {});
  return printed;
}

/** Compares what is printed with an output of a case, of which it may be the beginning. */
function compare(printed: string, vector: Case, output: Output): void {
  const theirs = [vector.expected[output] ?? []].flat();
  const ours = printed.split(',');
  expect(ours.length, output).toBeLessThanOrEqual(theirs.length);
  for (const [i, text] of ours.entries()) {
    const decimals = text.split('.')[1]?.length ?? 0;
    // A number with few decimals is meant to be exact.
    const allowed = decimals < 3 ? 0 : 0.501 * 10 ** -decimals;
    const expected = theirs[i] as number;
    if (Number.isFinite(expected)) {
      expect(
        Math.abs(Number(text) - expected),
        `${text}, expected ${expected}`,
      ).toBeLessThanOrEqual(allowed);
    } else expect(Number(text)).toBe(expected);
  }
}

const blocks = blocksOf(readFileSync(new URL('../docs/coming-from.md', import.meta.url), 'utf8'));
const numbered = blocks.map((block) => [block.line, block] as const);
const cases = readCases(new URL('./vectors/outside.json', import.meta.url));

test('every block says what it prints', () => {
  expect(blocks.length).toBeGreaterThan(20);
  for (const { line, code, expected } of blocks)
    expect(expected.length, `line ${line}`).toBe(code.match(/console\.log/g)?.length);
});

test.each(numbered.filter(([, { sources }]) => sources.length > 0))(
  'line %i: the values of others',
  (_, { sources, expected }) => {
    expect(sources.length).toBe(expected.length);
    for (const [i, source] of sources.entries()) {
      if (source === '-') continue;
      const [name, output = 'loss'] = source.split(' / ');
      const vector = cases.find((one) => one.name === name);
      expect(vector, name).toBeDefined();
      compare(expected[i] as string, vector as Case, output as Output);
    }
  },
);

describe.each(backends)('%s', (_, smooth) => {
  test.each(numbered)('line %i', (_, { code, expected }) => {
    expect(run(code, smooth)).toEqual(expected);
  });
});
