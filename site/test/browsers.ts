// The browsers of this machine, and the built site on servers as static hosts are: under a path of
// theirs, with the headers for threads and without.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  type Browser,
  type BrowserContextOptions,
  chromium,
  firefox,
  type Page,
} from 'playwright-core';
import { preview } from 'vite';

export interface Kind {
  readonly name: string;
  /** Nothing where it is not here. */
  readonly program: string | undefined;
  launch(): Promise<Browser>;
}

function onPath(...names: string[]): string | undefined {
  return (process.env.PATH ?? '')
    .split(':')
    .flatMap((folder) => names.map((name) => `${folder}/${name}`))
    .find(existsSync);
}

const chromiumHere = onPath('chromium', 'chromium-browser', 'google-chrome');
const firefoxHere = onPath('firefox-esr', 'firefox');

export const kinds: readonly Kind[] = [
  {
    name: 'Chromium',
    program: chromiumHere,
    launch: () => chromium.launch({ executablePath: chromiumHere!, args: ['--no-sandbox'] }),
  },
  {
    name: 'Firefox',
    program: firefoxHere,
    // By WebDriver BiDi: a Firefox that nobody patched speaks no other protocol.
    launch: () => firefox.launch({ executablePath: firefoxHere!, channel: 'moz-firefox' }),
  },
];

export const built = fileURLToPath(new URL('../../target/site/', import.meta.url));
const root = fileURLToPath(new URL('..', import.meta.url));

export interface Server {
  readonly address: string;
  close(): Promise<void>;
}

/** Isolated: as `npm run site` serves it. Otherwise as a host does that knows of no headers. */
export async function serve(isIsolated: boolean): Promise<Server> {
  const server = await preview({
    root,
    base: '/some/where/',
    preview: { port: 0 },
    logLevel: 'error',
    ...(!isIsolated && { configFile: false, build: { outDir: built } }),
  });
  return { address: server.resolvedUrls!.local[0]!, close: () => server.close() };
}

export interface Visit extends AsyncDisposable {
  readonly page: Page;
  /** What the browser complained about. */
  readonly complaints: string[];
}

/** Opens the page in a fresh profile. It may ask for nothing that does not lie at `home`. */
export async function visit(
  browser: Browser,
  address: string,
  options: BrowserContextOptions = {},
  home = address,
): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    if (!request.url().startsWith(home) && !request.url().startsWith('data:'))
      complaints.push(`asked for ${request.url()}`);
  });
  await page.goto(address);
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
}
