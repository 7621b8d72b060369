// Test runners and compilers, with the options that their users start with.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { chromium } from '../engines/browsers.ts';
import { Missing } from '../engines/checks.ts';
import { NODE_24 } from './frameworks.ts';
import { ISOLATED, judged, LOOK, type Project, project, type Seen, SHARED } from './project.ts';

const EDGE = fileURLToPath(new URL('../../examples/edge/', import.meta.url));

const TEST = `import { look } from './look';
test('it computes, with threads', async () => {
  expect(await look()).toEqual({ backend: 'wasm-shared', threads: 2, loss: 0.125 });
});
`;

async function jest(made: Project, packages: Record<string, string>, config: object, ext: string) {
  await made.install({ jest: '30.5.2', ...packages });
  made.write({ [`look.${ext}`]: LOOK, [`look.test.${ext}`]: TEST });
  made.edit('package.json', (text) => JSON.stringify({ ...JSON.parse(text), jest: config }));
  await made.bin('jest', '--ci');
  return SHARED;
}

const PRESETS = { '@babel/core': '7.28.5', '@babel/preset-env': '7.28.5' };

/** A file that uses the package, and what is wrong about it wherever it is compiled. */
const TYPED = `import { backend, float32, load, smoothL1Loss, type SmoothL1Options } from 'smooth-l1';
import * as reference from 'smooth-l1/reference';
const x = float32(3);
const options: SmoothL1Options<'sum'> = { reduction: 'sum', beta: 2 };
export const loss: number = smoothL1Loss(x, reference.float32(3), options);
export const copy: Float32Array = x.slice();
load({ backend });
// @ts-expect-error: an array of the kernel is no any
x.thisDoesNotExist;
`;
const FILES = `import 'smooth-l1/worker';
import shared from 'smooth-l1/smooth_l1_shared.wasm';
load({ module: shared });
`;

const COMPILERS: Record<string, string> = {
  '5.2': '5.2.2',
  '5.6': '5.6.3',
  '5.9': '5.9.3',
  '6.0': '6.0.3',
  '7.0': '7.0.2',
};

/** What compilers are told, by the kind of project. */
const PROJECTS: Record<string, { file: string; text: string; options: object; until?: number }> = {
  'a page, without Disposable': {
    file: 'page.ts',
    text: TYPED + FILES,
    options: { module: 'esnext', moduleResolution: 'bundler', lib: ['es2023', 'dom'], types: [] },
  },
  'CommonJS in Node': {
    file: 'node.cts',
    text: TYPED,
    options: { module: 'node16', lib: ['es2022', 'dom'], types: ['node'] },
  },
  'Node, without DOM': {
    file: 'node.mts',
    text: TYPED + FILES,
    options: { module: 'nodenext', lib: ['es2022'], types: ['node'] },
  },
  'nothing of WebAssembly': {
    file: 'bare.mts',
    text: TYPED,
    options: { module: 'nodenext', lib: ['es2022'], types: [] },
  },
  'resolution node10': {
    file: 'old.ts',
    text: TYPED.replace(/^.*reference';\n/m, '').replace('reference.', ''),
    options: { module: 'commonjs', moduleResolution: 'node', lib: ['es2022', 'dom'], types: [] },
    until: 6,
  },
};

export async function checkTools(): Promise<void> {
  await project('TypeScript', async (made) => {
    await made.install({
      '@types/node': '24.19.4',
      ...Object.fromEntries(
        Object.entries(COMPILERS).map(([name, version]) => [
          `tsc-${name}`,
          `npm:typescript@${version}`,
        ]),
      ),
    });
    const failures: string[] = [];
    for (const [name, version] of Object.entries(COMPILERS))
      for (const [kind, { file, text, options, until = 9 }] of Object.entries(PROJECTS)) {
        if (Number(name) >= until) continue;
        made.write({
          [file]: text,
          'tsconfig.json': JSON.stringify({
            compilerOptions: {
              target: 'es2022',
              strict: true,
              exactOptionalPropertyTypes: true,
              skipLibCheck: false,
              noEmit: true,
              ...options,
            },
            files: [file],
          }),
        });
        await made
          .run('node', `node_modules/tsc-${name}/bin/tsc`, '-p', '.')
          .catch((error) => failures.push(`${version}, ${kind}: ${error.message}`));
      }
    if (failures.length > 0) throw new Error(failures.join('\n'));
    return `no complaints of ${Object.values(COMPILERS)} about ${Object.keys(PROJECTS).join('; ')}`;
  });

  await project('Jest 30.5.2, CommonJS', async (made) => {
    await made.install({ jest: '30.5.2' });
    const required = (text: string): string =>
      text
        .replace(/import (\{.*\}) from (.*);/, 'const $1 = require($2);')
        .replace(/export (async function (\w+))/, 'exports.$2 = $2;\n$1');
    made.write({ 'look.js': required(LOOK), 'look.test.js': required(TEST) });
    await made.bin('jest', '--ci');
    return SHARED;
  });
  await project('Jest 30.5.2, Babel', (made) => {
    made.write({
      'babel.config.json':
        '{ "presets": [["@babel/preset-env", { "targets": { "node": "current" } }]] }',
    });
    return jest(made, PRESETS, {}, 'js');
  });
  await project('Jest 30.5.2, ts-jest 29.4.15', (made) => {
    made.write({
      'tsconfig.json': JSON.stringify({
        compilerOptions: {
          strict: true,
          esModuleInterop: true,
          target: 'es2022',
          module: 'commonjs',
        },
      }),
    });
    const packages = { 'ts-jest': '29.4.15', typescript: '5.9.3', '@types/jest': '30.0.0' };
    return jest(made, packages, { preset: 'ts-jest' }, 'ts');
  });
  for (const environment of ['node', 'jsdom'])
    await project(`Vitest 4.1.12, ${environment}`, async (made) => {
      await made.install({ vitest: '4.1.12', ...(environment === 'jsdom' && { jsdom: '26.1.0' }) });
      made.write({ 'look.js': LOOK, 'look.test.js': TEST });
      await made.bin('vitest', 'run', '--globals', `--environment=${environment}`);
      return SHARED;
    });

  await project('Vitest 4.1.12, browser mode', async (made) => {
    if (!chromium.program) throw new Missing(`not here; Debian has it in ${chromium.debian}`);
    await made.install({
      vitest: '4.1.12',
      '@vitest/browser-playwright': '4.1.12',
      playwright: '1.65.1',
    });
    const launch = { executablePath: chromium.program, args: ['--no-sandbox'] };
    made.write({
      'look.js': LOOK,
      'look.test.js': TEST,
      'vitest.config.js': `import { playwright } from '@vitest/browser-playwright';
        export default {
          server: { headers: ${JSON.stringify(ISOLATED)} },
          test: { globals: true, browser: { enabled: true, headless: true,
            provider: playwright({ launchOptions: ${JSON.stringify(launch)} }),
            instances: [{ browser: 'chromium' }] } },
        };\n`,
    });
    await made.bin('vitest', 'run');
    return SHARED;
  });

  await project('wrangler 4.164.0, development server', async (made) => {
    await made.install({ wrangler: '4.164.0', ...NODE_24 });
    made.write({
      'look.js': LOOK,
      'index.js': `import { look } from './look.js';
        export default { fetch: async () => Response.json(await look()) };\n`,
      'wrangler.json': JSON.stringify({
        name: 'app',
        main: 'index.js',
        compatibility_date: '2026-11-01',
      }),
    });
    const dev = ['dev', '--local', '--ip=localhost', '--port=0'];
    const address = await made.listen('wrangler', ...dev);
    const seen = judged((await (await fetch(address)).json()) as Seen, 'wasm, 1 thread');
    // The example: one element, smooth L1 of 3, without its gradient.
    for (const file of ['worker.ts', 'wrangler.jsonc'])
      made.write({ [file]: readFileSync(`${EDGE}${file}`, 'utf8') });
    const response = await fetch(await made.listen('wrangler', ...dev, '--config=wrangler.jsonc'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/octet-stream', Accept: 'application/json' },
      body: Uint8Array.of(
        ...Buffer.from('SML1'),
        ...new Uint8Array(Uint32Array.of(0, 0x3f800000, 1, 0x40400000, 0).buffer),
      ),
    });
    const text = await response.text();
    if (text !== '{"loss":2.5}')
      throw new Error(`examples/edge answers ${response.status} ${text}`);
    return `${seen}; examples/edge answers`;
  });

  await project('AWS Lambda, a zip with one bundle', async (made) => {
    await made.install({ esbuild: '0.28.2', fflate: '0.8.3' });
    made.write({
      'look.js': LOOK,
      'index.js': `import { look } from './look.js';
        export const handler = async () => ({ statusCode: 200, body: JSON.stringify(await look()) });\n`,
      'deploy.mjs': `import { readFileSync, writeFileSync } from 'node:fs';
        import { unzipSync, zipSync } from 'fflate';
        const [, , name, task] = process.argv;
        writeFileSync('function.zip', zipSync({ [name]: readFileSync('out/' + name) }));
        for (const [name, bytes] of Object.entries(unzipSync(readFileSync('function.zip'))))
          writeFileSync(task + '/' + name, bytes);\n`,
    });
    for (const [format, name] of [
      ['cjs', 'index.js'],
      ['esm', 'index.mjs'],
    ]) {
      const flags = ['--bundle', '--minify', '--platform=node', '--log-level=error'];
      await made.bin(
        'esbuild',
        'index.js',
        ...flags,
        `--format=${format}`,
        `--outfile=out/${name}`,
      );
      // Outside of the project: no package.json and no packages above it.
      const task = mkdtempSync(`${tmpdir()}/smooth-l1-task-`);
      try {
        await made.run('node', 'deploy.mjs', name as string, task);
        const invoke = `import('${task}/${name}').then(({ handler }) => handler({}, {}))
          .then(({ body }) => console.log(body))`;
        judged(JSON.parse(await made.run('node', '--eval', invoke)));
      } finally {
        rmSync(task, { recursive: true });
      }
    }
    return `${SHARED}, as cjs and as esm`;
  });

  await project('Metro 0.83.8, Hermes 0.12.0', async (made) => {
    await made.install({
      metro: '0.83.8',
      'metro-config': '0.83.8',
      '@babel/core': '7.28.5',
      '@react-native/metro-babel-transformer': '0.79.7',
      'hermes-engine-cli': '0.12.0',
    });
    made.write({
      'look.js': LOOK,
      'app.js': `import { look } from './look';
        look().then((seen) => print(JSON.stringify(seen)));\n`,
      'metro.config.js': `const { getDefaultConfig, mergeConfig } = require('metro-config');
        module.exports = getDefaultConfig(__dirname).then((base) => mergeConfig(base, {
          resolver: { unstable_enablePackageExports: true, unstable_conditionNames: ['react-native'] },
          transformer: { babelTransformerPath: require.resolve('@react-native/metro-babel-transformer') },
        }));\n`,
    });
    await made.bin('metro', 'build', 'app.js', '--out', 'out.js', '--minify', 'false');
    const systems: Record<string, string> = { linux: 'linux64', darwin: 'osx' };
    const hermes = `node_modules/hermes-engine-cli/${systems[process.platform]}-bin/hermes`;
    await made.run('chmod', '+x', hermes);
    return judged(JSON.parse(await made.run(`${made.folder}${hermes}`, 'out.js')), 'js, 1 thread');
  });
}
