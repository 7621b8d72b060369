// The first example of the README: what the page shows is what it runs.

import * as smooth from 'smooth-l1';
import { make } from './dom.ts';

export function runExample(): void {
  const block = document.querySelector('.example code');
  if (!block) throw new Error('The page has no example');
  const code = block.textContent ?? '';
  const printed: string[] = [];
  const log = (...values: unknown[]): number => printed.push(values.join(' '));
  const body = code.replace(/import (\{.*\}) from 'smooth-l1';/, 'const $1 = smooth;');
  new Function('smooth', 'console', body)(smooth, { log });
  for (const line of block.querySelectorAll('.line'))
    if (line.textContent?.includes('console.log('))
      line.append(make('output', {}, printed.shift() ?? ''));
}
