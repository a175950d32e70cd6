import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { scenarios } from './test/lab/scenarios.ts';
import { compiled } from './test/support/compiled.ts';
import { SummaryReporter } from './test/support/summary-reporter.ts';

const { CI } = process.env;
const source = (file: string): string => fileURLToPath(new URL(`./src/${file}`, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^fencepost$/, replacement: source('index.ts') },
      { find: /^fencepost\/migrate$/, replacement: source('migrate.ts') },
      { find: /^fencepost\/kysely$/, replacement: source('kysely.ts') },
      { find: /^fencepost\/adapters$/, replacement: source('adapters.ts') },
      { find: /^fencepost\/events$/, replacement: source('events.ts') },
      { find: /^fencepost\/opentelemetry$/, replacement: source('opentelemetry.ts') },
      { find: /^fencepost\/redlock$/, replacement: source('redlock.ts') },
      { find: /^fencepost\/testing$/, replacement: source('testing.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    // Whatever the tests start.
    env: compiled,
    // Most files wait for servers and processes rather than compute.
    maxWorkers: availableParallelism() + 1,
    // Against what hangs: a machine may be slow.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    retry: 0,
    tags: scenarios.map(({ id, promise }) => ({ name: id, description: promise })),
    allowOnly: !CI,
    reporters: ['default', new SummaryReporter()],
    typecheck: {
      enabled: true,
      include: ['test/types/**/*.test-d.ts'],
      tsconfig: './tsconfig.json',
      // `npm run types` reports the errors of all other files; here they would count as failed tests.
      ignoreSourceErrors: true,
    },
  },
});
