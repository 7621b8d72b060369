// The package as it is published: its files, its entries, its types, and what importing it does.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import binaryen from 'binaryen';
import { build, transform } from 'esbuild';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string): string => readFileSync(root + file, 'utf8');
const manifest = JSON.parse(read('package.json'));

const SCRIPTS = ['index.js', 'index.workerd.js', 'reference.js', 'worker.js'];
const KERNELS = ['smooth_l1.wasm', 'smooth_l1_shared.wasm'];

const packed: string[] = JSON.parse(
  execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    stdio: 'pipe',
  }),
)[0].files.map((file: { path: string }) => file.path);

/** What a script prints when Node runs it in the package. */
function run(script: string, ...flags: string[]): string {
  return execFileSync(process.execPath, [...flags, '--eval', script], {
    cwd: root,
    encoding: 'utf8',
    stdio: 'pipe',
  }).trim();
}

describe('files', () => {
  test('what ships is this, and nothing else', () => {
    expect(packed.sort()).toEqual(
      [
        'CHANGELOG.md',
        'LICENSE',
        'README.md',
        'dist/index.d.ts',
        'dist/worker.d.ts',
        ...SCRIPTS.flatMap((file) => [`dist/${file}`, `dist/${file}.map`]),
        ...KERNELS.map((file) => `dist/${file}`),
        'package.json',
      ].sort(),
    );
  });

  test('every entry leads to a file that ships', () => {
    const targets = (entry: string | Record<string, string>): string[] =>
      typeof entry === 'string' ? [entry] : Object.values(entry);
    for (const entry of Object.values<string | Record<string, string>>(manifest.exports))
      for (const target of targets(entry)) expect(packed).toContain(target.replace('./', ''));
  });

  test('nobody needs another package, and nothing runs on installing this one', () => {
    for (const field of ['dependencies', 'peerDependencies', 'optionalDependencies'])
      expect(manifest).not.toHaveProperty(field);
    expect(Object.keys(manifest.scripts).join()).not.toMatch(/install|prepare|prepublish/);
  });

  test.each(SCRIPTS)('the source map of %s has its sources with it', (file) => {
    const map = JSON.parse(read(`dist/${file}.map`));
    expect(map.sourcesContent).toHaveLength(map.sources.length);
    for (const source of map.sources) expect(source).toMatch(/^\.\.\/ts\/[\w./-]+\.ts$/);
  });
});

describe.each(SCRIPTS)('%s', (file) => {
  const code = read(`dist/${file}`);

  test('imports nothing but what its host has to supply', async () => {
    const { metafile } = await build({
      entryPoints: [`${root}dist/${file}`],
      bundle: true,
      external: ['*'],
      metafile: true,
      write: false,
      logLevel: 'silent',
    });
    const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
    expect(imports.map(({ path }) => path)).toEqual(
      file === 'index.workerd.js' ? ['./smooth_l1.wasm'] : [],
    );
  });

  test('has no top-level await', async () => {
    // Which CommonJS cannot have.
    await expect(transform(code, { format: 'cjs' })).resolves.toBeDefined();
  });

  test('makes no code from text and fetches nothing', async () => {
    const { code: bare } = await transform(code, { minifyWhitespace: true, format: 'esm' });
    expect(bare).not.toMatch(/\beval\b|\bFunction\b|\bfetch\b|XMLHttpRequest|importScripts|blob:/);
  });
});

test('index.js has the kernel in it, once for both memories, the entries for other hosts have not', () => {
  const kernel = readFileSync(`${root}dist/smooth_l1.wasm`).toString('hex');
  expect(SCRIPTS.filter((file) => read(`dist/${file}`).includes(kernel))).toEqual(['index.js']);
});

describe.each(KERNELS)('%s', (file) => {
  const bytes = readFileSync(`${root}dist/${file}`);

  test('is a module that imports its memory and nothing else', () => {
    expect(WebAssembly.validate(bytes)).toBe(true);
    const module = new WebAssembly.Module(bytes);
    expect(WebAssembly.Module.imports(module)).toMatchObject([
      { module: 'env', name: 'memory', kind: 'memory' },
    ]);
    expect(WebAssembly.Module.exports(module).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['run', 'work_size']),
    );
  });

  test('has types, an import, functions, exports and code, and no other section', () => {
    expect(sections(bytes)).toEqual([1, 2, 3, 7, 10]);
  });

  test('has no relaxed SIMD, which some engines refuse and which differs between machines', () => {
    const module = binaryen.readBinary(bytes);
    const text = module.emitText();
    module.dispose();
    expect(text).toContain('f32x4.');
    expect(text).not.toContain('relaxed');
  });
});

/** The section numbers of a WebAssembly module; 0 is a custom section. */
function sections(bytes: Uint8Array): number[] {
  const found: number[] = [];
  let at = 8;
  while (at < bytes.length) {
    found.push(bytes[at++] as number);
    let size = 0;
    for (let shift = 0, byte = 128; byte >= 128; shift += 7) {
      byte = bytes[at++] as number;
      size += (byte & 127) << shift;
    }
    at += size;
  }
  return found;
}

describe('in Node', () => {
  test('CommonJS can require it', () => {
    expect(
      run(`const { backend, float32, l1Loss } = require('smooth-l1');
        console.log(l1Loss(float32([1, 2, 3]), float32(3)), backend, require('smooth-l1').backend);`),
    ).toBe('2 wasm-shared wasm-shared');
  });

  test('so it can the plain JavaScript', () => {
    expect(
      run(`const smooth = require('smooth-l1/reference');
        console.log(smooth.l1Loss(smooth.float32([1, 2, 3]), smooth.float32(3)), smooth.backend);`),
    ).toBe('2 js');
  });

  test('both entries have the same names', () => {
    expect(
      run(`const names = (entry) => Object.keys(require(entry)).join();
        console.log(names('smooth-l1') === names('smooth-l1/reference'));`),
    ).toBe('true');
  });

  test('it runs where code from text is forbidden', () => {
    expect(
      run(
        `const { float32, l1Loss } = require('smooth-l1');
        console.log(l1Loss(float32([1, 2, 3]), float32(3)));`,
        '--disallow-code-generation-from-strings',
      ),
    ).toBe('2');
  });

  test('importing it compiles nothing and leaves no trace; using it leaves none either', () => {
    const script = `
      const look = () => JSON.stringify([
        Reflect.ownKeys(globalThis).map(String),
        process.eventNames().map((name) => [String(name), process.listenerCount(name)]),
      ]);
      let made = 0;
      for (const name of ['Module', 'Memory', 'Instance'])
        WebAssembly[name] = new Proxy(WebAssembly[name], {
          construct: (type, args) => (made++, new type(...args)),
        });
      const looks = [look()];
      import('smooth-l1').then(async ({ float32, l1Loss, setNumThreads }) => {
        looks.push(look());
        const madeOnImport = made;
        const [x, y] = [float32(300_000).fill(1), float32(300_000)];
        l1Loss(x, y);
        looks.push(look());
        await setNumThreads(2);
        l1Loss(x, y);
        looks.push(look());
        console.log(madeOnImport, made, new Set(looks).size);
      });`;
    expect(run(script)).toBe('0 3 1');
  });
});

// The compiler's own declarations are parsed once, whatever is checked with them.
const parsed = new Map<string, ts.SourceFile | undefined>();

/** What TypeScript has against a user's file. */
function complaints(lib: string[], types: string[]): string[] {
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    lib: lib.map((name) => `lib.${name}.d.ts`),
    module: ts.ModuleKind.NodeNext,
    types,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedSideEffectImports: true,
    skipLibCheck: false,
    noEmit: true,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.getSourceFile = (file, ...rest) => {
    if (!parsed.has(file)) parsed.set(file, getSourceFile(file, ...rest));
    return parsed.get(file);
  };
  const program = ts.createProgram([`${root}test/package/types.ts`], options, host);
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

test.each([
  ['a page', ['es2022', 'esnext.disposable', 'dom'], []],
  ['a worker', ['es2022', 'esnext.disposable', 'webworker'], []],
  ['Node', ['es2022', 'esnext.disposable', 'dom'], ['node']],
])('the types hold for %s', (_, lib, types) => {
  expect(complaints(lib, types)).toEqual([]);
});
