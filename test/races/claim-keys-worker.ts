/** Claims rows with a limit for each key, and writes down when it began and ended with each, until none is left. */
import { setTimeout as delay } from 'node:timers/promises';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { Fencepost, FencepostError } from '../../src/index.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';
import { type KeyTables, keyedJobs } from './claim-keys-jobs.ts';

export interface KeysWorkerArgument {
  readonly url: string;
  readonly storage: string;
  readonly limit: number;
  readonly batch: number;
  readonly ttl: number;
  /** Which process this is, of all that there are and were. */
  readonly instance: number;
}

const { url, storage, limit, batch, ttl, instance } = argumentOfChild<KeysWorkerArgument>();
const pool = new pg.Pool({ connectionString: url, max: 6 });
pool.on('connect', (client) => client.on('error', () => {}));
pool.on('error', () => {});
const db = new Kysely<KeyTables>({ dialect: new PostgresDialect({ pool }) });
const fencepost = new Fencepost({ connection: url });
const jobs = keyedJobs(fencepost, db, storage, limit, ttl);

const note = (on: Kysely<KeyTables>, what: 'begin' | 'end', ...rows: number[]) =>
  on
    .insertInto('history')
    .values(rows.map((job) => ({ job, what, instance })))
    .execute();

let claims = 0;
for (let turns = 0; ; turns += 1) {
  const claimed = await jobs.claim({ limit: batch }).catch((error: unknown) => {
    if (error instanceof FencepostError && error.retriable) return [];
    throw error;
  });
  if (turns === 0) tellParent({ working: true });
  claims += claimed.length;
  if (claimed.length > 0) await note(db, 'begin', ...claimed.map(({ row }) => row.id));
  await Promise.all(
    claimed.map(async (claim) => {
      const { id } = claim.row;
      const work = async (): Promise<unknown> => {
        await delay(Math.random() * 5);
        const way = Math.random();
        if (way < 0.5) return claim.complete((trx) => note(trx, 'end', id));
        await note(db, 'end', id);
        if (way < 0.8) return claim.complete();
        return claim.release({ error: 'again', after: way < 0.9 ? 0 : 20 });
      };
      const failed = await work().then(
        () => false,
        () => true,
      );
      // One that was too slow and lost its rows: what it wrote down says nothing about the limit.
      if (!failed && claim.state !== 'lost') return;
      await db.deleteFrom('history').where('job', '=', id).where('instance', '=', instance).execute();
    }),
  );
  if (claimed.length > 0) continue;
  const left = await db.selectFrom('job').select('id').where('status', '=', 'new').limit(1).execute();
  if (left.length === 0) break;
  await delay(5);
}
await fencepost.close();
await db.destroy();
tellParent({ claims });
process.disconnect();
