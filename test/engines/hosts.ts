// Engines without a window: Node, Deno, Bun and workerd.
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { check, type Found, here, judge, Missing, run, type Wanted, work } from './checks.ts';

interface Host {
  name: string;
  program: string;
  flags?: string[];
  env?: Record<string, string>;
}

const modules = `${here}node_modules/`;
/** The oldest Node that the package takes is among them. */
export const nodes: Host[] = [
  { name: 'Node', program: process.execPath },
  ...[20, 22, 24, 26].map((major) => ({
    name: 'Node',
    program: `${modules}node-${major}/bin/node`,
  })),
];
const deno: Host = {
  name: 'Deno',
  program: `${modules}@deno/linux-x64-glibc/deno`,
  flags: ['run', '--allow-read'],
};
const bun: Host = { name: 'Bun', program: `${modules}@oven/bun-linux-x64/bin/bun` };
const workerd = `${modules}@cloudflare/workerd-linux-64/bin/workerd`;

/** V8's two compilers one by one, when the second is asked, and the second with code of 256 bits. */
const tiers = [
  '--liftoff-only',
  '--no-liftoff',
  '--no-wasm-tier-up',
  '--no-wasm-dynamic-tiering',
  '--no-wasm-lazy-compilation',
  '--experimental-wasm-revectorize',
];

const SHARING = /shared memory/;
const backends: Record<string, Wanted> = {
  default: { backend: 'wasm-shared' },
  wasm: { backend: 'wasm', refusal: SHARING },
  js: { backend: 'js', refusal: SHARING },
};

export async function checkHosts(): Promise<void> {
  for (const host of [...nodes, deno, bun]) {
    const name = await nameOf(host);
    for (const [backend, wanted] of Object.entries(backends))
      await check(`${name}, ${backend}`, () => suite(name, host, backend, wanted));
  }
  for (const host of nodes.slice(1))
    for (const tier of tiers) {
      const name = `${await nameOf(host)} ${tier}`;
      await check(name, async () => {
        await require(host);
        const known = await run(host.program, ['--v8-options']);
        if (!known.includes(tier.replace('--no-', '--')))
          throw new Missing('this version has no such flag');
        return suite(name, { ...host, flags: [tier] }, 'default', { backend: 'wasm-shared' });
      });
    }
  for (const [backend, wanted] of Object.entries(backends))
    await check(`Node on ARM64 (emulated), ${backend}`, () => suiteOnArm(backend, wanted));
  for (const tier of tiers.slice(0, 2))
    await check(`Node on ARM64 (emulated) ${tier}`, () =>
      suiteOnArm('default', { backend: 'wasm-shared' }, [tier]),
    );
  // The tiers of JavaScriptCore: an interpreter, and two compilers.
  for (const tier of ['useBBQJIT', 'useOMGJIT', 'useJIT']) {
    const name = `${await nameOf(bun)} without ${tier.slice(3)}`;
    const env = { [`BUN_JSC_${tier}`]: '0' };
    await check(name, () => suite(name, { ...bun, env }, 'default', { backend: 'wasm-shared' }));
  }
  for (const flags of [[], ['nodejs_compat']])
    for (const backend of ['default', 'wasm', 'js'])
      await check(`workerd${flags.map((flag) => ` with ${flag}`)}, ${backend}`, () =>
        suiteInWorkerd(backend, flags),
      );
}

async function suite(name: string, host: Host, backend: string, wanted: Wanted): Promise<string> {
  await require(host);
  const out = await run(host.program, [...(host.flags ?? []), 'cli.js', backend], {
    env: host.env ?? {},
  });
  return judge(name, JSON.parse(out) as Found, wanted);
}

async function suiteOnArm(backend: string, wanted: Wanted, flags: string[] = []): Promise<string> {
  const program = await run('bash', ['arm64.sh']).catch((error) => {
    throw new Missing(error.message);
  });
  const name = 'Node on ARM64';
  const host = { name, program: program.trim(), flags };
  return suite(name, host, backend, { ...wanted, processor: 'arm64' });
}

async function suiteInWorkerd(backend: string, flags: string[]): Promise<string> {
  await require({ name: 'workerd', program: workerd });
  const folder = `${work}workerd/`;
  mkdirSync(folder, { recursive: true });
  // As wrangler does it.
  await run(`${modules}.bin/esbuild`, [
    'workerd.js',
    '--bundle',
    '--format=esm',
    '--target=es2022',
    '--conditions=workerd,worker,browser',
    '--loader:.json=text',
    '--loader:.wasm=copy',
    '--asset-names=[name]',
    `--outdir=${folder}`,
  ]);
  writeFileSync(
    `${folder}config.capnp`,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(name = "suite", worker = (
  modules = [
    (name = "workerd.js", esModule = embed "workerd.js"),
    (name = "smooth_l1.wasm", wasm = embed "smooth_l1.wasm"),
  ],
  bindings = [(name = "BACKEND", text = "${backend}")],
  compatibilityDate = "2026-11-01",
  compatibilityFlags = [${flags.map((flag) => `"${flag}"`)}],
))]);
`,
  );
  const out = await run(workerd, ['test', `${folder}config.capnp`]);
  return judge('workerd', JSON.parse(out) as Found, {
    backend: backend === 'js' ? 'js' : 'wasm',
    refusal: SHARING,
  });
}

let consumer: Promise<string> | undefined;
/** A folder where the tarball is installed. */
function consumerFolder(): Promise<string> {
  consumer ??= (async () => {
    const folder = `${work}consumer/`;
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}package.json`, '{ "private": true, "type": "module" }');
    copyFileSync(`${work}smooth-l1.tgz`, `${folder}smooth-l1.tgz`);
    await run('npm', ['install', '--offline', '--no-audit', '--no-fund', './smooth-l1.tgz'], {
      cwd: folder,
    });
    return folder;
  })();
  return consumer;
}

/** Users of the packed package in Node: both kinds of module, in files and not. */
export async function checkConsumers(): Promise<void> {
  const use = `
    const x = float32([0.5, 3]);
    console.log(backend, smoothL1Loss(x, float32(2)));
    setNumThreads(2).then(() => console.log(getNumThreads()));`;
  const names = 'backend, float32, getNumThreads, setNumThreads, smoothL1Loss';
  const esm = `import { ${names} } from 'smooth-l1';${use}`;
  const cjs = `const { ${names} } = require('smooth-l1');${use}`;
  for (const host of nodes)
    for (const [way, ...args] of [
      ['import in a file', 'use.mjs'],
      ['require in a file', 'use.cjs'],
      ['import in --eval', '--input-type=module', '--eval', esm],
      ['require in --eval', '--input-type=commonjs', '--eval', cjs],
    ] as [string, ...string[]][])
      await check(`${await nameOf(host)}, ${way}`, async () => {
        await require(host);
        const cwd = await consumerFolder();
        writeFileSync(`${cwd}use.mjs`, esm);
        writeFileSync(`${cwd}use.cjs`, cjs);
        const out = await run(host.program, args, { cwd });
        if (out !== 'wasm-shared 1.3125\n2\n') throw new Error(`it printed ${out}`);
        return 'wasm-shared, 2 threads';
      });
}

/** The types of the tarball, with compilers older and newer than the one in use here. */
export async function checkCompilers(): Promise<void> {
  for (const name of ['typescript-5.6', 'typescript-7']) {
    const tsc = `${modules}${name}/bin/tsc`;
    const version = await run(process.execPath, [tsc, '--version']);
    await check(`TypeScript ${version.replace('Version', '').trim()}`, async () => {
      const folder = await consumerFolder();
      copyFileSync(`${here}../package/types.ts`, `${folder}types.ts`);
      const compilerOptions = {
        target: 'es2022',
        lib: ['es2022', 'esnext.disposable', 'dom'],
        module: 'nodenext',
        types: [],
        strict: true,
        skipLibCheck: false,
        noEmit: true,
      };
      const config = { compilerOptions, files: ['types.ts'] };
      writeFileSync(`${folder}tsconfig.json`, JSON.stringify(config));
      await run(process.execPath, [tsc], { cwd: folder });
      return 'no complaints';
    });
  }
}

/** The name with the version that is here. */
export async function nameOf({ name, program }: Host): Promise<string> {
  if (!existsSync(program)) return `${name} (${program.replace(modules, '').split('/')[0]})`;
  const [version] = /\d+\.\d+\.\d+/.exec(await run(program, ['--version'])) ?? ['?'];
  return `${name} ${version}`;
}

async function require({ program }: Host): Promise<void> {
  if (!existsSync(program)) throw new Missing('not here: its npm package is for Linux on x64');
}
