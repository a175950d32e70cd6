import type { Statement } from './statement.ts';

/** Whether others may have the lock at the same time, all of them shared. */
export type Mode = 'exclusive' | 'shared';

/** What the server calls the one who runs the statement. */
export const backend: Statement = {
  name: 'backend',
  text: 'select pg_catalog.pg_backend_pid()::text as pid',
  values: [],
};

/**
 * Takes the lock for the caller's transaction if it is free, and answers with one word: `locked` or `refused`, or why it
 * has not asked, `standby` or `outside` of a transaction. Without parameters, so that it is one message: only then does
 * the clock tell a transaction block, where it stands still at BEGIN.
 */
export function tryTransactionLock(key: string, mode: Mode): Statement {
  return {
    name: 'try_transaction_lock',
    text: `select case when pg_catalog.pg_is_in_recovery() then 'standby'
      when transaction_timestamp() = statement_timestamp() then 'outside'
      when pg_catalog.pg_try_advisory_xact_lock${suffix(mode)}('${key}'::int8) then 'locked' else 'refused' end as outcome`,
    values: [],
  };
}

/**
 * Waits for the locks one after the other, in the order given, at most so many milliseconds in all; Infinity is for
 * ever. Fails with 55P03 when the time is up, and with 22023 on a standby; otherwise `lock_timeout` is in the end what
 * it was before: an expression is evaluated after its arguments, and these from left to right, so that it is read, set,
 * and after the lock set back. It counts for each lock alone, so each gets what is left of the time.
 *
 * It is parsed and planned each time: 45 microseconds of PostgreSQL 18, and 86 with the old value out of a subquery.
 */
export function awaitTransactionLocks(keys: readonly string[], mode: Mode, wait: number): Statement {
  const several = keys.length > 1;
  const limit = wait <= longestTimeout ? wait : 0;
  const left =
    several && limit > 0
      ? `greatest(1, least(${limit}, ${limit} - extract(epoch from clock_timestamp() - statement_timestamp()) * 1000))::int::text`
      : `'${limit}'`;
  const key = several ? 'key' : `'${keys[0]}'::int8`;
  const bound = `pg_catalog.set_config('lock_timeout', case when pg_catalog.pg_is_in_recovery() then 'standby' else ${left} end, true)`;
  const locked = `pg_catalog.pg_advisory_xact_lock${suffix(mode)}(case when ${bound} is not null then ${key} end)`;
  const before = `pg_catalog.concat(pg_catalog.current_setting('lock_timeout'), ${locked})`;
  return {
    name: 'await_transaction_locks',
    text: `select pg_catalog.set_config('lock_timeout', ${before}, true)${
      several ? ` from unnest('{${keys.join()}}'::int8[]) as key` : ''
    }`,
    values: [],
  };
}

/** A session by its process id, and the keys of which it waits for one. */
export interface Waiter {
  readonly pid: string;
  /** In decimal. */
  readonly keys: readonly string[];
}

/** Interrupts sessions that wait for one of their keys; one that does anything else, or nothing, is left alone. */
export function cancelWaits(waiters: readonly Waiter[]): Statement {
  return {
    name: 'cancel_waits',
    text: `select pg_catalog.pg_cancel_backend(l.pid)
      from unnest($1::int[], $2::int8[]) as w(pid, key) join pg_catalog.pg_locks l
        on l.pid = w.pid and (l.classid::int8 << 32 | l.objid::int8) = w.key
      where l.locktype = 'advisory' and l.objsubid = 1 and not l.granted
        and l.database = (select oid from pg_catalog.pg_database where datname = current_database())`,
    values: [waiters.flatMap(({ pid, keys }) => keys.map(() => pid)), waiters.flatMap(({ keys }) => keys)],
  };
}

/** What `lock_timeout` can be at most: 24 days. */
const longestTimeout = 2 ** 31 - 1;

function suffix(mode: Mode): string {
  return mode === 'shared' ? '_shared' : '';
}
