// What happens when the page opens: the example and the first number, then the parts as they come
// into sight.

import { backend } from 'smooth-l1';
import { byId } from './dom.ts';
import { runExample } from './example.ts';
import { measureFirst } from './first.ts';
import { whyNoThreads } from './host.ts';
import { followTheme } from './theme.ts';

followTheme();
byId('copy-command').addEventListener('click', async ({ currentTarget }) => {
  const button = currentTarget as HTMLElement;
  const command = byId('command');
  try {
    await navigator.clipboard.writeText(command.textContent ?? '');
    button.textContent = 'Copied';
  } catch {
    // A page without TLS has no clipboard: the text is selected, for the keys.
    getSelection()?.selectAllChildren(command);
    button.textContent = 'Selected';
  }
});

runExample();
await measureFirst();

const reason = whyNoThreads();
byId('host-note').textContent =
  `Here it runs as “${backend}”, ${reason ? `on one thread: ${reason}` : 'with threads.'}`;

const parts: Record<string, () => Promise<{ start(): void | Promise<void> }>> = {
  see: () => import('./see.ts'),
  try: () => import('./fit.ts'),
  measure: () => import('./measure.ts'),
  check: () => import('./check.ts'),
  file: () => import('./file.ts'),
};
const sight = new IntersectionObserver(
  async (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      sight.unobserve(target);
      await (await parts[target.id]!()).start();
      // For tests, and for whoever styles it.
      (target as HTMLElement).dataset.started = '';
    }
  },
  { rootMargin: '75%' },
);
for (const id of Object.keys(parts)) sight.observe(byId(id));
