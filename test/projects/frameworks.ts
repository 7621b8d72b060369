// Frameworks, as their own templates make a project: on the server, at the edge, in the page.
import { ISOLATED, judged, LOOK, type Project, project, REPORT, type Seen } from './project.ts';

const EDGE = 'js, 1 thread';

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

export async function checkFrameworks(): Promise<void> {
  await project('Next.js 15.5.29, webpack', (made) => next(made, '15.5.29', []));
  await project('Next.js 16.4.6, Turbopack', (made) => next(made, '16.4.6', []));
  await project('Next.js 16.4.6, webpack', (made) => next(made, '16.4.6', ['--webpack']));
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
