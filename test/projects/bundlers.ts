// Bundlers: one for each, with its defaults. Every page has threads with nothing configured.
import { ISOLATED, judged, LOOK, type Project, project, REPORT, SHARED } from './project.ts';

const APP = { 'look.js': LOOK, 'app.js': REPORT.replace("'./look'", "'./look.js'") };
const page = (script: string): string =>
  `<!doctype html>\n<meta charset="utf-8">\n<script type="module" src="${script}"></script>\n`;

/** Serves what was built, and looks at it in Chromium. */
async function shown(made: Project, script: string): Promise<string> {
  made.write({ 'out/index.html': page(script) });
  made.refusePaths('out');
  return made.page(await made.serve('out'));
}

const configOf = (entry: string, target: string): string =>
  `export default { mode: 'production', entry: '${entry}', target: '${target}',
  output: { path: import.meta.dirname + '/out', clean: true } };\n`;

async function packed(made: Project, tool: 'webpack' | 'rspack'): Promise<string> {
  made.write({
    ...APP,
    'page.config.mjs': configOf('./app.js', 'web'),
    'server.js': `import { look } from './look.js';
      look().then((seen) => console.log(JSON.stringify(seen)));\n`,
    'server.config.mjs': configOf('./server.js', 'node'),
  });
  const build = (config: string): Promise<string> =>
    tool === 'webpack'
      ? made.bin(tool, '--config', config)
      : made.bin(tool, 'build', '--config', config);
  await build('page.config.mjs');
  const inPage = await shown(made, 'main.js');
  await build('server.config.mjs');
  made.refusePaths('out');
  const inNode = judged(JSON.parse(await made.run('node', 'out/main.js')));
  return `${inPage} in the page; ${inNode} in Node`;
}

export async function checkBundlers(): Promise<void> {
  for (const version of ['6.4.6', '7.3.8', '8.4.0'])
    await project(`Vite ${version}, vanilla-ts`, async (made) => {
      await made.create('create-vite@9.3.0', '.', '--template', 'vanilla-ts', '--no-interactive');
      await made.install({ vite: version });
      // The template's own type check comes first, with its own compiler options.
      made.write({
        'src/look.ts': LOOK,
        'src/main.ts': `${REPORT}
          import { float32 } from 'smooth-l1';
          // @ts-expect-error: an array of the kernel is no any
          float32(3).thisDoesNotExist;\n`,
        'vite.config.ts': `export default { server: { headers: ${JSON.stringify(ISOLATED)} } };\n`,
      });
      await made.run('npm', 'run', 'build');
      made.refusePaths('dist');
      const built = await made.page(await made.serve('dist'));
      const dev = await made.page(await made.listen('vite', '--host', 'localhost', '--force'));
      return `${built} as built; ${dev} from its development server`;
    });

  await project('webpack 5.113.0', async (made) => {
    await made.install({ webpack: '5.113.0', 'webpack-cli': '7.3.1' });
    return packed(made, 'webpack');
  });
  await project('Rspack 2.3.4', async (made) => {
    await made.install({ '@rspack/core': '2.3.4', '@rspack/cli': '2.2.8' });
    return packed(made, 'rspack');
  });
  await project('Rollup 4.68.8', async (made) => {
    await made.install({ rollup: '4.68.8', '@rollup/plugin-node-resolve': '16.0.3' });
    made.write(APP);
    await made.bin(
      'rollup',
      'app.js',
      '--plugin=node-resolve',
      '--format=es',
      '--file=out/main.js',
    );
    return shown(made, 'main.js');
  });
  await project('Rolldown 1.3.3', async (made) => {
    await made.install({ rolldown: '1.3.3' });
    made.write(APP);
    await made.bin('rolldown', 'app.js', '--file=out/main.js');
    return shown(made, 'main.js');
  });
  await project('esbuild 0.28.2', async (made) => {
    await made.install({ esbuild: '0.28.2' });
    made.write(APP);
    for (const format of ['esm', 'iife', 'cjs']) {
      const flags = ['app.js', '--bundle', '--outfile=out/main.js', '--log-level=error'];
      await made.bin('esbuild', ...flags, `--format=${format}`);
      await shown(made, 'main.js');
    }
    made.write({
      'server.js': `import { look } from './look.js';
        look().then((seen) => console.log(JSON.stringify(seen)));\n`,
    });
    for (const format of ['esm', 'cjs']) {
      const out = `out/server.${format === 'esm' ? 'mjs' : 'cjs'}`;
      const flags = ['server.js', '--bundle', '--platform=node', '--log-level=error'];
      await made.bin('esbuild', ...flags, `--format=${format}`, `--outfile=${out}`);
      judged(JSON.parse(await made.run('node', out)));
    }
    return `${SHARED} as esm, iife and cjs in the page, as esm and cjs in Node`;
  });
  await project('Parcel 2.16.4', async (made) => {
    await made.install({ parcel: '2.16.4' });
    made.write({ ...APP, 'index.html': page('app.js') });
    await made.bin('parcel', 'build', 'index.html', '--dist-dir', 'out', '--no-cache');
    made.refusePaths('out');
    return made.page(await made.serve('out'));
  });
}
