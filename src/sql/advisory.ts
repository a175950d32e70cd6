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
 * Takes the lock for the caller's transaction if it is free. Without parameters, so that it is one message: only then
 * does the clock tell a transaction block, where it stands still at BEGIN.
 */
export function tryTransactionLock(key: string, mode: Mode): Statement {
  return {
    name: 'try_transaction_lock',
    text: `select case when not standby then pg_catalog.pg_try_advisory_xact_lock${suffix(mode)}('${key}'::int8) end::text as locked,
      standby::text, (transaction_timestamp() <> statement_timestamp())::text as inside
      from (select pg_catalog.pg_is_in_recovery() as standby offset 0) as server`,
    values: [],
  };
}

/**
 * Waits for the locks one after the other, in the order given, at most so many milliseconds in all; Infinity is for
 * ever. Fails with 55P03 when the time is up, and with 22P02 on a standby; otherwise `lock_timeout` is in the end what
 * it was before. An expression is evaluated after its arguments, and so the steps stand inside each other: set, lock,
 * set back. `lock_timeout` counts for each lock alone, so each gets what is left of the time.
 *
 * The keys come from a function that is joined to a single row: there is nothing that a planner could put in another
 * order.
 */
export function awaitTransactionLocks(keys: readonly string[], mode: Mode, wait: number): Statement {
  const several = keys.length > 1;
  const limit = wait <= longestTimeout ? wait : 0;
  const left =
    several && limit > 0
      ? `greatest(1, least(${limit}, ${limit} - extract(epoch from clock_timestamp() - at) * 1000))::int::text`
      : `'${limit}'`;
  const key = several ? 'key' : `'${keys[0]}'::int8`;
  const bounded = `case when pg_catalog.set_config('lock_timeout', ${left}, true) is not null then ${key} end`;
  const locked = `pg_catalog.pg_advisory_xact_lock${suffix(mode)}(${bounded}) is not null`;
  return {
    name: 'await_transaction_locks',
    text: `with start as materialized (
        select pg_catalog.current_setting('lock_timeout') as before, clock_timestamp() as at,
          (case when pg_catalog.pg_is_in_recovery() then 'the server is a standby' end)::int)
      select pg_catalog.set_config('lock_timeout', case when ${locked} then before end, true)
      from start${several ? `, unnest('{${keys.join(',')}}'::int8[]) as key` : ''}`,
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
