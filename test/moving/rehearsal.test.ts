import { expect, test } from 'vitest';
import { type Child, startChild } from '../support/child.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type RedisServer, redisFound, startRedis } from '../support/redis.ts';
import type { MovingWorkerArgument, Version } from './worker.ts';

// docs/moving.md, phase by phase, with a real Redis and the versions of an application side by side.
const limit = { timeout: 60_000 };

interface Report {
  readonly entries: number;
  readonly refused: number;
}

class Application {
  readonly #database: TestDatabase;
  readonly #redis: RedisServer;
  readonly #running: { child: Child; version: Version }[] = [];
  /** Of the processes that have ended: what each version was refused while it had the old lock. */
  readonly reports: (Report & { version: Version })[] = [];

  constructor(database: TestDatabase, redis: RedisServer) {
    this.#database = database;
    this.#redis = redis;
  }

  /** Ends when it has been in the critical section once. */
  async start(version: Version): Promise<void> {
    const argument: MovingWorkerArgument = { version, redis: this.#redis.url, postgres: this.#database.url };
    const child = startChild(new URL('./worker.ts', import.meta.url), argument);
    this.#running.push({ child, version });
    await child.next();
  }

  async stopOldest(): Promise<void> {
    const [oldest] = this.#running.splice(0, 1);
    if (oldest === undefined) return;
    oldest.child.send({});
    this.reports.push({ ...(await oldest.child.next<Report>()), version: oldest.version });
    await oldest.child.ended;
  }

  /** A rolling deployment: one process after the other, those of both versions side by side meanwhile. */
  async deploy(version: Version): Promise<void> {
    for (const _ of [...this.#running]) {
      await this.start(version);
      await this.stopOldest();
    }
  }

  get versions(): Version[] {
    return this.#running.map((one) => one.version);
  }

  async end(): Promise<void> {
    while (this.#running.length > 0) await this.stopOldest();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#running.map(({ child }) => child[Symbol.asyncDispose]()));
  }
}

async function prepare(database: TestDatabase): Promise<void> {
  await database.query(`
    create table counter (value integer);
    insert into counter values (0);
    create sequence tick;
    create table history (version text, entered bigint, went bigint)`);
}

async function overlaps(database: TestDatabase): Promise<unknown[]> {
  return database.query(`
    select * from (
      select *, lag(went) over (order by entered) as before from history) h where entered < before`);
}

test.runIf(redisFound)(
  'the move from Redis to Postgres and back, without a moment of two at once',
  limit,
  async () => {
    await using database = await createDatabase();
    await using redis = await startRedis();
    await prepare(database);
    await using application = new Application(database, redis);
    await Promise.all([application.start('old'), application.start('old')]);
    await application.deploy('dual');
    expect(application.versions).toEqual(['dual', 'dual']);
    await application.deploy('dual');
    // What to watch: as long as nobody has only the new lock, nobody with the old one is refused.
    const both = application.reports.filter(({ version }) => version === 'dual');
    expect(both.map(({ refused }) => refused)).toEqual([0, 0]);
    await application.deploy('new');
    await application.deploy('dual');
    await application.deploy('old');
    await application.end();

    expect(await overlaps(database)).toEqual([]);
    const entries = application.reports.reduce((sum, report) => sum + report.entries, 0);
    expect(await database.query('select value from counter')).toEqual([{ value: entries }]);
    const versions = await database.query('select distinct version from history order by 1');
    expect(versions.map(({ version }) => version)).toEqual(['dual', 'new', 'old']);
  },
);

test.runIf(redisFound)('a move without the phase of both locks would be found', limit, async () => {
  await using database = await createDatabase();
  await using redis = await startRedis();
  await prepare(database);
  await using application = new Application(database, redis);
  await Promise.all([application.start('old'), application.start('new')]);
  await expect.poll(() => overlaps(database), { timeout: 20_000 }).not.toEqual([]);
  await application.end();
});
