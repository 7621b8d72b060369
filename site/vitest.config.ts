import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { alias: { 'smooth-l1': fileURLToPath(new URL('../dist/index.js', import.meta.url)) } },
  // Browsers, on a machine that may be busy; no test is about time.
  test: { include: ['test/*.test.ts'], testTimeout: 180_000, hookTimeout: 180_000 },
});
