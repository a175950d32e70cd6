import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { compiled } from '../support/compiled.ts';
import { createDatabase } from '../support/database.ts';

const main = fileURLToPath(new URL('../../examples/invoices/main.ts', import.meta.url));

test('invoices: each is sent once as far as the ledger goes, though a worker was frozen past its ttl', {
  timeout: 60_000,
}, async () => {
  await using database = await createDatabase();
  const env = { PATH: process.env.PATH, ...compiled, DATABASE_URL: database.url };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [main], { env });
  expect(stderr).toBe('');
  expect(stdout).toContain('Worker 1 has called the mail gateway for 8 invoices, and is frozen');
  // What it had in its hands was completed by others, and is refused; it may have claimed more, which are not begun.
  expect(stdout).toMatch(/^Worker 1: 0 completed, 8 refused\.$/m);
  expect(stdout).toMatch(/^all +2060 +2060 +0 +0$/m);
  expect(stdout).toMatch(/^flood & co +2000 +2000 +0 +0$/m);
  expect(stdout).toMatch(/^The mail gateway was called \d+ times, 8 of them for an invoice again\.$/m);
  expect(stdout).toMatch(/\nEach invoice was sent once, as far as the ledger goes\.\n$/);
  // Not by what the program says, but by the table.
  const [found] = await database.query(
    `select count(*)::integer as lines, count(distinct invoice)::integer as invoices,
       count(*) filter (where worker = 1)::integer as frozen from ledger`,
  );
  expect(found).toEqual({ lines: 2_060, invoices: 2_060, frozen: 0 });
});
