// The suite that the project runs in every engine, once, on one backend.

import * as smooth from 'smooth-l1';
import type { Found } from '../../test/engines/checks.ts';
import { smoke } from '../../test/engines/smoke.js';
import outside from '../../test/vectors/outside.json?raw';
import vectors from '../../test/vectors/vectors.json?raw';

export type Answer = { readonly found: Found } | { readonly error: string };

addEventListener('message', async ({ data: backend }: MessageEvent<'default' | 'js'>) => {
  const answer: Answer = await smoke(smooth, backend, [vectors, outside]).then(
    (found) => ({ found }),
    (error: Error) => ({ error: error.message }),
  );
  postMessage(answer);
});
