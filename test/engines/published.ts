// The hashes of bits that docs/engines.md publishes: what every engine has to come to.
import { readFileSync } from 'node:fs';

export interface Published {
  /** Of losses and gradients of elements. */
  elementwise: string;
  /** Of sums of many elements. */
  sums: string;
}

export function published(): Published {
  const text = readFileSync(new URL('../../docs/engines.md', import.meta.url), 'utf8');
  const hash = (name: string): string => {
    const [, hash] = new RegExp(`^\\| ${name} \\| \`([0-9a-f]{16})\` \\|$`, 'm').exec(text) ?? [];
    if (!hash) throw new Error(`docs/engines.md has no row "${name}" with a hash`);
    return hash;
  };
  return { elementwise: hash('elementwise results'), sums: hash('sums') };
}
