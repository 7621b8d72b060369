// VitePress wants to know where the site will lie. This one may lie anywhere: it is built for a mark,
// which a page replaces by its own folder as it opens. All pages are in one folder, so links in their
// HTML are relative to it.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseAst } from 'vite';

export const MARK = '/__DOCS_AT__/';

export function makeRelative(folder: string): void {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  for (const name of names) {
    const change = changes.find(([ending]) => name.endsWith(ending))?.[1];
    if (!change) continue;
    const file = `${folder}/${name}`;
    const text = readFileSync(file, 'utf8');
    if (text.includes(MARK)) writeFileSync(file, change(text));
  }
}

const changes: [ending: string, change: (text: string) => string][] = [
  ['.html', html],
  ['.js', script],
  // Style sheets lie in assets/, beside what they ask for.
  ['.css', (text) => text.replaceAll(`${MARK}assets/`, './')],
];

function html(text: string): string {
  return text
    .split(/(<script>[\s\S]*?<\/script>)/)
    .map((part) => (part.startsWith('<script>') ? scriptInPage(part) : part.replaceAll(MARK, './')))
    .join('');
}

function scriptInPage(element: string): string {
  const code = element.slice('<script>'.length, -'</script>'.length);
  return code.includes(MARK) ? `<script>${script(code)}</script>` : element;
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly value?: unknown;
}

/** Each string that has the mark gets the folder of the page in its place when the script runs. */
function script(code: string): string {
  const pieces: string[] = [];
  let at = 0;
  for (const { start, end, type } of stringsOf(parseAst(code))) {
    const raw = code.slice(start, end);
    if (!raw.includes(MARK)) continue;
    pieces.push(code.slice(at, start));
    pieces.push(
      type === 'TemplateElement'
        ? // biome-ignore lint/suspicious/noTemplateCurlyInString: it is written into the script
          raw.replaceAll(MARK, '${DOCS_AT}')
        : `(${raw}.replaceAll(${JSON.stringify(MARK)},DOCS_AT))`,
    );
    at = end;
  }
  return pieces.join('') + code.slice(at);
}

/** The strings of a script, in order, the parts of templates among them. */
function stringsOf(tree: unknown): Node[] {
  const found: Node[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit);
    else if (value !== null && typeof value === 'object') {
      const node = value as Node;
      if (
        node.type === 'TemplateElement' ||
        (node.type === 'Literal' && typeof node.value === 'string')
      )
        found.push(node);
      else Object.values(value).forEach(visit);
    }
  };
  visit(tree);
  return found.sort((a, b) => a.start - b.start);
}
