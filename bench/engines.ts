// The same races in other engines: Node 20 to 26, Deno and Bun from bench/peers, and the browsers that
// this machine has.

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { progress } from '../demo/progress.ts';
import type { EngineRow } from './results.ts';
import type { Section } from './section.ts';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const BUNDLE = path('../target/bench/engine.mjs');
const TIMEOUT_MS = 300_000;

interface Engine {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly isBrowser?: boolean;
}

const PEERS = path('peers/node_modules/');
const ENGINES: readonly Engine[] = [
  ...[20, 22, 24, 26].map((major) => ({
    name: `Node ${major}`,
    program: `${PEERS}node${major}/bin/node`,
    args: [],
  })),
  { name: 'Deno', program: `${PEERS}deno/deno`, args: ['run', '--allow-all'] },
  { name: 'Bun', program: `${PEERS}bun/bin/bun`, args: [] },
  {
    name: 'Chromium',
    program: '/usr/bin/chromium',
    // --no-sandbox: it refuses to start for root with one.
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--user-data-dir=PROFILE'],
    isBrowser: true,
  },
  {
    name: 'Firefox',
    program: '/usr/bin/firefox-esr',
    args: ['--headless', '--no-remote', '--profile', 'PROFILE'],
    isBrowser: true,
  },
];

export const engines: Section = async ({ isQuick, skipped }) => {
  await build({
    entryPoints: [path('engine.ts')],
    outfile: BUNDLE,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    external: ['node:*'],
    logLevel: 'error',
  });
  const rows: EngineRow[] = [];
  const bar = progress('engines', ENGINES.length);
  for (const engine of ENGINES) {
    bar.step(1, engine.name);
    if (!existsSync(engine.program)) {
      skipped.push({ what: engine.name, why: 'not installed' });
      continue;
    }
    try {
      const text = await (engine.isBrowser ? inBrowser : inProcess)(engine, isQuick);
      const answer = JSON.parse(text) as { error?: string; rows: Omit<EngineRow, 'engine'>[] };
      if (answer.error) throw new Error(answer.error);
      const name = `${engine.name.replace(/ \d+$/, '')} ${version(engine)}`;
      for (const row of answer.rows) rows.push({ engine: name, ...row });
    } catch (error) {
      skipped.push({ what: engine.name, why: String(error).split('\n')[0]! });
    }
  }
  bar.stop();
  return { engines: rows };
};

function version({ program }: Engine): string {
  const text = execFileSync(program, ['--version'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return /\d+[\d.]+/.exec(text)?.[0] ?? '?';
}

async function inProcess({ program, args }: Engine, isQuick: boolean): Promise<string> {
  const all = [...args, BUNDLE, isQuick ? 'quick' : 'full'];
  const { stdout } = await promisify(execFile)(program, all, { timeout: TIMEOUT_MS });
  return stdout;
}

/** Serves the bundle, opens the page in a browser of its own profile, and waits for its answer. */
async function inBrowser({ program, args }: Engine, isQuick: boolean): Promise<string> {
  const profile = mkdtempSync(join(tmpdir(), 'smooth-l1-bench-'));
  let browser: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  const server = createServer();
  try {
    return await new Promise<string>((resolve, reject) => {
      server.on('request', (request, response) => {
        // Without the first two there is no shared memory, and the clock is coarser.
        response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
        response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
        const isScript = request.url === '/engine.mjs';
        response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html');
        if (request.method === 'POST') {
          let body = '';
          request.on('data', (part) => {
            body += part;
          });
          request.on('end', () => resolve(body));
        }
        response.end(
          isScript ? readFileSync(BUNDLE) : '<script type="module" src="/engine.mjs"></script>',
        );
      });
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address() as { port: number };
        const page = `http://127.0.0.1:${port}/${isQuick ? '?quick' : ''}`;
        const own = args.map((arg) => arg.replace('PROFILE', profile));
        // A process group of its own: browsers start others, which have to end with it.
        browser = spawn(program, [...own, page], { stdio: 'ignore', detached: true });
        browser.on('error', reject);
        timer = setTimeout(() => reject(new Error('no answer from its page')), TIMEOUT_MS);
      });
    });
  } finally {
    clearTimeout(timer);
    server.close();
    server.closeAllConnections();
    if (browser?.pid) {
      const ended = new Promise((resolve) => browser!.once('exit', resolve));
      process.kill(-browser.pid, 'SIGKILL');
      await ended;
    }
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
