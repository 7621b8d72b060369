// The package as it is published: its files, its entries, its types, and what importing it does.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import binaryen from 'binaryen';
import { build, transform } from 'esbuild';
import ts from 'typescript';
import { afterAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string): string => readFileSync(root + file, 'utf8');
const manifest = JSON.parse(read('package.json'));

const MODULES = [
  'arrow.js',
  'index.js',
  'index.workerd.js',
  'reference.js',
  'tfjs.js',
  'worker.js',
];
const SCRIPTS = [...MODULES, 'arrow.cjs', 'index.cjs', 'reference.cjs', 'tfjs.cjs'];
const KERNELS = ['smooth_l1.wasm', 'smooth_l1_shared.wasm'];

const folder = mkdtempSync(`${tmpdir()}/smooth-l1-`);
afterAll(() => rmSync(folder, { recursive: true }));
const [pack] = JSON.parse(
  execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: root,
    encoding: 'utf8',
    stdio: 'pipe',
  }),
);
const packed: string[] = pack.files.map((file: { path: string }) => file.path);
const tarball = `${folder}/${pack.filename}`;
/** What the command line loads when it needs it. */
const CHUNK = /^dist\/cli\/[\w-]+\.js$/;

/** What a tool of the package's own dependencies prints. */
function tool(name: string, ...args: string[]): string {
  return execFileSync(`${root}node_modules/.bin/${name}`, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: 'pipe',
  });
}

/** What a script prints when Node runs it in the package. */
function run(script: string, ...flags: string[]): string {
  // Not as an argument: a bundle is longer than one may be.
  return execFileSync(process.execPath, [...flags, '-'], {
    input: script,
    cwd: root,
    encoding: 'utf8',
    stdio: 'pipe',
  }).trim();
}

describe('files', () => {
  test('what ships is this, and nothing else', () => {
    expect(packed.filter((file) => !CHUNK.test(file)).sort()).toEqual(
      [
        'CHANGELOG.md',
        'LICENSE',
        'README.md',
        'dist/arrow.d.cts',
        'dist/arrow.d.ts',
        'dist/SHA256SUMS',
        'dist/cli.js',
        'dist/cli/LICENCES.txt',
        'dist/index.d.cts',
        'dist/index.d.ts',
        'dist/tfjs.d.cts',
        'dist/tfjs.d.ts',
        'dist/wasm.d.ts',
        'dist/worker.d.ts',
        ...SCRIPTS.map((file) => `dist/${file}`),
        ...KERNELS.map((file) => `dist/${file}`),
        'package.json',
      ].sort(),
    );
  });

  test('SHA256SUMS has the digest of each other file of dist', () => {
    const names = packed.filter((file) => file.startsWith('dist/') && file !== 'dist/SHA256SUMS');
    const lines = names.sort().map((file) => {
      const digest = createHash('sha256').update(readFileSync(root + file));
      return `${digest.digest('hex')}  ${file.slice('dist/'.length)}\n`;
    });
    expect(read('dist/SHA256SUMS')).toBe(lines.join(''));
  });

  test('the command runs from the packed package alone, and has the licences of what is in it', () => {
    const home = `${folder}/app/node_modules`;
    mkdirSync(home, { recursive: true });
    execFileSync('tar', ['xzf', tarball, '-C', home]);
    renameSync(`${home}/package`, `${home}/smooth-l1`);
    const files = [
      't.npy',
      'zstd.parquet:p',
      'lz4.feather:p',
      'deflated.npz:p',
      'tensors.safetensors:p',
    ];
    for (const file of files) {
      const [a, b] = [file, file.replace('t.npy', '[t].npy')].map((each) => `test/files/${each}`);
      const args = [manifest.bin['smooth-l1'], a as string, b as string];
      const command = [`${home}/smooth-l1/${args.shift()}`, ...args];
      expect(execFileSync(process.execPath, command, { cwd: root, encoding: 'utf8' })).toBe('0\n');
    }
    const licences = readFileSync(`${home}/smooth-l1/dist/cli/LICENCES.txt`, 'utf8');
    for (const name of [
      'yauzl',
      'hyparquet',
      '@uwdata/flechette',
      'lz4js',
      'tinyglobby',
      'cli-progress',
    ])
      expect(licences).toContain(`\n${name} `);
  });

  test('publint has nothing to say', () => {
    expect(tool('publint', 'run', tarball, '--strict')).toContain('All good!');
  });

  // The worker and the modules are no CommonJS; entries beside the main one have no old style.
  test.each([
    ['.', []],
    ['./reference', ['--profile', 'node16']],
    ['./tfjs', ['--profile', 'node16']],
    ['./arrow', ['--profile', 'node16']],
    ['./worker', ['--profile', 'esm-only']],
    ['./smooth_l1.wasm', ['--profile', 'esm-only']],
  ])('the types of entry %s fit what it resolves to, however it is resolved', (entry, flags) => {
    // It ends with an error if there is a problem.
    expect(tool('attw', tarball, '--entrypoints', entry, ...flags)).toContain('smooth-l1 v');
  });

  test('an app that uses one loss takes 40 KB, gzipped', async () => {
    const code =
      "import { float32, smoothL1Loss } from 'smooth-l1'; smoothL1Loss(float32(1), float32(1));";
    const app = await bundled(code, 'esm');
    expect(gzipSync(app, { level: 9 }).length).toBeLessThan(40 * 1024);
    // Nothing of the threads is in it.
    expect(app).not.toMatch(/import\.meta|worker/i);
  });

  test('nobody needs another package, and nothing runs on installing this one', () => {
    for (const field of ['dependencies', 'optionalDependencies'])
      expect(manifest).not.toHaveProperty(field);
    for (const peer of Object.keys(manifest.peerDependencies))
      expect(manifest.peerDependenciesMeta[peer]).toEqual({ optional: true });
    expect(Object.keys(manifest.scripts).join()).not.toMatch(/install|prepare|prepublish/);
  });
});

/** A user's code, bundled for a host with these conditions. */
async function bundled(
  code: string,
  format: 'esm' | 'cjs',
  ...conditions: string[]
): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: root },
    bundle: true,
    minify: true,
    format,
    conditions,
    write: false,
    logLevel: 'silent',
  });
  return outputFiles[0]?.text as string;
}

describe('bundled', () => {
  test("a user's own worker file keeps the worker", async () => {
    expect(await bundled("import 'smooth-l1/worker';", 'esm')).toContain('postMessage');
  });

  test.each(['edge-light', 'react-native'])(
    'for %s there is no import.meta, Worker or WebAssembly module',
    async (condition) => {
      const code =
        "import { l1Loss, setNumThreads } from 'smooth-l1'; console.log(l1Loss, setNumThreads);";
      const app = await bundled(code, 'esm', condition);
      expect(app).not.toMatch(/import\.meta|new Worker/);
      expect(app.length).toBeLessThan(80_000);
    },
  );

  test.each(['esm', 'cjs'] as const)('as %s, in one file, it runs with threads', async (format) => {
    const app = await bundled(
      `import { float32, getNumThreads, l1Loss, setNumThreads } from 'smooth-l1';
       console.log(l1Loss(float32([3]), float32(1)));
       setNumThreads(2).then(() => console.log(getNumThreads()));`,
      format,
    );
    expect(run(app, `--input-type=${format === 'esm' ? 'module' : 'commonjs'}`)).toBe('3\n2');
  });

  test('for Cloudflare Workers it knows its backend before its first use', async () => {
    const { outputFiles } = await build({
      stdin: {
        contents: `import { backend, float32, l1Loss, setNumThreads } from 'smooth-l1';
          console.log(backend, l1Loss(float32([3]), float32(1)), backend);
          setNumThreads(2).catch((error) => console.log(error.message));`,
        resolveDir: root,
      },
      bundle: true,
      format: 'cjs',
      conditions: ['workerd'],
      external: ['node:fs'],
      write: false,
      plugins: [
        {
          name: 'a module for each .wasm file',
          setup: ({ onLoad }) =>
            onLoad({ filter: /\.wasm$/ }, ({ path }) => ({
              contents: `module.exports = new WebAssembly.Module(
                require('node:fs').readFileSync(${JSON.stringify(path)}))`,
            })),
        },
      ],
    });
    const [backends, error] = run(outputFiles[0]?.text as string).split('\n');
    expect(backends).toBe('wasm 3 wasm');
    expect(error).toBe(
      'setNumThreads: threads need the backend "wasm-shared", and the backend here is "wasm" (chosen by load(), or by this entry of the package)',
    );
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
      file === 'index.workerd.js'
        ? ['./smooth_l1.wasm']
        : file.startsWith('tfjs')
          ? ['@tensorflow/tfjs-core', 'smooth-l1']
          : file.startsWith('arrow')
            ? ['smooth-l1']
            : [],
    );
  });

  test.runIf(MODULES.includes(file))('has no top-level await', async () => {
    // Which CommonJS cannot have.
    await expect(transform(code, { format: 'cjs' })).resolves.toBeDefined();
  });

  test('makes no code from text but that of a worker, and fetches nothing', async () => {
    const { code: bare } = await transform(code, { minifyWhitespace: true, format: 'esm' });
    expect(bare).not.toMatch(
      /\beval\b(?!:true)|\bFunction\b|\bfetch\b|XMLHttpRequest|importScripts/,
    );
  });

  test('asks for its own address only in the words that bundlers look for', () => {
    // Elsewhere webpack and Rspack write the path of the building machine in its place.
    const left = code.replace('new Worker(new URL("./worker.js",import.meta.url),', '');
    expect(left).not.toContain('import.meta');
    expect(left.length < code.length).toBe(file === 'index.js');
  });
});

test('index.js has the kernel in it, once for both memories, the entries for other hosts have not', () => {
  const kernel = readFileSync(`${root}dist/smooth_l1.wasm`).toString('hex');
  expect(SCRIPTS.filter((file) => read(`dist/${file}`).includes(kernel))).toEqual([
    'index.js',
    'index.cjs',
  ]);
});

describe.each(KERNELS)('%s', (file) => {
  const bytes = readFileSync(`${root}dist/${file}`);

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
  test('CommonJS can require both entries, which compute and have the same names', () => {
    expect(
      run(`const entries = ['smooth-l1', 'smooth-l1/reference'].map((name) => require(name));
        const show = () => console.log(entries.map(({ backend }) => backend).join());
        show();
        for (const { float32, l1Loss } of entries) console.log(l1Loss(float32([1, 2, 3]), float32(3)));
        show();
        console.log(String(Object.keys(entries[0])) === String(Object.keys(entries[1])));`),
    ).toBe('wasm-shared,js\n2\n2\nwasm-shared,js\ntrue');
  });

  test('it is one package, imported or required', () => {
    expect(
      run(`const { l1Loss } = require('smooth-l1');
        import('smooth-l1').then((smooth) => console.log(smooth.l1Loss === l1Loss));`),
    ).toBe('true');
  });

  test.each(['smooth-l1', 'smooth-l1/reference'])(
    'the CommonJS file of %s computes, and the main one has threads',
    (entry) => {
      const file = entry === 'smooth-l1' ? 'index' : 'reference';
      const script = `const { float32, l1Loss, setNumThreads, getNumThreads } = require('./dist/${file}.cjs');
      console.log(l1Loss(float32([1, 2, 3]), float32(3)));
      setNumThreads(2).then(() => console.log(getNumThreads()), () => console.log('none'));`;
      expect(run(script)).toBe(file === 'index' ? '2\n2' : '2\nnone');
    },
  );

  test('it runs where code from text is forbidden', () => {
    expect(
      run(
        `const { float32, getNumThreads, l1Loss, setNumThreads } = require('smooth-l1');
        console.log(l1Loss(float32([1, 2, 3]), float32(3)));
        setNumThreads(2).then(() => console.log(getNumThreads()));`,
        '--disallow-code-generation-from-strings',
      ),
    ).toBe('2\n2');
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
  // The package's declarations are checked with those of the host, which alone take 20 s.
  const own = program.getSourceFiles().filter(({ fileName }) => !/node_modules/.test(fileName));
  expect(own.map(({ fileName }) => fileName)).toContain(`${root}dist/index.d.ts`);
  return own
    .flatMap((file) => ts.getPreEmitDiagnostics(program, file))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

test.each([
  ['a page', ['es2022', 'esnext.disposable', 'dom'], []],
  ['a worker', ['es2022', 'esnext.disposable', 'webworker'], []],
  ['Node', ['es2022', 'esnext.disposable', 'dom'], ['node']],
  ['a project without Disposable', ['es2023', 'dom'], []],
])('the types hold for %s', (_, lib, types) => {
  expect(complaints(lib, types)).toEqual([]);
});
