// Browsers, driven by nothing but the address of a page: the page tells the server what it found.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname } from 'node:path';
import {
  check,
  type Found,
  here,
  judge,
  Missing,
  PATIENCE_MS,
  run,
  start,
  stop,
  type Wanted,
  work,
} from './checks.ts';

// ---- serving ------------------------------------------------------------------------------------

const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};
const policy = (scripts: string) => ({
  'Content-Security-Policy': `script-src ${scripts}; worker-src 'self'`,
});
/** The strictest policy that lets WebAssembly run. */
const STRICT = policy("'self' 'wasm-unsafe-eval'");
/** What a page needs to be read from another origin, whatever that asks for. */
const OPEN = {
  'Access-Control-Allow-Origin': '*',
  'Cross-Origin-Resource-Policy': 'cross-origin',
};

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
};
const roots = {
  '/vectors/': `${here}../vectors/`,
  '/smooth-l1/': `${here}node_modules/smooth-l1/dist/`,
  '/build/': work,
  '/': here,
};

interface Answer {
  found?: Found[];
  error?: string;
  violations: string[];
}
/** Who waits for the answer of a page. */
const waiting = new Map<string, (answer: Answer) => void>();
const servers: Server[] = [];

/** Serves all files with these headers; resolves with the address. */
async function serve(headers: Record<string, string>): Promise<string> {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
    for (const [name, value] of Object.entries({ ...OPEN, ...headers }))
      response.setHeader(name, value);
    if (request.method === 'POST') {
      let body = '';
      request.on('data', (data) => {
        body += data;
      });
      request.on('end', () => {
        response.end();
        waiting.get(searchParams.get('id') ?? '')?.(JSON.parse(body));
      });
      return;
    }
    const [prefix, folder] = Object.entries(roots).find(([root]) => pathname.startsWith(root)) ?? [
      '/',
      here,
    ];
    if (pathname === '/cdn-worker.js') {
      response.setHeader('Content-Type', types['.js'] ?? '');
      response.end(`import '${searchParams.get('from')}worker.js';`);
      return;
    }
    try {
      const file = readFileSync(folder + pathname.slice(prefix.length));
      response.setHeader('Content-Type', types[extname(pathname)] ?? 'application/octet-stream');
      response.end(file);
    } catch {
      response.writeHead(404).end();
    }
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  return `http://localhost:${(server.address() as AddressInfo).port}`;
}

// ---- browsers -----------------------------------------------------------------------------------

interface Browser {
  name: string;
  /** What Debian calls it. */
  debian: string;
  program: string | undefined;
  args: (profile: string, url: string) => string[];
  env?: Record<string, string>;
  /** Whether it shares memory with the workers of isolated pages. */
  shares: boolean;
}

function onPath(...names: string[]): string | undefined {
  return (process.env.PATH ?? '')
    .split(':')
    .flatMap((folder) => names.map((name) => `${folder}/${name}`))
    .find(existsSync);
}

/** WebKitGTK's own small browser is in no PATH. */
function miniBrowser(): string | undefined {
  const libraries = '/usr/lib';
  const candidates = existsSync(libraries)
    ? readdirSync(libraries).flatMap((machine) =>
        ['4.1', '4.0', '6.0'].map((api) => `${libraries}/${machine}/webkit2gtk-${api}/MiniBrowser`),
      )
    : [];
  return candidates.find(existsSync);
}

export const chromium: Browser = {
  name: 'Chromium',
  debian: 'chromium',
  program: onPath('chromium', 'chromium-browser', 'google-chrome'),
  args: (profile, url) => [
    '--headless=new',
    '--no-sandbox',
    '--no-first-run',
    '--disable-gpu',
    `--user-data-dir=${profile}`,
    url,
  ],
  shares: true,
};
const firefox: Browser = {
  name: 'Firefox',
  debian: 'firefox-esr',
  program: onPath('firefox-esr', 'firefox'),
  args: (profile, url) => ['--headless', '--no-remote', '--profile', profile, url],
  shares: true,
};
const webkit: Browser = {
  name: 'WebKitGTK',
  debian: 'webkit2gtk-driver xvfb xauth',
  program: miniBrowser() && onPath('xvfb-run'),
  args: (_, url) => ['-a', miniBrowser() ?? '', '--private', url],
  shares: false,
};
const browsers: Browser[] = [
  chromium,
  firefox,
  webkit,
  // As Safari has it.
  {
    ...webkit,
    name: 'WebKitGTK sharing memory',
    env: { JSC_useSharedArrayBuffer: '1' },
    shares: true,
  },
];

let visits = 0;

/** Opens a page in a fresh browser; resolves with what the page says. */
export async function visit(browser: Browser, page: string, query: object): Promise<Found[]> {
  const { program, args, debian, env = {} } = browser;
  if (!program) throw new Missing(`not here; Debian has it in ${debian}`);
  const id = String(++visits);
  const url = `${page}?${new URLSearchParams({ ...query, home: await home(), id })}`;
  const profile = mkdtempSync(`${tmpdir()}/smooth-l1-`);
  const child = start(program, args(profile, url), {
    env: { ...env, HOME: profile, TMPDIR: profile },
  });
  try {
    const answer = await new Promise<Answer>((resolve, reject) => {
      waiting.set(id, resolve);
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`the browser ended with ${code}`)));
      setTimeout(() => reject(new Error('the page said nothing')), PATIENCE_MS).unref();
    });
    if (answer.error) throw new Error(answer.error);
    if (answer.violations.length > 0)
      throw new Error(`against the policy of the page: ${answer.violations}`);
    return answer.found ?? [];
  } finally {
    waiting.delete(id);
    stop(child);
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

let homeAddress: Promise<string> | undefined;
/** The server that pages report to. */
function home(): Promise<string> {
  homeAddress ??= serve({});
  return homeAddress;
}

let isolatedAddress: Promise<string> | undefined;
/** Pages that may have threads, under the strict policy. */
export function isolated(): Promise<string> {
  isolatedAddress ??= serve({ ...ISOLATED, ...STRICT });
  return isolatedAddress;
}

export function closeServers(): void {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
}

// ---- checks -------------------------------------------------------------------------------------

const HEADERS = /Cross-Origin-Opener-Policy.*Cross-Origin-Embedder-Policy/;

export async function checkBrowsers(): Promise<void> {
  for (const browser of browsers) {
    const name = `${browser.name} ${await versionOf(browser)}`.trim();
    const pages = async (
      title: string,
      page: string,
      wanted: Record<string, Wanted>,
      query: object = {},
    ): Promise<void> =>
      check(`${name}, ${title}`, async () => {
        const backends = Object.keys(wanted);
        const found = await visit(browser, page, { backends, ...query });
        return backends
          .map((backend, i) => judge(name, found[i] as Found, wanted[backend] as Wanted))
          .join('; ');
      });
    const alone: Wanted = { backend: 'wasm-shared', refusal: HEADERS };
    const together: Wanted = browser.shares
      ? { backend: 'wasm-shared' }
      : { backend: 'wasm-shared', refusal: /shares no memory|isolated/ };
    const rest: Record<string, Wanted> = {
      wasm: { backend: 'wasm', refusal: /chosen by load/ },
      js: { backend: 'js', refusal: /chosen by load/ },
    };

    await pages('isolated page', `${await isolated()}/page.html`, { default: together, ...rest });
    await pages('worker of an isolated page', `${await isolated()}/in-worker.html`, {
      default: together,
    });
    const plain = await serve(STRICT);
    await pages('plain page', `${plain}/page.html`, { default: alone, ...rest });
    const strictest = await serve({ ...ISOLATED, ...policy("'self'") });
    await pages('page whose policy forbids WebAssembly', `${strictest}/page.html`, {
      default: { backend: 'js', refusal: /the backend here is "js" \(wasm-shared: / },
    });
    const free = await serve(ISOLATED);
    // WebKit takes a worker's import from another origin only if that requires isolation as well.
    const from = `${await serve(ISOLATED)}/smooth-l1/`;
    await pages('package of another origin', `${free}/page.html`, { default: together }, { from });
    await pages(
      'package of another origin, createWorker',
      `${free}/page.html`,
      { default: together },
      { from, worker: 'cdn-worker.js' },
    );
  }
}

async function versionOf({ program, args }: Browser): Promise<string> {
  if (!program) return '';
  // Some of them want a screen even for that.
  const [wrapped] = args('', '').filter((arg) => arg.endsWith('MiniBrowser'));
  const text = await run(program, wrapped ? ['-a', wrapped, '--version'] : ['--version']);
  return /\d[\d.]*\w*/.exec(text)?.[0] ?? '';
}
