// The page. Its address may be anything, so all of its links are relative.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { codeToHtml } from 'shiki';
import { defineConfig, type Plugin } from 'vite';
import { published } from '../test/engines/published.ts';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const { version } = JSON.parse(readFileSync(path('../package.json'), 'utf8'));

/** Without these two a browser shares no memory between threads. */
const isolated = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** How long plugins take is nobody's concern here. */
const quiet = { checks: { pluginTimings: false } };

/** Puts the first example of the README in the place of `<!-- example -->`. */
function example(): Plugin {
  return {
    name: 'example',
    async transformIndexHtml(html) {
      const [, code] =
        /^```ts\n([\s\S]*?)^```/m.exec(readFileSync(path('../README.md'), 'utf8')) ?? [];
      if (!code) throw new Error('README.md has no block of TypeScript');
      // What it prints is not in the text: the page shows what it really printed.
      const shown = code.trim().replace(/ *\/\/ [\d.,-]+$/gm, '');
      const block = await codeToHtml(shown, {
        lang: 'ts',
        themes: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
        defaultColor: false,
        tokenizeTimeLimit: 0, // a busy machine would leave the rest of a line in one colour
      });
      return html.replace('<!-- example -->', block).replaceAll('%VERSION%', version);
    },
  };
}

export default defineConfig({
  root: path('.'),
  base: './',
  plugins: [example()],
  // As users have it: what was built, not the sources.
  resolve: { alias: { 'smooth-l1': path('../dist/index.js') } },
  define: { __VERSION__: JSON.stringify(version), __PUBLISHED__: JSON.stringify(published()) },
  build: {
    outDir: path('../target/site'),
    emptyOutDir: false, // docs/ is in it
    target: 'es2022',
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 2048,
    rolldownOptions: quiet,
  },
  worker: { format: 'es', rolldownOptions: quiet },
  preview: { headers: isolated },
});
