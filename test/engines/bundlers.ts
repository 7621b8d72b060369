// The packed package through bundlers, as a user's application has it: into a browser, and into Node.
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { chromium, isolated, visit } from './browsers.ts';
import { check, type Found, here, judge, run, start, stop, work } from './checks.ts';
import { nameOf, nodes } from './hosts.ts';

const bin = `${here}node_modules/.bin/`;
const wanted = { backend: 'wasm-shared' } as const;

interface Bundler {
  name: string;
  /** Puts the application into a folder. */
  bundle: (folder: string) => Promise<unknown>;
  /** Its page, if the bundler makes it. */
  page?: string;
  /** The script for the page, if it does not. */
  script?: string;
}

const bundlers: Bundler[] = [
  {
    name: 'vite',
    bundle: (folder) => run(`${bin}vite`, ['build', '--outDir', folder, '--logLevel=warn']),
    page: 'app.html',
  },
  {
    name: 'webpack',
    bundle: (folder) => run(process.execPath, ['webpack.js', './app.js', 'web', folder]),
    script: 'main.js',
  },
  // These two leave the address of the worker as it is: it is made a second entry, beside the first.
  {
    name: 'esbuild',
    bundle: (folder) =>
      run(`${bin}esbuild`, [
        'app.js',
        'worker=smooth-l1/worker',
        '--bundle',
        '--format=esm',
        '--minify',
        '--log-level=warning',
        `--outdir=${folder}`,
      ]),
    script: 'app.js',
  },
  {
    name: 'rollup',
    bundle: (folder) =>
      run(`${bin}rollup`, [
        '--input=app=app.js',
        '--input=worker=smooth-l1/worker',
        '--plugin=node-resolve',
        '--format=es',
        '--entryFileNames=[name].js',
        '--failAfterWarnings',
        '--silent',
        `--dir=${folder}`,
      ]),
    script: 'app.js',
  },
];

export async function checkBundlers(): Promise<void> {
  for (const { name, bundle, page, script } of bundlers)
    await check(`${await versionOf(name)}, in Chromium`, async () => {
      const folder = `${work}${name}/`;
      mkdirSync(folder, { recursive: true });
      await bundle(folder);
      if (script)
        writeFileSync(
          `${folder}index.html`,
          `<!doctype html>\n<meta charset="utf-8">\n<script type="module" src="${script}"></script>\n`,
        );
      const address = `${await isolated()}/build/${name}/${page ?? 'index.html'}`;
      const [found] = await visit(chromium, address, {});
      return judge(name, found as Found, wanted);
    });

  // Vite before 8 loses the worker's file in what it bundles beforehand: it comes from text there.
  for (const name of ['vite', 'vite-7'])
    await check(`${await versionOf(name)} as a development server, in Chromium`, async () => {
      const server = start(
        process.execPath,
        [`${here}node_modules/${name}/bin/vite.js`, 'dev', '--force'],
        { env: { NO_COLOR: '1' } },
      );
      try {
        const [found] = await visit(chromium, `${await addressOf(server)}/app.html`, {});
        return judge(`${name} dev`, found as Found, wanted);
      } finally {
        stop(server);
      }
    });

  // As frameworks do that render on a server.
  const folder = `${work}webpack-node/`;
  await check(`${await versionOf('webpack')} for Node`, async () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}package.json`, '{ "private": true }');
    await run(process.execPath, ['webpack.js', './app-node.js', 'node', folder]);
    return 'no complaints';
  });
  for (const node of nodes)
    await check(`${await nameOf(node)}, application of webpack`, async () => {
      const out = await run(node.program, [`${folder}main.js`]);
      if (out !== 'wasm-shared 0.125 0.125 2\n') throw new Error(`it printed ${out}`);
      return out.trim();
    });
}

/** Checks of the package as such, by tools of others. */
export async function checkTools(): Promise<void> {
  const tarball = `${work}smooth-l1.tgz`;
  await check(await versionOf('publint'), async () => {
    await run(`${bin}publint`, ['run', tarball, '--strict']);
    return 'no complaints';
  });
  await check(await versionOf('attw', '@arethetypeswrong/cli'), async () => {
    // ESM alone, which `require` takes since Node 20.19. What has no types is for loading by address.
    const untyped = ['worker', 'smooth_l1.wasm', 'smooth_l1_shared.wasm'];
    const args = ['--profile=esm-only', '--no-color', '--exclude-entrypoints', ...untyped];
    await run(`${bin}attw`, [tarball, ...args]);
    return 'no complaints';
  });
}

/** The address that a development server prints. */
function addressOf(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    server.stdout?.on('data', (data) => {
      text += data;
      const [found] = /http:\/\/localhost:\d+/.exec(text) ?? [];
      if (found) resolve(found);
    });
    server.on('exit', () => reject(new Error(`it has ended: ${text}`)));
  });
}

async function versionOf(name: string, of = name): Promise<string> {
  const { default: manifest } = await import(`${here}node_modules/${of}/package.json`, {
    with: { type: 'json' },
  });
  return `${name.replace(/-.*/, '')} ${manifest.version}`;
}
