// VitePress's theme with the page's accent, and the drawings of the pages.

import mermaidScript from '@mermaid-js/tiny/dist/mermaid.tiny.js?url';
import { onContentUpdated, type Theme } from 'vitepress';
import DefaultTheme from 'vitepress/theme-without-fonts';
import './style.css';

interface Mermaid {
  initialize(options: object): void;
  run(options: { nodes: ArrayLike<Element> }): Promise<void>;
}

let loaded: Promise<unknown> | undefined;
/** Mermaid is large: it is loaded by pages that have a drawing. It is a script, not a module. */
function load(): Promise<unknown> {
  loaded ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    Object.assign(script, { src: mermaidScript, onload: resolve, onerror: reject });
    document.head.append(script);
  });
  return loaded;
}

async function draw(): Promise<void> {
  const nodes = document.querySelectorAll('pre.mermaid:not([data-processed])');
  if (nodes.length === 0) return;
  await load();
  const { mermaid } = globalThis as unknown as { mermaid: Mermaid };
  const theme = document.documentElement.classList.contains('dark') ? 'dark' : 'neutral';
  mermaid.initialize({ startOnLoad: false, theme });
  await mermaid.run({ nodes });
}

export default {
  extends: DefaultTheme,
  setup: () => onContentUpdated(draw),
} satisfies Theme;
