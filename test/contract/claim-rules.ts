import { setTimeout as delay } from 'node:timers/promises';
import { ArgumentError, DatabaseError, Fencepost, StaleTokenError } from 'fencepost';
import { CamelCasePlugin, type ExpressionBuilder, Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

interface Tables {
  job: { id: string; tenant: string; status: string; priority: number; note: string | null };
  ledger: { job: string };
}

/** What differs between the places where claims are kept. */
export interface Storage {
  readonly storage: 'columns' | 'sidecar' | 'held';
  readonly options?: object;
  /** Ends whoever has rows, as far as the server can tell. */
  bury(database: TestDatabase): Promise<unknown>;
  /** Where something is kept of a row: attempts, a time, an error, a token. */
  readonly kept?: {
    /** Gives the claims of these jobs a token that their makers do not know. */
    moveTokens(database: TestDatabase, condition: string, token?: string): Promise<unknown>;
    /** What a claim writes to. */
    readonly written: string;
  };
}

/** For claims that live on their process's heartbeat: the server takes it for dead. */
export const buryHolders = ({ query }: TestDatabase) =>
  query(`update fencepost.holder set expires_at = now() - interval '1 s'`);

/** The rules that claims keep wherever they are kept. */
export async function claimRules({ storage, options: given, bury: end, kept }: Storage): Promise<void> {
  const database = await createDatabase();
  const pool = new pg.Pool({ connectionString: database.url, max: 14 });
  pool.on('connect', (client) => client.on('error', () => {}));
  pool.on('error', () => {});
  afterAll(async () => {
    await pool.end();
    await database[Symbol.asyncDispose]();
  });
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });

  await database.query(`
    create table job (
      id bigint generated always as identity primary key, tenant text not null default 'a',
      status text not null default 'new', priority integer not null default 0, note text);
    create table ledger (job bigint)`);

  function define(fencepost: Fencepost, options: object = {}) {
    return fencepost.claims.define<Tables, 'job'>({
      db,
      table: 'job',
      key: 'id',
      tenant: 'tenant',
      where: (eb: ExpressionBuilder<Tables, 'job'>) => eb('status', '=', 'new'),
      orderBy: ['priority desc', 'id'],
      ttl: '10s',
      done: { status: 'done' },
      storage,
      ...given,
      ...options,
    } as never);
  }

  const open = () => new Fencepost({ connection: database.url });
  const insert = (count: number, priority = '0', tenant = `'a'`) =>
    database.query(
      `insert into job (priority, tenant) select ${priority}, ${tenant} from generate_series(1, ${count}) n`,
    );
  const idsOf = (claims: readonly { readonly row: { readonly id: string } }[]) =>
    claims.map(({ row }) => row.id);
  const statuses = () =>
    database.query<{ id: string; status: string }>('select id, status from job order by id');
  const bury = () => end(database);
  /** Which attempt it is, where somebody counts. */
  const counted = (attempt: number) => (kept === undefined ? 1 : attempt);

  {
    await using fencepost = open();
    await define(fencepost).ensure();
  }

  beforeEach(() =>
    database.query('truncate job, ledger, fencepost.claim, fencepost.claim_batch restart identity'),
  );

  describe('a claim of rows', () => {
    test('takes them in order, never more than asked, each once', async () => {
      await insert(10, 'n % 2');
      await using one = open();
      await using other = open();
      const first = await define(one).claim({ limit: 3 });
      expect(idsOf(first)).toEqual(['1', '3', '5']);
      expect(first.map(({ attempt, state }) => [attempt, state])).toEqual(Array(3).fill([1, 'held']));
      expect(first[0]?.row).toEqual({ id: '1', tenant: 'a', status: 'new', priority: 1, note: null });
      expect(first[0]?.key).toBe('"job" 1');
      expect(idsOf(await define(other).claim({ limit: 100 }))).toEqual(['7', '9', '2', '4', '6', '8', '10']);
      expect(await define(other).claim()).toEqual([]);
    });

    if (kept !== undefined) {
      test('finds nothing with one statement', async () => {
        await using fencepost = open();
        let statements = 0;
        const counting = new Kysely<Tables>({
          dialect: new PostgresDialect({ pool }),
          log: () => {
            statements += 1;
          },
        });
        const jobs = define(fencepost, { db: counting });
        await insert(2);
        const claims = await jobs.claim({ limit: 2 });
        statements = 0;
        expect(await jobs.claim({ limit: 2 })).toEqual([]);
        expect(statements).toBe(1);
        await Promise.all(claims.map((claim) => claim.complete()));
        statements = 0;
        expect(await jobs.claim({ limit: 2 })).toEqual([]);
        expect(statements).toBe(1);
      });

      test('by many at once gives each row to one of them', async () => {
        await insert(300);
        await using one = open();
        await using other = open();
        const calls = Array.from({ length: 60 }, (_, call) =>
          define(call % 2 === 0 ? one : other).claim({ limit: 7 }),
        );
        const batches = await Promise.all(calls);
        const ids = idsOf(batches.flat());
        expect(Math.max(...batches.map((batch) => batch.length))).toBeLessThanOrEqual(7);
        expect(new Set(ids).size).toBe(ids.length);
      });
    }

    test('is for one tenant when it says so', async () => {
      await insert(2);
      await insert(2, '9', `'b'`);
      await using fencepost = open();
      const jobs = define(fencepost);
      expect(idsOf(await jobs.claim({ limit: 9, tenant: 'a' }))).toEqual(['1', '2']);
      expect(idsOf(await jobs.claim({ limit: 1 }))).toEqual(['3']);
      await expect(define(fencepost, { tenant: undefined }).claim({ tenant: 'a' })).rejects.toThrow(
        ArgumentError,
      );
    });

    test('writes nothing to the table while work goes on, and outlives its ttl', async () => {
      await insert(1);
      await using one = open();
      await using other = open();
      const [claim] = await define(one, { ttl: 400 }).claim();
      const version = () => database.query('select xmin::text, ctid::text from job');
      const before = await version();
      await delay(900);
      expect(await version()).toEqual(before);
      expect(await define(other, { ttl: 400 }).claim()).toEqual([]);
      expect(claim?.state).toBe('held');
      await claim?.complete();
    });

    test('includes the rows of dead holders, in their place in the order, with a greater token', async () => {
      await insert(6, '0');
      await using one = open();
      await using other = open();
      const lost = await define(one).claim({ limit: 4 });
      await lost[1]?.complete();
      await bury();
      await database.query(`update job set priority = 1 where id in (3, 6)`);
      const taken = await define(other).claim({ limit: 4 });
      expect(idsOf(taken)).toEqual(['3', '6', '1', '4']);
      expect(taken.map(({ attempt }) => attempt)).toEqual([2, 1, 2, 2].map(counted));
      for (const claim of taken) {
        const before = lost.find(({ row }) => row.id === claim.row.id);
        if (before !== undefined) expect(claim.token > before.token).toBe(true);
      }
      await expect(lost[0]?.complete()).rejects.toThrow(StaleTokenError);
      await Promise.all(taken.map((claim) => claim.complete()));
      expect((await statuses()).filter(({ status }) => status === 'done')).toHaveLength(5);
    });

    if (kept !== undefined) {
      test('raises the token of each row above its own, however great that is', async () => {
        await insert(2);
        await using fencepost = open();
        const [known] = await define(fencepost).claimKeys([1]);
        await known?.release({ error: 'kept' });
        await kept.moveTokens(database, 'job.id = 1', '2::bigint ^ 62');
        const claims = await define(fencepost).claim({ limit: 2 });
        expect(claims[0]?.token).toBe(2n ** 62n + 1n);
        expect((claims[1]?.token ?? 0n) < 2n ** 62n).toBe(true);
      });
    }

    if (kept !== undefined) {
      test('leaves a living holder alone whose heartbeat arrives while it is looked at', async () => {
        await insert(1);
        await using one = open();
        await using other = open();
        const [claim] = await define(one).claim();
        // A heartbeat has the holder's row: it has expired for whoever looks, and is about to be extended.
        await bury();
        const beat = await database.pool.connect();
        await beat.query(`begin; update fencepost.holder set expires_at = now() + interval '10 s'`);
        expect(await define(other).claim()).toEqual([]);
        await beat.query('commit');
        beat.release();
        expect(await define(other).claim()).toEqual([]);
        await claim?.complete();
      });
    }

    if (kept !== undefined) {
      test('is refused when its own holder has died, and goes on with a new one', async () => {
        await insert(2);
        await using fencepost = open();
        const jobs = define(fencepost);
        const [claim] = await jobs.claim();
        await database.query('delete from fencepost.holder');
        const [next] = await jobs.claim({ limit: 2 });
        expect(claim?.state).toBe('lost');
        expect(claim?.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'expired' });
        expect(next?.row.id).toBe('1');
      });
    }

    test('gives what it claimed back when its Fencepost closes, without counting the attempt', async () => {
      await insert(2);
      const one = open();
      const claims = await define(one).claim({ limit: 2 });
      await one.close();
      expect(claims.map(({ state }) => state)).toEqual(['released', 'released']);
      await using other = open();
      const again = await define(other).claim({ limit: 2 });
      expect(again.map(({ attempt }) => attempt)).toEqual([1, 1]);
      await expect(define(one).claim()).rejects.toMatchObject({ code: 'STATE' });
    });
  });

  describe('a claim of named rows', () => {
    test('gives those that are free, and no others', async () => {
      await insert(5);
      await using one = open();
      await using other = open();
      const [mine] = await define(one).claimKeys([2]);
      expect(mine?.row.id).toBe('2');
      expect(idsOf(await define(other).claimKeys(['1', 2, 3n, 77])).sort()).toEqual(['1', '3']);
      await bury();
      expect(idsOf(await define(other).claimKeys([2]))).toEqual(['2']);
      expect(await define(other).claimKeys([])).toEqual([]);
      await expect(define(other).claimKeys([[1, 2]])).rejects.toThrow(ArgumentError);
    });
  });

  describe('completing', () => {
    test('sets what is to be set, once', async () => {
      await insert(2);
      await using fencepost = open();
      const [claim] = await define(fencepost).claim();
      await claim?.complete();
      expect(claim?.state).toBe('released');
      await expect(claim?.complete()).rejects.toMatchObject({ code: 'STATE' });
      await claim?.release();
      expect(await statuses()).toEqual([
        { id: '1', status: 'done' },
        { id: '2', status: 'new' },
      ]);
    });

    test('deletes when that is what it does', async () => {
      await insert(2);
      await using fencepost = open();
      const claims = await define(fencepost, { done: 'delete', where: undefined }).claim({ limit: 1 });
      await claims[0]?.complete();
      expect(await statuses()).toEqual([{ id: '2', status: 'new' }]);
      await expect(claims[0]?.complete()).rejects.toMatchObject({ code: 'STATE' });
    });

    test('may set expressions', async () => {
      await insert(1, '7');
      await using fencepost = open();
      const done = { status: "it's \\ done", priority: sql`priority * 6`, note: null };
      const [claim] = await define(fencepost, { done }).claim();
      await claim?.complete();
      const rows = await database.query('select status, priority from job');
      expect(rows).toEqual([{ status: "it's \\ done", priority: 42 }]);
    });

    test('is one transaction with its effects', async () => {
      await insert(2);
      await using fencepost = open();
      const claims = await define(fencepost).claim({ limit: 2 });
      const failure = new Error('of the work');
      const writes = (claim: (typeof claims)[number], fails: boolean) =>
        claim.complete(async (trx) => {
          await trx.insertInto('ledger').values({ job: claim.row.id }).execute();
          if (fails) throw failure;
        });
      for (const [place, claim] of claims.entries()) {
        if (place === 0) await writes(claim, false);
        else await expect(writes(claim, true)).rejects.toBe(failure);
      }
      expect(await database.query('select * from ledger')).toEqual([{ job: '1' }]);
      expect(claims.map(({ state }) => state)).toEqual(['released', 'held']);
      await claims[1]?.complete();
    });

    test('refuses a stale token before the work begins, and commits nothing', async () => {
      await insert(1);
      await using one = open();
      await using other = open();
      const [claim] = await define(one).claim();
      await bury();
      const [taken] = await define(other).claim();
      let ran = false;
      const stale = claim?.complete(async () => {
        ran = true;
      });
      await expect(stale).rejects.toMatchObject({ code: 'STALE_TOKEN', key: '"job" 1', token: claim?.token });
      await expect(claim?.complete()).rejects.toThrow(StaleTokenError);
      if (kept !== undefined) {
        await expect(claim?.fail('no')).rejects.toThrow(StaleTokenError);
        await claim?.release({ error: 'no' });
      }
      expect(ran).toBe(false);
      await taken?.complete();
      expect(await statuses()).toEqual([{ id: '1', status: 'done' }]);
    });

    if (kept !== undefined) {
      test('keeps everybody off its row from its first statement to its commit, although its holder is dead', async () => {
        await insert(1);
        await using one = open();
        await using other = open();
        const [claim] = await define(one).claim();
        await claim?.complete(async (trx) => {
          await trx.insertInto('ledger').values({ job: '1' }).execute();
          await bury();
          expect(await define(other).claim()).toEqual([]);
        });
        expect(await define(other).claim()).toEqual([]);
        expect(await statuses()).toEqual([{ id: '1', status: 'done' }]);
      });
    }

    if (kept !== undefined) {
      test('after the claim was lost passes as long as nobody took the row', async () => {
        await insert(1);
        await using fencepost = open();
        const [claim] = await define(fencepost, { ttl: 300 }).claim();
        await database.query('delete from fencepost.holder');
        await until('the claim is lost', () => claim?.state === 'lost');
        await claim?.complete();
        expect(await statuses()).toEqual([{ id: '1', status: 'done' }]);
      });
    }

    if (kept !== undefined) {
      test('many at once shares statements', async () => {
        await insert(400);
        await using fencepost = open();
        const claims = await define(fencepost).claim({ limit: 400 });
        await kept.moveTokens(database, 'job.id % 100 = 0');
        const outcomes = await Promise.allSettled(claims.map((claim) => claim.complete()));
        expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(4);
        const transactions = await database.query(`select from job where status = 'done' group by xmin`);
        expect(transactions.length).toBeLessThanOrEqual(4);
      });
    }
  });

  describe('giving back', () => {
    if (kept !== undefined) {
      test('frees the row at once, and counts the attempt only when it failed', async () => {
        await insert(1);
        await using fencepost = open();
        const jobs = define(fencepost);
        const [first] = await jobs.claim();
        await first?.release();
        const [second] = await jobs.claim();
        expect(second?.attempt).toBe(1);
        await second?.release({ error: new Error('no') });
        const [third] = await jobs.claim();
        expect(third?.attempt).toBe(2);
        expect(third?.token ?? 0n).toBeGreaterThan(second?.token ?? 0n);
        await third?.release();
      });
    }

    if (kept !== undefined) {
      test('after a while lets nobody have it before', async () => {
        await insert(2);
        await using fencepost = open();
        const jobs = define(fencepost);
        const [claim] = await jobs.claim();
        await claim?.release({ after: 300, error: 'later' });
        expect(idsOf(await jobs.claim({ limit: 2 }))).toEqual(['2']);
        const again = await until('it is due', async () => (await jobs.claim({ limit: 2 }))[0]);
        expect([again.row.id, again.attempt]).toEqual(['1', 2]);
      });
    }

    test('at the end of an await using block', async () => {
      await insert(1);
      await using fencepost = open();
      {
        await using _claim = (await define(fencepost).claim())[0];
        expect(await define(fencepost).claim()).toEqual([]);
      }
      expect(await define(fencepost).claim()).toHaveLength(1);
    });
  });

  if (kept !== undefined) {
    describe('rows that fail', () => {
      test('are set aside after the last attempt, listed with the reason, and can be retried', async () => {
        await insert(2);
        await using fencepost = open();
        const jobs = define(fencepost, { maxAttempts: 2 });
        for (const error of ['first', new TypeError('second')]) {
          const [claim] = await jobs.claim();
          expect(claim?.row.id).toBe('1');
          await claim?.release({ error });
        }
        const [other] = await jobs.claim({ limit: 2 });
        expect(other?.row.id).toBe('2');
        await other?.fail('never again');
        expect(await jobs.claim()).toEqual([]);
        const aside = (await jobs.aside()).sort((a, b) => Number(a.row.id) - Number(b.row.id));
        expect(aside.map(({ row, attempts, error }) => [row.id, attempts, error])).toEqual([
          ['1', 2, 'TypeError: second'],
          ['2', 1, 'never again'],
        ]);
        expect(aside[0]?.row).toEqual({ id: '1', tenant: 'a', status: 'new', priority: 0, note: null });
        expect(await jobs.aside({ tenant: 'b' })).toEqual([]);
        expect(await jobs.retry([1, 77])).toBe(1);
        expect(idsOf(await jobs.claim({ limit: 9 }))).toEqual(['1']);
      });

      test('by killing their worker each time are set aside, and the rows behind them claimed in the same call', async () => {
        await insert(3);
        await using fencepost = open();
        const jobs = define(fencepost, { maxAttempts: 2 });
        for (let death = 0; death < 2; death += 1) {
          expect(idsOf(await jobs.claimKeys([1, 2]))).toHaveLength(2);
          await bury();
        }
        expect(idsOf(await jobs.claim({ limit: 2 }))).toEqual(['3']);
        expect(await jobs.aside()).toHaveLength(2);
      });
    });
  }

  test('a deadline ends one attempt, though the process lives', async () => {
    await using one = open();
    await using other = open();
    // Connections and all that is asked only once are not part of the time.
    await Promise.all([define(one).claim(), define(other).claim()]);
    await insert(1);
    const [claim] = await define(one, { deadline: 500 }).claim();
    const aborted = new Promise((resolve) =>
      claim?.signal.addEventListener('abort', resolve, { once: true }),
    );
    expect(await define(other).claim()).toEqual([]);
    await aborted;
    expect(claim?.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'deadline' });
    const next = await until('it is free', async () => (await define(other).claim())[0]);
    expect(next.attempt).toBe(counted(2));
    await expect(claim?.complete()).rejects.toThrow(StaleTokenError);
    await next.complete();
  });

  describe('a table', () => {
    test('may have a key of several columns of any type, a schema, and be called anything', async () => {
      await database.query(`
      create schema "My App"; create domain "My App".code as text;
      create table "My App"."select" ("a b" timestamptz, "c" "My App".code, u uuid, d date default now(), primary key ("a b", "c", u))`);
      await database.query(
        `insert into "My App"."select" select now() + n * interval '1.000001 s', 'it''s ' || n, gen_random_uuid() from generate_series(1, 3) n`,
      );
      interface Odd {
        'My App.select': { 'a b': Date; c: string; u: string; d: Date };
      }
      await using fencepost = open();
      const odd = fencepost.claims.define({
        db: db as unknown as Kysely<Odd>,
        table: 'My App.select',
        key: ['c', 'a b', 'u'],
        orderBy: ['c desc nulls last', 'a b asc', 'd'],
        storage,
        done: 'delete',
      });
      await odd.ensure();
      const claims = await odd.claim({ limit: 2 });
      expect(claims.map(({ row }) => row.c)).toEqual(["it's 3", "it's 2"]);
      expect(claims[0]?.row.d).toBeInstanceOf(Date);
      await claims[0]?.complete(async () => {});
      await claims[1]?.complete();
      expect(await database.query('select from "My App"."select"')).toHaveLength(1);
    });

    test('is claimed by its whole key: no value is cut to what its column could hold', async () => {
      await database.query(
        `create table tag (code varchar(3) primary key, part numeric(3, 1) unique not null)`,
      );
      await database.query(`insert into tag values ('abc', 1.5), ('abd', 2)`);
      const db = new Kysely<{ tag: { code: string; part: number } }>({
        dialect: new PostgresDialect({ pool }),
      });
      await using fencepost = open();
      const by = (key: 'code' | 'part') =>
        fencepost.claims.define({ db, table: 'tag', key, storage, done: 'delete' });
      await by('code').ensure();
      expect(await by('code').claimKeys(['abcd', 'ab'])).toEqual([]);
      expect((await by('code').claimKeys(['abd', 'abde'])).map(({ row }) => row.code)).toEqual(['abd']);
      if (storage !== 'sidecar') expect(await by('part').claimKeys(['1.54'])).toEqual([]);
    });

    test('has a name that is one of a type of Postgres as well', async () => {
      await database.query('create table line (id integer primary key)');
      await database.query('insert into line values (1), (2)');
      const db = new Kysely<{ line: { id: number } }>({ dialect: new PostgresDialect({ pool }) });
      await using fencepost = open();
      const lines = fencepost.claims.define({ db, table: 'line', key: 'id', storage, done: 'delete' });
      await lines.ensure();
      const claims = [...(await lines.claim({ limit: 1 })), ...(await lines.claimKeys([1, 2]))];
      expect(claims.map(({ row }) => row.id).sort()).toEqual([1, 2]);
      for (const claim of claims) await claim.complete();
      expect(await database.query('select from line')).toEqual([]);
    });

    test('is reached through the plugins of the instance', async () => {
      await database.query(
        `create table camel_case (row_id integer primary key, is_new boolean default true, run_at timestamptz default now())`,
      );
      await database.query(`insert into camel_case values (1), (2)`);
      interface Camel {
        camelCase: { rowId: number; isNew: boolean; runAt: Date };
      }
      const camel = new Kysely<Camel>({
        dialect: new PostgresDialect({ pool }),
        plugins: [new CamelCasePlugin()],
      });
      await using fencepost = open();
      const rows = fencepost.claims.define({
        db: camel,
        table: 'camelCase',
        key: 'rowId',
        where: (eb) => eb.and([eb('isNew', '=', true), eb('rowId', 'in', [1, 2, 3])]),
        orderBy: ['runAt', 'rowId'],
        storage,
        done: { isNew: false },
      });
      await rows.ensure();
      const [claim] = await rows.claim();
      expect(Object.keys(claim?.row ?? {}).sort()).toEqual(['isNew', 'rowId', 'runAt']);
      await claim?.complete();
      expect(await database.query('select row_id from camel_case where is_new')).toEqual([{ row_id: 2 }]);
    });

    test('that does not fit is refused with the reason', async () => {
      await using fencepost = open();
      await database.query(`
      create view some_jobs as select * from job;
      create table bare (id integer primary key, n integer);
      create table pairs (a integer not null, b integer not null, primary key (a, b))`);
      const claim = (table: string, key: string | string[] = 'id') =>
        fencepost.claims
          .define({ db: db as unknown as Kysely<never>, table, key, done: 'delete', storage } as never)
          .claim();
      await expect(claim('some_jobs')).rejects.toThrow(/a claim locks rows, and a view has none/);
      await expect(claim('nowhere')).rejects.toThrow(ArgumentError);
      await expect(claim('bare', 'n')).rejects.toThrow(/unique index/);
      await expect(claim('pairs', 'a')).rejects.toThrow(/unique index/);
      await expect(claim('bare', 'x')).rejects.toThrow(/columns of "bare"/);
    });

    test('is prepared once, by however many processes at once, and not touched again', async () => {
      await database.query('create table fresh_one (id integer primary key, n integer)');
      await using fencepost = open();
      const fresh = () =>
        fencepost.claims.define({
          db: db as unknown as Kysely<{ fresh_one: { id: number; n: number } }>,
          table: 'fresh_one',
          key: 'id',
          orderBy: ['n'],
          storage,
          done: 'delete',
        });
      await Promise.all(Array.from({ length: 8 }, () => fresh().ensure()));
      const state = () =>
        database.query(
          `select xmin::text, relname from pg_class where relnamespace = 'public'::regnamespace`,
        );
      const before = await state();
      await fresh().ensure();
      expect(await state()).toEqual(before);
      await database.query(fresh().ddl());
      expect(await state()).toEqual(before);
    });
  });

  test.each([
    [{ key: [] }, 'options.key'],
    [{ key: ['id', 'id'] }, 'options.key'],
    [{ done: {} }, 'options.done'],
    [{ done: undefined }, 'options.done'],
    [{ where: undefined }, 'options.done'],
    [{ where: 'status' }, 'options.where'],
    [{ where: () => sql`note = ${{ a: 1 }}` }, 'options.where'],
    [{ maxAttempts: 0 }, 'options.maxAttempts'],
    [{ ttl: '1ms' }, 'options.ttl'],
    [{ storage: 'elsewhere' }, 'options.storage'],
    [{ orderBy: 'id' }, 'options.orderBy'],
    [{ db: database.pool }, 'options.db'],
    [{ tabel: 'x' }, 'options'],
  ])('a definition with %j is refused', async (options, argument) => {
    await using fencepost = open();
    expect(() => define(fencepost, options)).toThrow(
      expect.objectContaining({ code: 'ARGUMENT', argument }) as unknown as Error,
    );
  });

  test.each([{ limit: 0 }, { limit: 1.5 }, { limit: 10_001 }, { tenant: null }, { limits: 1 }])(
    'a claim with %j is refused',
    async (options) => {
      await using fencepost = open();
      await expect(define(fencepost).claim(options as object)).rejects.toThrow(ArgumentError);
    },
  );

  test('a database that fails is a DatabaseError', async () => {
    await using fencepost = open();
    const jobs = define(fencepost, { where: () => sql`1 / priority > 0` });
    await insert(1);
    await expect(jobs.claim()).rejects.toThrow(DatabaseError);
    await expect(jobs.claim()).rejects.toMatchObject({ sqlState: '22012', inDoubt: false });
  });

  if (kept !== undefined) {
    test('what is missing is called by its name: our functions, a right, or something of the caller', async () => {
      await using fencepost = open();
      await insert(1);
      await database.query('alter function fencepost.claim_dead rename to claim_dead_away');
      await expect(define(fencepost).claim()).rejects.toThrow(
        /^schema "fencepost" lacks .*: run "fencepost migrate"$/,
      );
      await database.query('alter function fencepost.claim_dead_away rename to claim_dead');
      const missing = define(fencepost, { where: () => sql`nothing = 1` });
      await expect(missing.claim()).rejects.toMatchObject({
        code: 'DATABASE',
        sqlState: '42703',
        retriable: false,
      });
    });
  }

  if (kept !== undefined) {
    test('a claim that collides with another transaction is sent again', async () => {
      await using fencepost = open();
      await insert(1);
      await database.query(`
    create sequence collisions;
    create function collide() returns trigger language plpgsql as $$
    begin
      if nextval('public.collisions') < 4 then raise exception 'deadlock' using errcode = '40P01'; end if;
      return new;
    end $$;
    create trigger collide before insert or update on ${kept.written} for each row execute function collide()`);
      expect(await define(fencepost).claim()).toHaveLength(1);
      await database.query('drop function collide cascade');
    });
  }
}
