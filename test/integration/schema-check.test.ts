import { DatabaseError, Fencepost, type FencepostError, SchemaError } from 'fencepost';
import { migrate, rollback } from 'fencepost/migrate';
import pg from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createRole } from '../support/role.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());
const connection = database.url;
const app = await createRole(database, '_app');
const appName = pg.escapeIdentifier(app.name);

/** What breaks the schema, what a client says then, and what mends it. */
const breaches: Record<
  string,
  { breach: () => Promise<unknown>; says: RegExp; mend: () => Promise<unknown> }
> = {
  'is not there': {
    breach: () => database.query('drop schema if exists fencepost cascade'),
    says: /^schema "fencepost" lacks what this version needs .*: run "fencepost migrate"$/,
    mend: () => migrate({ connection, grant: app.name }),
  },
  'is empty': {
    breach: () => rollback({ connection, count: 99 }),
    says: /^schema "fencepost" lacks what this version needs .*: run "fencepost migrate"$/,
    mend: () => migrate({ connection, grant: app.name }),
  },
  'is older than the client needs': {
    breach: () => database.query('update fencepost.state set version = 0'),
    says: /^schema "fencepost" has version 0, this client needs 1: run "fencepost migrate"$/,
    mend: () => database.query('update fencepost.state set version = 1'),
  },
  'is newer and not made for this client': {
    breach: () => database.query('update fencepost.state set version = 99, oldest_client = 99'),
    says: /^schema "fencepost" has version 99, which this client is too old for: update the package "fencepost"$/,
    mend: () => database.query('update fencepost.state set oldest_client = 1'),
  },
  'draws tokens out of order': {
    breach: () => database.query('alter sequence fencepost.token cache 20'),
    says: /^the sequence "token" in schema "fencepost" has CACHE 20: .*; alter it back to CACHE 1$/,
    mend: () => database.query('alter sequence fencepost.token cache 1'),
  },
  'is closed to the role': {
    breach: () => database.query(`revoke usage on schema fencepost from ${appName}`),
    says: /^permission denied for schema fencepost: run "fencepost migrate --grant <role>" as the owner of schema "fencepost"$/,
    mend: () => migrate({ connection, grant: app.name }),
  },
  'has a function that the role may not call': {
    breach: () => database.query(`revoke execute on function fencepost.about from ${appName}`),
    says: /^permission denied for function about: run "fencepost migrate --grant <role>" as the owner of schema "fencepost"$/,
    mend: () => migrate({ connection, grant: app.name }),
  },
};

describe('a schema that', () => {
  test.each(Object.entries(breaches))(
    '%s is refused with what to do, and works once that is done',
    { tags: ['F27'] },
    async (_, { breach, says, mend }) => {
      await migrate({ connection, grant: app.name });
      await breach();
      await using fencepost = new Fencepost({ connection: app.url });
      for (const attempt of [
        () => fencepost.leases.acquire('import'),
        () => fencepost.leases.tryAcquire('import'),
        () => fencepost.leases.using('import', () => Promise.reject(new Error('not held'))),
        () => fencepost.leases.tryAcquire('import', { renew: false }),
      ]) {
        const error = await attempt().then(String, (error: unknown) => error);
        expect(error).toBeInstanceOf(SchemaError);
        expect(error).toMatchObject({
          code: 'SCHEMA',
          retriable: false,
          message: expect.stringMatching(says),
        });
      }
      await mend();
      await using lease = await fencepost.leases.acquire('import');
      expect(lease.state).toBe('held');
    },
  );

  test('is newer, and made for this client as well, serves it', async () => {
    await migrate({ connection, grant: app.name });
    await database.query('update fencepost.state set version = 99, oldest_client = 1');
    await using fencepost = new Fencepost({ connection: app.url });
    await using lease = await fencepost.leases.acquire('import');
    expect(lease.state).toBe('held');
  });

  test('is not called fencepost is named, with the way to migrate it', async () => {
    await using fencepost = new Fencepost({ connection, schema: 'My Locks' });
    await expect(fencepost.leases.tryAcquire('import')).rejects.toThrow(
      /^schema "My Locks" lacks .*: run "fencepost migrate --schema 'My Locks'"$/,
    );
  });
});

describe('a database that', () => {
  const elsewhere = (parts: Partial<URL>): string => Object.assign(new URL(app.url), parts).href;

  test.each([
    ['refuses the password', { password: 'wrong' }, '28P01', 'password authentication failed'],
    [
      'does not know the role',
      { username: `${database.name}_nobody` },
      '28P01',
      'password authentication failed',
    ],
    ['is not there', { pathname: `/${database.name}_none` }, '3D000', 'does not exist'],
    ['cannot be reached', { port: '1' }, undefined, 'ECONNREFUSED'],
    ['cannot be reached in two ways', { hostname: 'localhost', port: '1' }, undefined, 'ECONNREFUSED'],
    ['has no such host', { hostname: 'nowhere.invalid' }, undefined, 'nowhere.invalid'],
  ])('%s is a DatabaseError, never a lock that somebody else has', async (_, parts, sqlState, text) => {
    await using fencepost = new Fencepost({ connection: elsewhere(parts) });
    const retriable = sqlState === undefined;
    for (const attempt of [
      () => fencepost.leases.acquire('import', { wait: '100ms' }),
      () => fencepost.leases.tryAcquire('import'),
      () => fencepost.leases.tryAcquire('import', { renew: false }),
    ]) {
      const error = await attempt().then(String, (error: unknown) => error);
      expect(error).toBeInstanceOf(DatabaseError);
      expect(error).toMatchObject({ code: 'DATABASE', sqlState, retriable, inDoubt: false });
      expect((error as FencepostError).message).toMatch(/^could not connect to the database: /);
      expect((error as FencepostError).message).toContain(text);
      expect((error as FencepostError).message).not.toContain('wrong');
    }
    await expect(migrate({ connection: elsewhere(parts) })).rejects.toMatchObject({ sqlState, retriable });
  });

  test('refused the password lets the same Fencepost in when the password is right again', async () => {
    await migrate({ connection, grant: app.name });
    await using fencepost = new Fencepost({ connection: app.url });
    await database.query(`alter role ${appName} password 'other'`);
    await expect(fencepost.leases.acquire('import')).rejects.toMatchObject({ sqlState: '28P01' });
    await database.query(`alter role ${appName} password 'secret'`);
    await using lease = await fencepost.leases.acquire('import');
    expect(lease.state).toBe('held');
  });
});
