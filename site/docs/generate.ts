// The pages of the documentation, from what is there: the README, docs/*.md, the changelog, and the
// API as TypeDoc writes it of the package's declarations. They go to
// site/docs/pages.

import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const root = path('../../');
const out = path('pages/');
const REPOSITORY = 'https://github.com/smooth-l1/smooth-l1/blob/main/';

/** Where a file of the repository is on the site; elsewhere it is on GitHub. */
function pageOf(file: string): string | undefined {
  if (file === 'README.md') return 'index.md';
  if (file === 'CHANGELOG.md') return 'changelog.md';
  const [, name] = /^docs\/([\w-]+\.md)$/.exec(file) ?? [];
  return name;
}

/** A link of a file in `folder` ('' or 'docs/'), as a link of the site. */
function relinked(link: string, folder: string): string {
  const [target = '', hash] = link.split('#');
  const anchor = hash === undefined ? '' : `#${hash}`;
  let file: string;
  if (target.startsWith(REPOSITORY)) file = target.slice(REPOSITORY.length);
  else if (/^$|^\//.test(target) || /^\w+:/.test(target)) return link;
  else file = new URL(target, `file:///${folder}`).pathname.slice(1);
  if (file.startsWith('docs/images/')) return file.slice('docs/'.length);
  const page = pageOf(file);
  return page && existsSync(root + file) ? `./${page}${anchor}` : `${REPOSITORY}${file}${anchor}`;
}

function page(file: string): string {
  const folder = file.startsWith('docs/') ? 'docs/' : '';
  return (
    readFileSync(root + file, 'utf8')
      // Inline links, and those at the foot of a page.
      // VitePress takes those of public/ as they are.
      .replace(/(!\[[^\]]*\]\()(?:https:[^()]*\/docs\/)?images\//g, '$1/images/')
      .replace(/\]\(([^()\s]+)\)/g, (_, link) => `](${relinked(link, folder)})`)
      .replace(/^(\[[^\]]+\]: )(\S+)$/gm, (_, name, link) => name + relinked(link, folder))
  );
}

/** TypeDoc's pages by the names of the package's entries. */
const apiPages: Record<string, [page: string, title: string]> = {
  index: ['api', 'API of smooth-l1'],
  tfjs: ['api-tfjs', 'API of smooth-l1/tfjs'],
  arrow: ['api-arrow', 'API of smooth-l1/arrow'],
};

function api(): void {
  execFileSync(path('../node_modules/.bin/typedoc'), ['--options', path('typedoc.json')], {
    stdio: 'inherit',
  });
  for (const [name, [page, title]] of Object.entries(apiPages)) {
    const text = readFileSync(`${root}target/api/${name}.md`, 'utf8')
      .replace(/^# .*$/m, `# ${title}`)
      .replace(/\]\((\w+)\.md/g, (whole, other) => {
        const [target] = apiPages[other] ?? [];
        return target ? `](./${target}.md` : whole;
      });
    writeFileSync(`${out}${page}.md`, `---\neditLink: false\noutline: [2, 3]\n---\n\n${text}`);
  }
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const files = readdirSync(`${root}docs`).filter((name) => name.endsWith('.md'));
for (const file of ['README.md', 'CHANGELOG.md', ...files.map((name) => `docs/${name}`)])
  writeFileSync(out + pageOf(file), page(file));
cpSync(`${root}docs/images`, `${out}public/images`, { recursive: true });
api();
