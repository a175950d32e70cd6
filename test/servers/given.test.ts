import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, expect, inject, test } from 'vitest';
import { useGiven } from '../../src/testing/servers/given.ts';
import { program } from './fixtures/program.ts';
import { settled } from './fixtures/whereabouts.ts';

const owner = fileURLToPath(new URL('./fixtures/owner.ts', import.meta.url));
const admin = new pg.Client({ connectionString: inject('adminUrl') });
await admin.connect();
afterAll(() => admin.end());

/** A database and a role that owns something in it, which must go in this order. */
async function createSome(prefix: string): Promise<void> {
  await admin.query(`create role ${prefix}_role`);
  await admin.query(`create database ${prefix}_database owner ${prefix}_role`);
}

async function databasesAndRoles(prefix: string): Promise<string[]> {
  const { rows } = await admin.query<{ name: string }>(
    `select datname as name from pg_database where starts_with(datname, $1)
     union select rolname from pg_roles where starts_with(rolname, $1) order by name`,
    [prefix],
  );
  return rows.map(({ name }) => name);
}

test('stop() drops the databases and roles of this run from a given server, and no others', async () => {
  const [mine, another] = await Promise.all([useGiven(inject('adminUrl')), useGiven(inject('adminUrl'))]);
  await createSome(mine.prefix);
  await createSome(another.prefix);
  await mine.stop();
  expect(await databasesAndRoles(mine.prefix)).toEqual([]);
  expect(await databasesAndRoles(another.prefix)).toHaveLength(2);
  expect(await databasesAndRoles(inject('template'))).toEqual([inject('template')]);
  await another.stop();
  expect(await databasesAndRoles(another.prefix)).toEqual([]);
});

test('they are dropped when the run is killed, too', async () => {
  using run = program(owner, 'wait', inject('adminUrl'));
  const { prefix } = await run.said<{ prefix: string }>();
  await createSome(prefix);
  run.signal('SIGKILL');
  expect(await settled(() => databasesAndRoles(prefix))).toEqual([]);
});

test('a given server that does not answer is an error, not a reason to take another', async () => {
  await expect(useGiven('postgresql://nobody@127.0.0.1:1/none')).rejects.toThrow(
    'No given server: connect ECONNREFUSED 127.0.0.1:1',
  );
});
