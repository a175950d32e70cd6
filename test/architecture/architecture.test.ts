import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Rule } from './rules.ts';
import * as rules from './rules.ts';
import { readSource } from './source.ts';

const source = readSource();

/** Each rule, and files that break it: a rule that lets them pass holds nothing. */
const house: Record<string, { rule: Rule; broken: Record<string, string>[] }> = {
  'imports go only downwards, and the three primitives do not import each other': {
    rule: rules.importsGoDownwards,
    broken: [
      { 'core/key.ts': `import { Link } from '../session/link.ts';`, 'session/link.ts': '' },
      { 'session/link.ts': `import type { Holder } from '../holder/holder.ts';`, 'holder/holder.ts': '' },
      { 'lease/lease.ts': `import { lock } from '../advisory/lock.ts';`, 'advisory/lock.ts': '' },
      { 'claim/claim.ts': `export * from '../lease/lease.ts';`, 'lease/lease.ts': '' },
      { 'lease/lease.ts': `import { Fencepost } from '../fencepost.ts';`, 'fencepost.ts': '' },
      { 'fencepost.ts': `import { migrate } from './migrate.ts';`, 'migrate.ts': '' },
      { 'lease/lease.ts': `import { expire } from '../testing/faults.ts';`, 'testing/faults.ts': '' },
      { 'migrate.ts': `import { expire } from './testing.ts';`, 'testing.ts': '' },
      { 'migrate.ts': `import { Fencepost } from './index.ts';`, 'index.ts': '' },
      { 'index.ts': `export * from './cli.ts';`, 'cli.ts': '' },
      { 'sql/lease.ts': `const link = await import('../session/link.ts');`, 'session/link.ts': '' },
      { 'sql/lease.ts': `type L = import('../lease/lease.ts').Lease;`, 'lease/lease.ts': '' },
    ],
  },
  'no file of src goes through an entry or out of src': {
    rule: rules.importsStayInside,
    broken: [
      { 'lease/lease.ts': `import { Fencepost } from 'fencepost';` },
      { 'lease/lease.ts': `import { migrate } from 'fencepost/migrate';` },
      { 'lease/lease.ts': `import { createDatabase } from '../../test/support/database.ts';` },
    ],
  },
  'there are no cycles, types included': {
    rule: rules.noCycles,
    broken: [
      { 'core/a.ts': `import type { B } from './b.ts';`, 'core/b.ts': `import { a } from './a.ts';` },
      {
        'core/a.ts': `export * from './b.ts';`,
        'core/b.ts': `import './c.ts';`,
        'core/c.ts': `type A = import('./a.ts').A;`,
      },
    ],
  },
  'pg is imported in one file, and in one of the testing kit': {
    rule: rules.importedOnlyIn(
      'pg',
      'session/client.ts',
      'session/connection.ts',
      'testing/servers/client.ts',
    ),
    broken: [
      { 'lease/lease.ts': `import pg from 'pg';` },
      { 'migrate.ts': `import type { Client } from 'pg';` },
      { 'migrate.ts': `import Cursor from 'pg/lib/query.js';` },
    ],
  },
  'node-pg-migrate is imported in one file': {
    rule: rules.importedOnlyIn('node-pg-migrate', 'migrate.ts'),
    broken: [{ 'cli.ts': `import { runner } from 'node-pg-migrate';` }],
  },
  'the API of OpenTelemetry is imported by its entry and its folder': {
    rule: rules.importedOnlyIn(
      '@opentelemetry/api',
      'opentelemetry.ts',
      'opentelemetry/families.ts',
      'opentelemetry/instruments.ts',
      'opentelemetry/metering.ts',
      'opentelemetry/tracing.ts',
    ),
    broken: [{ 'core/events.ts': `import { trace } from '@opentelemetry/api';` }],
  },
  'kysely is imported by its entry, and its types by claims': {
    rule: rules.onlyTypesOf('kysely', 'kysely.ts', 'claim'),
    broken: [
      { 'claim/claim.ts': `import { sql } from 'kysely';` },
      { 'claim/claim.ts': `import { sql, type Kysely } from 'kysely';` },
      { 'session/transaction.ts': `import type { Transaction } from 'kysely';` },
      { 'lease/lease.ts': `import { sql } from 'kysely';` },
    ],
  },
  'console and process belong to the CLI and the testing kit': {
    rule: rules.noConsoleOrProcess,
    broken: [
      { 'lease/lease.ts': `console.log('got it');` },
      { 'lease/lease.ts': `const { env } = process;` },
      { 'session/link.ts': `const url = process.env.DATABASE_URL;` },
      { 'session/link.ts': `export const name = globalThis.process.title;` },
      { 'fencepost.ts': `import process from 'node:process';` },
      { 'fencepost.ts': `import * as console from 'node:console';` },
    ],
  },
  'clocks and timers are read in core/clock.ts only': {
    rule: rules.onlyTheClockReadsTime,
    broken: [
      { 'holder/holder.ts': 'const now = Date.now();' },
      { 'holder/holder.ts': `const now = Date['now']();` },
      { 'holder/holder.ts': 'const now = new Date();' },
      { 'holder/holder.ts': 'const now = performance.now();' },
      { 'holder/holder.ts': 'setTimeout(() => {}, 1);' },
      { 'holder/holder.ts': 'setInterval(() => {}, 1);' },
      { 'holder/holder.ts': `globalThis.setTimeout(() => {}, 1);` },
      { 'core/abort.ts': `import { setTimeout as delay } from 'node:timers/promises';` },
      { 'core/abort.ts': `import { performance } from 'node:perf_hooks';` },
    ],
  },
  'names say what is inside': {
    rule: rules.namesSayWhatIsInside,
    broken: [
      { 'core/utils.ts': '' },
      { 'lib/key.ts': '' },
      { 'core/helpers.ts': '' },
      { 'common/README.md': '' },
    ],
  },
  'no file has more than 300 lines, and half of them at most 130': {
    rule: rules.filesAreShort,
    broken: [
      { 'core/key.ts': '\n'.repeat(301), 'core/a.ts': '', 'core/b.ts': '' },
      { 'core/key.ts': '\n'.repeat(131), 'core/a.ts': '\n'.repeat(131), 'core/b.ts': '' },
    ],
  },
  'every folder has a page of at most 100 lines that lists its files': {
    rule: rules.foldersHaveAPage,
    broken: [
      { 'core/key.ts': '' },
      { 'core/key.ts': '', 'core/README.md': `| \`key.ts\` | keys |${'\n'.repeat(101)}` },
      { 'core/key.ts': '', 'core/README.md': '# core\n' },
      { 'core/key.ts': '', 'core/README.md': '| `key.ts` | keys |\n| `lock.ts` | locks |\n' },
    ],
  },
};

describe.each(Object.entries(house))('%s', (_, { rule, broken }) => {
  test('holds in src', () => {
    expect(rule(source)).toEqual([]);
  });

  test('fails where it is broken', () => {
    for (const files of broken) expect(rule(files), JSON.stringify(files).slice(0, 200)).not.toEqual([]);
  });
});

test('no test ends sessions of others, which share its server', () => {
  const folder = fileURLToPath(new URL('..', import.meta.url));
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const found = files.flatMap((file) => {
    const text = readFileSync(join(folder, file), 'utf8');
    // Those have a server of their own.
    if (/startOwnServer|OwnServer\b/.test(text)) return [];
    const queries = text.match(/`[^`]*pg_(terminate|cancel)_backend\((l\.)?pid[^`]*\bfrom\b[^`]*`/g) ?? [];
    return queries
      .filter((query) => !query.includes('current_database()') && !query.includes('${'))
      .map((query) => `${file}: ${query}`);
  });
  expect(found).toEqual([]);
});
