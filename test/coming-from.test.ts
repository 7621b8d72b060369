// The page for those who come from another system: each of its calls, over every backend, and its
// values against those that the other systems give.
import { describe, expect, test } from 'vitest';
import { backends } from './backends.ts';
import { blocksOf, printedBy, read, run } from './pages.ts';
import { type Case, type Output, readCases } from './vectors/format.ts';

const PAGE = 'docs/coming-from.md';
const blocks = blocksOf(PAGE, /^```ts\n([\s\S]*?)^```/gm);

/** A block below a comment that names, for each thing printed, a case and which of its outputs it is. */
const SOURCED = /<!-- outside: (.+) -->\s*^```ts\n([\s\S]*?)^```/gm;
const sourced = [...read(PAGE).matchAll(SOURCED)].map(
  ([, sources = '', code = '']) => [sources, code] as const,
);

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

const cases = readCases(new URL('./vectors/outside.json', import.meta.url));

test('most blocks name their sources', () => {
  expect(blocks.length).toBeGreaterThan(20);
  expect(sourced.length).toBeGreaterThan(blocks.length / 2);
});

test.each(sourced)('%s: the values of others', (sources, code) => {
  const printed = printedBy(code);
  const names = sources.split('; ');
  expect(names.length).toBe(printed.length);
  for (const [i, source] of names.entries()) {
    if (source === '-') continue;
    const [name, output = 'loss'] = source.split(' / ');
    const vector = cases.find((one) => one.name === name);
    expect(vector, name).toBeDefined();
    compare(printed[i] as string, vector as Case, output as Output);
  }
});

describe.each(backends)('%s', (_, smooth) => {
  test.each(blocks)('%s prints what it says', async (_, code) => {
    expect(await run(code, smooth)).toEqual(printedBy(code));
  });
});
