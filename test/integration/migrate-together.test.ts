import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { migrate, rollback } from 'fencepost/migrate';
import { Kysely, PostgresDialect, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { runner } from 'node-pg-migrate';
import pg from 'pg';
import { expect, test } from 'vitest';
import { describeSchema } from '../snapshots/schema.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { blockedIn } from '../support/sessions.ts';

const names = ['0001_foundation', '0002_claims'];

test('of ten processes that start at once one applies, whatever isolation the database has by default', async () => {
  await using database = await createDatabase({ template: false });
  await database.query(`
    alter database ${pg.escapeIdentifier(database.name)} set default_transaction_isolation = 'serializable';
    alter database ${pg.escapeIdentifier(database.name)} set default_transaction_read_only = on`);
  const entry = new URL('../../src/migrate.ts', import.meta.url);
  const program = `
    import { text } from 'node:stream/consumers';
    import { migrate } from ${JSON.stringify(entry.href)};
    process.stdout.write('ready ');
    await text(process.stdin);
    console.log((await migrate({ connection: ${JSON.stringify(database.url)} })).length);`;
  const processes = Array.from({ length: 10 }, () => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program]);
    return { child, ready: once(child.stdout, 'readable'), complaints: text(child.stderr) };
  });
  await Promise.all(processes.map(({ ready }) => ready));
  for (const { child } of processes) child.stdin.end();
  const outcomes = await Promise.all(processes.map(({ child, complaints }) => outcome(child, complaints)));
  expect(outcomes.sort()).toEqual([...Array(9).fill('ready 0'), `ready ${names.length}`]);
});

test("a user's own migrations run before, during and after ours, and neither knows of the other", async () => {
  await using database = await createDatabase({ template: false });
  await using theirs = await userMigrations(database);
  await database.query('create schema fencepost; create table public.gate ()');
  expect(await theirs.run(1)).toEqual({ node: ['001_first'], kysely: ['001_first'] });
  const publicBefore = await describeSchema(database, 'public');

  // Ours stops in the middle: another transaction is just making one of its tables, and then gives up.
  const blocker = await database.pool.connect();
  await blocker.query('begin; create table fencepost.lease ()');
  const ours = migrate({ connection: database.url });
  await blockedIn(database, 'Up Migration');
  expect(await describeSchema(database, 'public')).toBe(publicBefore);
  expect(await theirs.run(2)).toEqual({ node: ['002_second'], kysely: ['002_second'] });
  await blockedIn(database, 'Up Migration');
  await blocker.query('rollback');
  blocker.release();
  expect(await ours).toEqual(names);
  const schema = await describeSchema(database, 'fencepost');

  // Theirs stop in the middle, holding the locks of their tools.
  const gate = await database.pool.connect();
  await gate.query('begin; lock table public.gate');
  const third = theirs.run(3);
  await blockedIn(database, 'lock table public.gate', 2);
  expect(await rollback({ connection: database.url, count: 99 })).toEqual(names.toReversed());
  expect(await migrate({ connection: database.url })).toEqual(names);
  await gate.query('rollback');
  gate.release();
  expect(await third).toEqual({ node: ['003_third'], kysely: ['003_third'] });
  expect(await describeSchema(database, 'fencepost')).toBe(schema);

  expect(await theirs.run(4)).toEqual({ node: ['004_fourth'], kysely: ['004_fourth'] });
  const publicAfter = await describeSchema(database, 'public');
  expect(await rollback({ connection: database.url, count: 99 })).toEqual(names.toReversed());
  expect(await describeSchema(database, 'public')).toBe(publicAfter);
  expect(await database.query('select name from public.pgmigrations order by id')).toHaveLength(4);
  expect(await database.query('select name from public.kysely_migration')).toHaveLength(4);
  expect(await migrate({ connection: database.url })).toEqual(names);
});

async function outcome(child: ChildProcess, complaints: Promise<string>): Promise<string> {
  let output = '';
  child.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  await once(child, 'close');
  return `${output}${await complaints}`.trim();
}

interface UserMigrations extends AsyncDisposable {
  /** Applies the migrations up to this one, with both tools side by side, and answers what each applied. */
  run(upTo: number): Promise<{ node: string[]; kysely: string[] }>;
}

async function userMigrations(database: TestDatabase): Promise<UserMigrations> {
  const all = ['001_first', '002_second', '003_third', '004_fourth'];
  const statements = (tool: string, name: string) => [
    ...(name === '003_third' ? ['lock table public.gate in share mode'] : []),
    `create table public.${tool}_${name} (id integer primary key)`,
  ];
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'));
  const db = new Kysely<unknown>({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url, max: 2 }) }),
  });
  return {
    async run(upTo) {
      const wanted = all.slice(0, upTo);
      for (const name of wanted) {
        await writeFile(join(folder, `${name}.sql`), statements('node', name).join(';\n'));
      }
      const provider = {
        getMigrations: async () =>
          Object.fromEntries(
            wanted.map((name) => {
              const up = async (transaction: Kysely<unknown>) => {
                for (const statement of statements('kysely', name))
                  await sql.raw(statement).execute(transaction);
              };
              return [name, { up }];
            }),
          ),
      };
      const node = runner({
        databaseUrl: database.url,
        dir: folder,
        direction: 'up',
        migrationsTable: 'pgmigrations',
        log: () => {},
      });
      const kysely = new Migrator({ db, provider }).migrateToLatest();
      const [applied, { results, error }] = await Promise.all([node, kysely]);
      if (error !== undefined) throw error;
      return {
        node: applied.map(({ name }) => name),
        kysely: (results ?? []).map(({ migrationName }) => migrationName),
      };
    },
    async [Symbol.asyncDispose]() {
      await db.destroy();
      await rm(folder, { recursive: true });
    },
  };
}
