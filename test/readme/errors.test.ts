import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as entry from 'fencepost';
import { expect, test } from 'vitest';
import { repository } from '../package/built.ts';

test('README lists every class of errors with its code, and whether it is retriable', () => {
  const page = readFileSync(join(repository, 'README.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `(\w+Error)` +\| `(\w+)` +\| (\w+) +\|/gm)];
  const listed = rows.map(([, name, code, retriable]) => ({ name, code, retriable }));

  const classes = Object.values(entry).filter(
    (exported): exported is typeof entry.DatabaseError =>
      typeof exported === 'function' && Object.getPrototypeOf(exported) === entry.FencepostError,
  );
  const facts = { cause: undefined, sqlState: undefined, inDoubt: false };
  const thrown = classes.map((Class) => {
    // What is true of both errors that differ in nothing but what their maker says is true of the class.
    const [yes, no] = [true, false].map((retriable) => new Class('', { ...facts, retriable }));
    const retriable = yes?.retriable === no?.retriable ? (yes?.retriable ? 'yes' : 'no') : 'depends';
    return { name: Class.name, code: yes?.code, retriable };
  });
  const byName = (a: { name?: unknown }, b: { name?: unknown }) => (String(a.name) < String(b.name) ? -1 : 1);
  expect(listed.sort(byName)).toEqual(thrown.sort(byName));
});
