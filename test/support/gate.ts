import { sql } from 'kysely';
import pg from 'pg';
import type { TestDatabase } from './database.ts';
import { until } from './until.ts';

/** Of jobs: a condition at which a late statement waits, when it knows its rows and has looked at none of them. */
export const throughGate = sql<boolean>`status = 'new' and public.gate()`;

export async function createGate({ query }: TestDatabase): Promise<void> {
  await query(`
    create function public.gate() returns boolean volatile language plpgsql as $$
    begin
      if current_setting('application_name') = 'late' then
        perform pg_advisory_lock_shared(77);
        perform pg_advisory_unlock_shared(77);
      end if;
      return true;
    end $$`);
}

/** Runs `meanwhile` when `late` waits at the gate, and then lets it go on. */
export async function overtaken<Result>(
  database: TestDatabase,
  late: (pool: pg.Pool) => Promise<Result>,
  meanwhile: () => Promise<unknown>,
): Promise<Result> {
  const pool = new pg.Pool({ connectionString: database.url, application_name: 'late' });
  const gate = await database.pool.connect();
  try {
    await gate.query('select pg_advisory_lock(77)');
    const coming = late(pool);
    coming.catch(() => {});
    await until('it waits at the gate', async () => {
      const waiting = await database.query(`select from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())`);
      return waiting.length > 0;
    });
    await meanwhile();
    await gate.query('select pg_advisory_unlock(77)');
    return await coming;
  } finally {
    gate.release();
    await pool.end();
  }
}
