// @module-tag F33
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Fencepost, SchemaError } from 'fencepost';
import { adopt, migrate, migrationStatus } from 'fencepost/migrate';
import { expect, test } from 'vitest';
import { compiled } from '../support/compiled.ts';
import { createDatabase } from '../support/database.ts';
import { type OwnServer, startOwnServer } from '../support/postmaster.ts';
import { until } from '../support/until.ts';

const run = promisify(execFile);
const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

const refused = {
  code: 'SCHEMA',
  retriable: false,
  message: expect.stringMatching(
    /^schema "fencepost" comes from another database system .*nothing uses that one any more, then run "fencepost adopt"$/,
  ),
};

/** What a logical copy takes along: the rows, and the sequence only when `sequence` says so. */
async function copyRows(from: OwnServer, to: OwnServer, sequence: boolean): Promise<void> {
  await to.query('truncate fencepost.state, fencepost.lease, fencepost.holder');
  for (const table of ['state', 'holder', 'lease']) {
    const [row] = await from.query<{ rows: unknown }>(
      `select coalesce(jsonb_agg(to_jsonb(t)), '[]')::text as rows from fencepost.${table} t`,
    );
    await to.query(
      `insert into fencepost.${table} select * from jsonb_populate_recordset(null::fencepost.${table}, $1::jsonb)`,
      [row?.rows],
    );
  }
  if (!sequence) return;
  const [row] = await from.query('select last_value from fencepost.token');
  await to.query(`select setval('fencepost.token', $1)`, [row?.last_value]);
}

/** Promotes it to the next timeline. */
async function promote(server: OwnServer): Promise<void> {
  await server.becomeStandby();
  await server.query('select pg_promote()');
  await until('a primary', async () => {
    const [row] = await server.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
    return row?.standby === false;
  });
}

async function drawToken(url: string): Promise<bigint> {
  await using fencepost = new Fencepost({ connection: url });
  await using lock = await fencepost.advisory.acquire('fenced', { fence: true });
  return lock.token;
}

async function takeToken(url: string, name: string): Promise<bigint> {
  await using fencepost = new Fencepost({ connection: url });
  await using lease = await fencepost.leases.acquire(name, { ttl: '20s', wait: '10s' });
  return lease.token;
}

const own = { fsync: false, postgresFlags: ['-c', 'wal_level=replica'] };

test.each([
  ['a dump, which has the sequence', true],
  ['logical replication, which has not', false],
])(
  '%s: a copy in another system is refused until adopted, and then goes on above all',
  async (_, sequence) => {
    await using old = await startOwnServer(own);
    await using next = await startOwnServer(own);
    // The old one has come further than the new one: as after an upgrade, where the timeline begins anew.
    await promote(old);
    await promote(old);
    await using client = new Fencepost({ connection: old.url });
    const lease = await client.leases.acquire('a', { ttl: '2s' });
    await (await client.leases.acquire('swept', { ttl: '20s' })).release();
    await client.leases.sweep({ olderThan: 0 });
    await copyRows(old, next, sequence);
    // It goes on after the copy was made, and is promoted once more.
    await lease.release();
    await client.close();
    await promote(old);
    const given = [lease.token, await takeToken(old.url, 'a'), await drawToken(old.url)];
    expect(given.map((token) => token >> 44n)).toEqual([3n, 4n, 4n]);

    await using fencepost = new Fencepost({ connection: next.url });
    await expect(fencepost.leases.acquire('a')).rejects.toMatchObject(refused);
    await expect(fencepost.leases.tryAcquire('b', { renew: false })).rejects.toThrow(SchemaError);
    await expect(fencepost.advisory.acquire('fenced', { fence: true })).rejects.toMatchObject(refused);
    expect(await next.query(`select from pg_locks where locktype = 'advisory'`)).toEqual([]);
    // To migrate is not to adopt.
    expect(await migrate({ connection: next.url })).toEqual([]);
    expect((await migrationStatus({ connection: next.url })).version).toBe(1);
    await expect(fencepost.leases.acquire('a')).rejects.toMatchObject(refused);

    const { adopted, floor } = await adopt({ connection: next.url });
    expect(adopted).toBe(true);
    const greatest = given.reduce((one, other) => (one > other ? one : other));
    expect(floor).toBeGreaterThan(greatest);
    for (const name of ['a', 'swept', 'new']) expect(await takeToken(next.url, name)).toBeGreaterThan(floor);
    expect(await drawToken(next.url)).toBeGreaterThan(floor);

    expect(await adopt({ connection: next.url })).toEqual({ adopted: false, floor });
    const last = await drawToken(next.url);
    await promote(next);
    expect(await drawToken(next.url)).toBeGreaterThan(last + (1n << 43n));
  },
);

test('a disk image is the same system to Postgres: with a floor its tokens are lifted above it, once', async () => {
  await using database = await createDatabase();
  const connection = database.url;
  const here = await takeToken(connection, 'a');
  // Tokens of one timeline, which the original went on with after the image was made.
  const far = here + 1_000_000n;
  const { adopted, floor } = await adopt({ connection, floor: far });
  expect(adopted).toBe(false);
  expect(floor).toBeGreaterThan(far);
  expect(await takeToken(connection, 'a')).toBeGreaterThan(floor);
  expect(await drawToken(connection)).toBeGreaterThan(floor);
  expect(await adopt({ connection, floor: far })).toEqual({ adopted: false, floor });
  // One further than that is no less possible.
  const further = floor + (1n << 50n);
  expect((await adopt({ connection, floor: further })).floor).toBeGreaterThan(further);
  expect(await takeToken(connection, 'new')).toBeGreaterThan(further);
  // There has to be room for what comes after it.
  await expect(adopt({ connection, floor: 2n ** 63n - 1n })).rejects.toMatchObject({
    code: 'DATABASE',
    sqlState: '22003',
  });
  expect(await takeToken(connection, 'a')).toBeGreaterThan(further);
});

test('behind a connection that stays, the server that has changed refuses too', async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  await using _ = await fencepost.leases.acquire('held');
  await using lock = await fencepost.advisory.acquire('fenced', { fence: true });
  await database.query('update fencepost.state set system_identifier = system_identifier - 1');
  await expect(fencepost.leases.acquire('other')).rejects.toMatchObject(refused);
  await expect(fencepost.advisory.acquire('other', { fence: true })).rejects.toMatchObject(refused);
  await adopt({ connection: database.url });
  await using next = await fencepost.advisory.acquire('other', { fence: true });
  expect(next.token).toBeGreaterThan(lock.token);
});

test('the command line asks first, and says what it did', async () => {
  await using database = await createDatabase();
  await database.query('update fencepost.state set system_identifier = system_identifier - 1');
  const env = { PATH: process.env.PATH, ...compiled, DATABASE_URL: database.url };
  const fencepost = (...given: string[]) =>
    run(process.execPath, [cli, 'adopt', ...given], { env }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      ({ code, stdout }) => ({ code, stdout }),
    );
  expect(await fencepost()).toEqual({ code: 2, stdout: '' });
  expect(await fencepost('--yes', '--floor', 'many')).toEqual({ code: 2, stdout: '' });
  const floor = String(BigInt(1 + 1024) << 44n);
  expect(await fencepost('--yes')).toEqual({
    code: 0,
    stdout: `Adopted schema "fencepost".\nEvery token from now on is greater than ${floor}.\n`,
  });
  expect(await fencepost('--yes', '--floor', '7')).toEqual({
    code: 0,
    stdout: `Nothing to adopt: schema "fencepost" belongs to this database system.\nEvery token from now on is greater than ${floor}.\n`,
  });
});

test('a schema that is not there cannot be adopted, and a wrong floor is refused', async () => {
  await using database = await createDatabase({ template: false });
  const connection = database.url;
  await expect(adopt({ connection })).rejects.toMatchObject({
    code: 'SCHEMA',
    message: 'there is no schema "fencepost" to adopt: run "fencepost migrate"',
  });
  for (const floor of [-1n, 2n ** 63n, 7] as never[]) {
    await expect(adopt({ connection, floor })).rejects.toMatchObject({ code: 'ARGUMENT' });
  }
});
