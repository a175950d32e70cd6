import { callOf, type Row, type Statement } from './statement.ts';

/** Keys that are locked together, in one mode. Each key once. */
export interface LockSet {
  readonly hashes: readonly bigint[];
  readonly shared: boolean;
}

/** Tries each key of each set; the answers stand in the order of the keys. */
export function tryLocks(sets: readonly LockSet[]): Statement {
  return overKeys('try', 'pg_try_advisory_lock_shared', 'pg_try_advisory_lock', sets);
}

/** Unlocks each key of each set; the answers say whether it was held. */
export function unlock(sets: readonly LockSet[]): Statement {
  return overKeys('unlock', 'pg_advisory_unlock_shared', 'pg_advisory_unlock', sets);
}

function overKeys(name: string, shared: string, exclusive: string, sets: readonly LockSet[]): Statement {
  return {
    name,
    text: `select array(
      select case when a.shared then ${shared}(a.key) else ${exclusive}(a.key) end
      from unnest($1::bigint[], $2::boolean[]) a(key, shared))::text as answer`,
    values: [
      sets.flatMap((set) => set.hashes.map(String)),
      sets.flatMap((set) => set.hashes.map(() => set.shared)),
    ],
  };
}

/** Which sets had all their keys answered with true; for the others, which of their keys had. */
export function readSets(row: Row | undefined, sets: readonly LockSet[]): bigint[][] {
  const answers = (row?.answer ?? '{}').slice(1, -1).split(',');
  let place = 0;
  return sets.map((set) => set.hashes.filter(() => answers[place++] === 't'));
}

/**
 * Waits for each key in turn, at most `wait` milliseconds in all; 0 is for ever. The timeout is local to the statement:
 * outside of a transaction block it is gone by itself, and it counts for every single lock, hence the subtraction.
 */
export function waitForLocks({ hashes, shared }: LockSet, wait: number): Statement {
  const lock = shared ? 'pg_advisory_lock_shared' : 'pg_advisory_lock';
  const left = `greatest(1, $1::bigint - (extract(epoch from clock_timestamp() - statement_timestamp()) * 1000)::bigint)`;
  return {
    name: `wait${shared ? '_shared' : ''}`,
    text: `select set_config('lock_timeout', case $1::bigint when 0 then '0' else (${left})::text end, true), ${lock}(key)
      from unnest($2::bigint[]) key`,
    values: [String(Math.ceil(wait)), hashes.map(String)],
  };
}

/** Which of the keys this session holds, however it came by them. */
export function heldKeys(hashes: readonly bigint[]): Statement {
  return {
    name: 'held',
    text: `select k.key::text as key, (l.mode = 'ShareLock')::text as shared
      from pg_locks l join unnest($1::bigint[]) k(key)
        on l.classid::bigint = ((k.key >> 32) & 4294967295) and l.objid::bigint = (k.key & 4294967295)
      where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and l.pid = pg_backend_pid()
        and l.database = (select oid from pg_database where datname = current_database())`,
    values: [hashes.map(String)],
  };
}

export const fenceToken = (schema: string): Statement => callOf(schema, 'fence_token', []);

export const unlockAll: Statement = {
  name: 'unlock_all',
  text: 'select pg_advisory_unlock_all()',
  values: [],
};

export const ping: Statement = { name: 'ping', text: 'select 1', values: [] };

export const cancel = (pid: number): Statement => ({
  name: 'cancel',
  text: 'select pg_cancel_backend($1)',
  values: [pid],
});

/**
 * What a session that holds locks needs: a server that notices when its client is gone while it waits or is cut off,
 * ends it when it has been silent for too long, and does not end it for any other reason. And how much room its lock
 * table has. Settings that this version of the server does not have are left alone.
 */
export function prepareSession(ttl: number): Statement {
  const settings = {
    client_connection_check_interval: '2s',
    tcp_keepalives_idle: '2',
    tcp_keepalives_interval: '2',
    tcp_keepalives_count: '3',
    tcp_user_timeout: '6s',
    idle_session_timeout: String(ttl),
    statement_timeout: '0',
    lock_timeout: '0',
    transaction_timeout: '0',
  };
  return {
    name: 'prepare',
    text: `select count(set_config(s.name, w.value, false)),
        current_setting('max_locks_per_transaction')::bigint
          * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) as room
      from unnest($1::text[], $2::text[]) w(name, value) join pg_settings s on s.name = w.name`,
    values: [Object.keys(settings), Object.values(settings)],
  };
}
