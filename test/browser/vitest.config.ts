import { defineConfig, mergeConfig } from 'vitest/config';
import shared from '../../vitest.config.ts';

// Apart from the others: they need a Chromium, which the ordinary suite does not.
const own = mergeConfig(shared, defineConfig({ test: { testTimeout: 90_000, maxWorkers: 1 } }));
own.test = { ...own.test, include: ['test/browser/**/*.browser.ts'], typecheck: { enabled: false } };

export default own;
