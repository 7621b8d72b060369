// The examples of the documentation: they fit the types, run, and print what they say. And its links
// lead somewhere.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { reloaded } from './backends.ts';
import { blocksOf, printedBy, read, root, run } from './pages.ts';

const sources = readdirSync(`${root}ts`)
  .filter((name) => name.endsWith('.ts'))
  .map((name) => `ts/${name}`);
const docs = readdirSync(`${root}docs`)
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`);
// docs/engines.md shows configurations, not calls.
const pages = ['README.md', ...docs.filter((page) => page !== 'docs/engines.md')];

const examples = sources.flatMap((file) =>
  blocksOf(file, /@example\n \* ```ts\n([\s\S]*?) \* ```/g, (code) => code.replace(/^ \* ?/gm, '')),
);
const blocks = [
  ...examples,
  ...pages.flatMap((page) => blocksOf(page, /^```ts\n([\s\S]*?)^```/gm)),
];
// Those of docs/coming-from.md run in coming-from.test.ts, over every backend.
const runHere = blocks.filter(([name]) => !name.startsWith('docs/coming-from.md'));
const CDN = /https:\/\/cdn\.jsdelivr\.net\/npm\/smooth-l1@0\/([\w./]+)/;
/** The scripts of web pages. */
const scripts = pages.flatMap((page) =>
  blocksOf(page, /^```html\n<script type="module">\n([\s\S]*?)^<\/script>\n```/gm, (code) =>
    code.replace(/^ {2}/gm, ''),
  ),
);
/** Programs for Node, which take the package as it is built. Those of coming-from.md are other systems' calls. */
const programs = pages
  .filter((page) => page !== 'docs/coming-from.md')
  .flatMap((page) => blocksOf(page, /^```js\n([\s\S]*?)^```/gm));

describe('examples', () => {
  test('there are some, in the sources and on the pages', () => {
    expect(examples.length).toBeGreaterThan(20);
    for (const page of ['README.md', 'docs/coming-from.md', 'docs/options.md'])
      expect(
        blocks.some(([name]) => name.startsWith(page)),
        page,
      ).toBe(true);
    expect(scripts.length).toBeGreaterThan(0);
    expect(programs.length).toBeGreaterThan(0);
  });

  test.each(pages)('%s has no other kind of example, which nobody would run', (page) => {
    // Those of docs/scale.md run in python/tests.
    const hasPython = page === 'docs/coming-from.md' || page === 'docs/scale.md';
    const theirs = hasPython ? ['python'] : [];
    const kinds = ['ts', 'js', 'html', 'sh', 'text', 'mermaid', ...theirs];
    const fences = [...read(page).matchAll(/^ *```(\S*)$/gm)].map(([, kind]) => kind);
    for (const kind of fences.filter((_, i) => i % 2 === 0)) expect(kinds).toContain(kind);
  });

  test.each(runHere)('%s prints what it says', async (_, code) => {
    expect(await run(code, await reloaded())).toEqual(printedBy(code));
  });

  test.each(scripts)(
    '%s, a page, imports a file that there is, and prints what it says',
    async (_, code) => {
      const wanted = printedBy(code);
      const file = CDN.exec(code)?.[1] as string;
      expect(file).toMatch(/^dist\//);
      expect(existsSync(root + file)).toBe(true);
      expect(await run(code.replace(CDN, 'smooth-l1'), await reloaded())).toEqual(wanted);
    },
  );

  test.each(programs)('%s, a program, prints what it says', async (name, code) => {
    const file = `${root}target/examples/${name.replaceAll(/\W/g, '-')}.mjs`;
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, code);
    const { stdout } = await promisify(execFile)(process.execPath, [file]);
    expect(stdout.trim().split('\n')).toEqual(printedBy(code));
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
        `${code.replaceAll("'smooth-l1'", "'./index.ts'").replace(/'smooth-l1\/(tfjs|arrow)'/g, "'./$1.ts'")}\nexport {};`,
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

describe('links', () => {
  const REPOSITORY = 'https://github.com/smooth-l1/smooth-l1/';
  const all = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', ...docs];

  /** The text of a page without its code. */
  const proseOf = (page: string): string => read(page).replace(/^ *```[\s\S]*?^ *```$/gm, '');

  /** Where the links and pictures of a page lead. */
  function linksOf(page: string): string[] {
    const prose = proseOf(page);
    return [...prose.matchAll(/\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$/gm)].map(
      ([, inline, reference]) => (inline ?? reference) as string,
    );
  }

  /** The anchors of a page, as GitHub makes them of its headings. */
  const anchorsOf = (page: string): string[] =>
    [...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    );

  test.each(all)('of %s lead to files and headings that there are', (page) => {
    for (const link of linksOf(page)) {
      const isOwn = link.startsWith(`${REPOSITORY}blob/main/`);
      if (/^https?:/.test(link) && !isOwn) continue;
      const path = isOwn ? link.slice(`${REPOSITORY}blob/main/`.length) : link;
      const [file = '', anchor] = path.split('#');
      const target = file === '' ? page : isOwn ? file : join(dirname(page), file);
      expect(existsSync(root + target), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(target), link).toContain(anchor);
    }
  });

  test('of README.md work on any page that shows it', () => {
    const links = linksOf('README.md');
    expect(links.length).toBeGreaterThan(10);
    for (const link of links) expect(link).toMatch(/^https:/);
  });

  test('of README.md lead to every page', () => {
    for (const page of docs)
      expect(linksOf('README.md')).toContain(`${REPOSITORY}blob/main/${page}`);
  });
});
