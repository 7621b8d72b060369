import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Generous: a machine may be busy, and no test is about time.
  test: { include: ['test/*.test.ts'], testTimeout: 120_000, hookTimeout: 120_000 },
});
