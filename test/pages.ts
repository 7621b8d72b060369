// The blocks of code in the documentation: finding them, running them, and what they say they print.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format } from 'node:util';
import { transformSync } from 'esbuild';
import { expect } from 'vitest';
import type { Package } from './backends.ts';

export const root = fileURLToPath(new URL('..', import.meta.url));
export const read = (file: string): string => readFileSync(root + file, 'utf8');

/** Each block of TypeScript, under its file and line. */
export function blocksOf(
  file: string,
  block: RegExp,
  clean = (code: string) => code,
): [place: string, code: string][] {
  const text = read(file);
  return [...text.matchAll(block)].map(({ index, 1: code = '' }) => [
    `${file}:${text.slice(0, index).split('\n').length}`,
    clean(code),
  ]);
}

/** What the comments of a block say that it prints. */
export function printedBy(code: string): string[] {
  const wanted = code
    .split('\n')
    .flatMap((line) => /console\.log\(.*\); \/\/ (.*)$/.exec(line)?.[1] ?? []);
  expect(code.match(/console\.log\(/g)?.length ?? 0, 'all that is printed is said').toBe(
    wanted.length,
  );
  return wanted;
}

/** Runs a block with the package in the place of its import; what it prints. */
export async function run(code: string, smooth: Package): Promise<string[]> {
  const imports = code.match(/^import .*;$/gm) ?? [];
  // A function, since only a function may await here; an import is live in it.
  const body = `${imports.join('\n')}\nexport default async () => {\n${code.replace(/^import .*;$/gm, '')}\n};`;
  const js = transformSync(body, { loader: 'ts', format: 'cjs', target: 'es2022' }).code;
  const printed: string[] = [];
  const log = (...values: unknown[]): number => printed.push(format(...values));
  const others = [...code.matchAll(/from '(?!smooth-l1')([\w@/-]+)'|import '([\w@/-]+)'/g)].map(
    async ([, from, effect]) => {
      const name = from ?? (effect as string);
      const [, own] = /^smooth-l1\/(\w+)$/.exec(name) ?? [];
      return [name, await import(own === undefined ? name : `../ts/${own}.ts`)] as const;
    },
  );
  const modules = new Map<string | undefined, unknown>(await Promise.all(others));
  const load = (name: string): unknown => {
    if (!modules.has(name)) expect(name).toBe('smooth-l1');
    return modules.get(name) ?? smooth;
  };
  const module = { exports: {} as { default?: () => Promise<void> } };
  new Function('require', 'console', 'module', js)(load, { log, warn: log }, module);
  await module.exports.default?.();
  return printed;
}
