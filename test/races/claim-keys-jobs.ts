import type { Generated, Kysely } from 'kysely';
import type { Fencepost } from '../../src/index.ts';

export interface KeyTables {
  job: { id: number; customer: number; status: string };
  history: { job: number; what: 'begin' | 'end'; instance: number; at: Generated<Date> };
}

/** Jobs of customers, of whom none may have more than so many under way. */
export function keyedJobs(
  fencepost: Fencepost,
  db: Kysely<KeyTables>,
  storage: string,
  limit: number,
  ttl: number,
) {
  return fencepost.claims.define<KeyTables, 'job'>({
    db,
    table: 'job',
    key: 'id',
    where: (eb) => eb('status', '=', 'new'),
    orderBy: ['id'],
    perKey: { by: 'customer', limit },
    maxAttempts: 1_000_000,
    ttl,
    storage: storage as 'columns',
    done: { status: 'done' },
  });
}
