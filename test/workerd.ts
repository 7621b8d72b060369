// A worker of this tree in workerd: bundled as wrangler bundles one, and served.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The program, where npm has one for this system. */
export const program = find();

function find(): string | undefined {
  const system = { darwin: 'darwin', linux: 'linux', win32: 'windows' }[process.platform as string];
  const name = `@cloudflare/workerd-${system}-${process.arch === 'x64' ? '64' : process.arch}`;
  try {
    const { resolve } = createRequire(createRequire(import.meta.url).resolve('workerd'));
    return resolve(`${name}/bin/workerd${system === 'windows' ? '.exe' : ''}`);
  } catch {
    return undefined;
  }
}

export interface Worker {
  readonly address: string;
  /** The memory of its process, on Linux. */
  residentBytes(): number | undefined;
  stop(): Promise<void>;
}

/**
 * Bundles a worker whose entry is that file, into a folder of that name.
 *
 * @returns the file of its configuration.
 */
export async function bundleWorker(
  entry: string,
  name: string,
  plugins: Plugin[] = [],
): Promise<string> {
  const folder = `${root}target/workers/${name}/`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: { worker: root + entry },
    bundle: true,
    format: 'esm',
    target: 'es2022',
    conditions: ['workerd', 'worker', 'browser'],
    loader: { '.wasm': 'copy' },
    assetNames: '[name]',
    outdir: folder,
    logLevel: 'error',
    plugins,
  });
  // The first is the worker.
  const files = ['worker.js', ...readdirSync(folder).filter((file) => file.endsWith('.wasm'))];
  const modules = files.map((file) => {
    const kind = file.endsWith('.wasm') ? 'wasm' : 'esModule';
    return `(name = "${file}", ${kind} = embed "${file}")`;
  });
  const config = `${folder}config.capnp`;
  writeFileSync(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [${modules.join(', ')}],
    compatibilityDate = "2026-11-01",
  ))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`,
  );
  return config;
}

/** Starts what was bundled; resolves when it listens. */
export async function startWorker(config: string): Promise<Worker> {
  const child: ChildProcess = spawn(program as string, ['serve', config, '--control-fd=3'], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = (): Promise<void> => {
    child.kill('SIGKILL');
    return ended;
  };
  let errors = '';
  child.stderr?.on('data', (data) => {
    errors += data;
  });
  const port = await new Promise<number>((resolve, reject) => {
    let text = '';
    (child.stdio[3] as NodeJS.ReadableStream).on('data', (data) => {
      text += data;
      const event = text.split('\n').find((line) => line.includes('"listen"'));
      if (event) resolve(JSON.parse(event).port);
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`workerd has ended: ${errors}`)));
  });
  return {
    address: `http://127.0.0.1:${port}/`,
    residentBytes() {
      const status = `/proc/${child.pid}/status`;
      if (!existsSync(status)) return undefined;
      return 1024 * Number(/VmRSS:\s*(\d+)/.exec(readFileSync(status, 'utf8'))?.[1]);
    },
    stop,
  };
}
