import type { Fencepost } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import type pg from 'pg';
import type { TestDatabase } from './database.ts';

export interface JobTables {
  'public.job': { id: string; status: string; weight: number };
}

/** A table of jobs, before anything was done about claims. */
export async function createJobs(database: TestDatabase): Promise<void> {
  await database.query(
    `create table public.job (id bigint generated always as identity primary key, status text not null default 'new',
      weight integer not null default 0)`,
  );
}

export async function insertJobs(database: TestDatabase, count: number): Promise<void> {
  await database.query(`insert into public.job (status) select 'new' from generate_series(1, $1)`, [count]);
}

export function kyselyOn(pool: pg.Pool): Kysely<JobTables> {
  return new Kysely<JobTables>({ dialect: new PostgresDialect({ pool }) });
}

/** Where claims are kept that live on their process's heartbeat. */
export const livingStorages = ['columns', 'sidecar'] as const;

export type LivingStorage = (typeof livingStorages)[number];

/** Claims of those jobs, on this pool. */
export function jobsOf(
  fencepost: Fencepost,
  pool: pg.Pool,
  options: {
    ttl?: number;
    maxAttempts?: number;
    orderBy?: ('id' | 'id desc' | 'weight' | 'weight desc')[];
    storage?: LivingStorage;
    db?: Kysely<JobTables>;
    perKey?: { by: 'id' | 'weight'; limit: number };
  } = {},
) {
  return fencepost.claims.define({
    db: kyselyOn(pool),
    table: 'public.job',
    key: 'id',
    where: (eb) => eb('status', '=', 'new'),
    orderBy: ['id'],
    ttl: '10s',
    done: { status: 'done' },
    ...options,
  });
}

/** How many jobs somebody has, or has set aside. */
export async function claimedJobs(
  database: TestDatabase,
  storage: LivingStorage = 'columns',
): Promise<number> {
  const table = { columns: 'public.job where fencepost_holder', sidecar: 'fencepost.claims where holder_id' };
  return (await database.query(`select from ${table[storage]} is not null`)).length;
}
