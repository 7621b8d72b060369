// The documentation: those of docs/pages, which docs/generate.ts writes, in the site's folder docs/.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type DefaultTheme, defineConfig } from 'vitepress';
import { MARK, makeRelative } from '../relative.ts';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const read = (name: string): string => readFileSync(path(`../../../${name}`), 'utf8');

/** The table of the README's section "Documentation" is the list of pages. */
function pages(): DefaultTheme.SidebarItem[] {
  const readme = read('README.md');
  const links = new Map(
    [...readme.matchAll(/^\[([\w-]+)\]: .*\/blob\/main\/docs\/([\w-]+)\.md$/gm)].map(
      ([, name, page]) => [name, page] as const,
    ),
  );
  return [...readme.matchAll(/^\| \[([^\]]+)\]\[([\w-]+)\] \|/gm)].flatMap(
    ([, text = '', name]) => {
      const page = links.get(name);
      return page ? [{ text, link: `/${page}` }] : [];
    },
  );
}

const api = [
  { text: 'smooth-l1', link: '/api' },
  { text: 'smooth-l1/tfjs', link: '/api-tfjs' },
  { text: 'smooth-l1/arrow', link: '/api-arrow' },
];

/** The one of the page. */
const [, icon = ''] = /rel="icon" href="([^"]+)"/.exec(read('site/index.html')) ?? [];

export default defineConfig({
  title: 'smooth-l1',
  description: 'Robust losses with their gradients, at memory speed, in JavaScript',
  base: MARK,
  srcDir: 'pages',
  outDir: path('../../../target/site/docs'),
  cacheDir: path('../../../target/vitepress'),
  head: [
    ['link', { rel: 'icon', href: icon }],
    // Where the documentation lies is known when a page opens: see relative.ts.
    ['script', {}, "globalThis.DOCS_AT = new URL('./', location.href).pathname"],
  ],
  markdown: {
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    config(md) {
      // A corner of a table with nothing in it is no header, for a screen reader.
      md.core.ruler.push('corners', ({ tokens }) => {
        for (const [i, { type, content }] of tokens.entries()) {
          const [open, close] = [tokens[i - 1], tokens[i + 1]];
          if (type === 'inline' && content === '' && open?.type === 'th_open')
            open.tag = close!.tag = 'td';
        }
      });
      const { fence } = md.renderer.rules;
      md.renderer.rules.fence = (tokens, index, ...rest) => {
        const { info, content } = tokens[index]!;
        // The theme draws it; whoever has no scripts reads it.
        if (info === 'mermaid')
          return `<pre class="mermaid" v-pre>${md.utils.escapeHtml(content)}</pre>`;
        return fence!(tokens, index, ...rest);
      };
    },
  },
  themeConfig: {
    nav: [
      { text: 'Try it', link: '../index.html', target: '_self' },
      { text: 'API', link: '/api' },
      { text: 'Changelog', link: '/changelog' },
    ],
    sidebar: [
      { text: 'Guide', items: [{ text: 'Start', link: '/' }, ...pages()] },
      { text: 'API', items: api },
    ],
    outline: [2, 3],
    search: { provider: 'local' },
    socialLinks: [{ icon: 'github', link: 'https://github.com/smooth-l1/smooth-l1' }],
  },
  buildEnd: ({ outDir }) => makeRelative(outDir),
});
