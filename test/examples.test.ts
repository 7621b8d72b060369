// The examples of the documentation: they fit the types, run, and print what they say.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format } from 'node:util';
import { transformSync } from 'esbuild';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { type Package, reloaded } from './backends.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string): string => readFileSync(root + file, 'utf8');
const sources = readdirSync(`${root}ts`)
  .filter((name) => name.endsWith('.ts'))
  .map((name) => `ts/${name}`);
// docs/engines.md shows configurations, not calls.
const pages = ['README.md', 'docs/coming-from.md'];

/** Each block of TypeScript, under its file and line. */
function blocksOf(file: string, block: RegExp, clean = (code: string) => code): [string, string][] {
  const text = read(file);
  return [...text.matchAll(block)].map(({ index, 1: code = '' }) => [
    `${file}:${text.slice(0, index).split('\n').length}`,
    clean(code),
  ]);
}

const examples = sources.flatMap((file) =>
  blocksOf(file, /@example\n \* ```ts\n([\s\S]*?) \* ```/g, (code) => code.replace(/^ \* ?/gm, '')),
);
const blocks = [
  ...examples,
  ...pages.flatMap((page) => blocksOf(page, /^```ts\n([\s\S]*?)^```/gm)),
];

/** Runs a block with the package in the place of its import; what it prints. */
async function run(code: string, smooth: Package): Promise<string[]> {
  const imports = code.match(/^import .*;$/gm) ?? [];
  // A function, since only a function may await here; an import is live in it.
  const body = `${imports.join('\n')}\nexport default async () => {\n${code.replace(/^import .*;$/gm, '')}\n};`;
  const js = transformSync(body, { loader: 'ts', format: 'cjs', target: 'es2022' }).code;
  const printed: string[] = [];
  const log = (...values: unknown[]): number => printed.push(format(...values));
  const load = (name: string): Package => {
    expect(name).toBe('smooth-l1');
    return smooth;
  };
  const module = { exports: {} as { default?: () => Promise<void> } };
  new Function('require', 'console', 'module', js)(load, { log, warn: log }, module);
  await module.exports.default?.();
  return printed;
}

describe('examples', () => {
  test('there are some, in the sources and on the pages', () => {
    expect(examples.length).toBeGreaterThan(20);
    for (const page of pages)
      expect(
        blocks.some(([name]) => name.startsWith(page)),
        page,
      ).toBe(true);
  });

  test.each(blocks)('%s prints what it says', async (_, code) => {
    const wanted = code
      .split('\n')
      .flatMap((line) => /console\.log\(.*\); \/\/ (.*)$/.exec(line)?.[1] ?? []);
    expect(code.match(/console\.log\(/g)?.length ?? 0, 'all that is printed is said').toBe(
      wanted.length,
    );
    expect(await run(code, await reloaded())).toEqual(wanted);
  });

  test('all fit the types', () => {
    const options = ts.parseJsonConfigFileContent(
      JSON.parse(read('tsconfig.json')),
      ts.sys,
      root,
    ).options;
    const virtual = new Map(
      blocks.map(([, code], i) => [
        `${root}ts/example-${i}.ts`,
        `${code.replaceAll("'smooth-l1'", "'./index.ts'")}\nexport {};`,
      ]),
    );
    const host = ts.createCompilerHost(options);
    const { getSourceFile, fileExists, readFile } = host;
    host.getSourceFile = (name, ...rest) => {
      const text = virtual.get(name);
      return text === undefined
        ? getSourceFile(name, ...rest)
        : ts.createSourceFile(name, text, ts.ScriptTarget.ES2022);
    };
    host.fileExists = (name) => virtual.has(name) || fileExists(name);
    host.readFile = (name) => virtual.get(name) ?? readFile(name);
    const program = ts.createProgram([...virtual.keys()], options, host);
    const names = [...virtual.keys()];
    const found = names.flatMap((name, i) =>
      ts
        .getPreEmitDiagnostics(program, program.getSourceFile(name))
        .map(
          ({ messageText }) =>
            `${blocks[i]?.[0]}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
        ),
    );
    expect(found).toEqual([]);
  }, 60_000);
});

test('every function, class and variable of the package is documented with an example', async () => {
  const text = sources.map(read).join('\n');
  const names = Object.keys(await reloaded());
  expect(names.length).toBeGreaterThan(20);
  const missing = names.filter((name) => {
    const declaration = new RegExp(
      `/\\*\\*((?:(?!\\*/)[\\s\\S])*)\\*/\\nexport (?:async )?(?:function|class|let|const) ${name}\\b`,
    );
    return !declaration.exec(text)?.[1]?.includes('@example');
  });
  expect(missing).toEqual([]);
});
