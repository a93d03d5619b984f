import { defineConfig } from 'vitest/config';

/**
 * Two projects: `unit` (beside the code, no servers, shared process) and `cluster`
 * (test/NN.*.test.ts: real servers, one process per file, in numbered order).
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            'backend/src/**/*.test.ts',
            'native/test/**/*.test.ts',
            'labs/**/*.test.ts',
            'extension/src/**/*.test.ts',
            'test/support/**/*.test.ts',
            'test/peers/**/*.test.ts',
          ],
          pool: 'forks',
          isolate: false,
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'cluster',
          include: ['test/[0-9]*.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 240_000,
        },
      },
    ],
  },
});
