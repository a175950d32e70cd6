import { callOf, plainArray, type Row, type Statement } from './statement.ts';

/** Keys that are locked together, in one mode. Each key once. */
export interface LockSet {
  /** Their numbers, in decimal. */
  readonly hashes: readonly string[];
  readonly shared: boolean;
}

/** Tries each key of each set, in this server process only; the answers stand in the order of the keys. */
export function tryLocks(sets: readonly LockSet[], pid: number): Statement {
  return overKeys('try', 'pg_try_advisory_lock_shared', 'pg_try_advisory_lock', sets, pid);
}

/** Unlocks each key of each set, in this server process only; the answers say whether it was held. */
export function unlock(sets: readonly LockSet[], pid: number): Statement {
  return overKeys('unlock', 'pg_advisory_unlock_shared', 'pg_advisory_unlock', sets, pid);
}

function overKeys(
  name: string,
  shared: string,
  exclusive: string,
  sets: readonly LockSet[],
  pid: number,
): Statement {
  const [first, second] = sets;
  if (first?.hashes.length === 1 && second === undefined) {
    // One caller alone: the server is done in half the time when it has no set to go through.
    const lock = first.shared ? shared : exclusive;
    return {
      name: `${name}_one${first.shared ? '_shared' : ''}`,
      text: `select array[case when pg_backend_pid() = $2 then ${lock}($1) end]::text as answer, pg_backend_pid() as pid`,
      values: [first.hashes[0], pid],
    };
  }
  return {
    name,
    text: `select array(
      select case when a.shared then ${shared}(a.key) else ${exclusive}(a.key) end
      from unnest($1::bigint[], $2::boolean[]) a(key, shared)
      where pg_backend_pid() = $3)::text as answer, pg_backend_pid() as pid`,
    values: [
      plainArray(sets.map(({ hashes }) => (hashes.length === 1 ? (hashes[0] as string) : hashes.join()))),
      plainArray(
        sets.map(({ hashes, shared }) => (hashes.length === 1 ? shared : hashes.map(() => shared).join())),
      ),
      pid,
    ],
  };
}

/** For each set those of its keys that were answered with true. */
export function readSets(row: Row | undefined, sets: readonly LockSet[]): (readonly string[])[] {
  // `{t,f,t}`: each answer is one character, before the first and after each stands another one.
  const answers = row?.answer ?? '{}';
  // Nearly always: none was refused, and all are of this session.
  if (answers !== '{}' && !answers.includes('f') && !answers.includes('N'))
    return sets.map(({ hashes }) => hashes);
  let place = 0;
  const isTrue = (): boolean => answers[2 * place++ + 1] === 't';
  return sets.map(({ hashes }) => hashes.filter(isTrue));
}

/** What `lock_timeout` can be at most, in milliseconds: 24 days. */
const longestTimeout = 2 ** 31 - 1;

/**
 * Waits for each key in turn, in this server process only, at most `wait` milliseconds in all; Infinity is for ever.
 * The timeout is local to the statement: outside of a transaction block it is gone by itself, and it counts for every
 * single lock, hence the subtraction.
 */
export function waitForLocks({ hashes, shared }: LockSet, wait: number, pid: number): Statement {
  const lock = shared ? 'pg_advisory_lock_shared' : 'pg_advisory_lock';
  const limit = wait > longestTimeout ? 0 : Math.max(1, Math.ceil(wait));
  const left = `greatest(1, $1::bigint - (extract(epoch from clock_timestamp() - statement_timestamp()) * 1000)::bigint)`;
  return {
    name: `wait${shared ? '_shared' : ''}`,
    text: `select set_config('lock_timeout', case $1::bigint when 0 then '0' else (${left})::text end, true),
        ${lock}(key), here.pid
      from (select pg_backend_pid() as pid) here left join unnest($2::bigint[]) key on here.pid = $3`,
    values: [String(limit), hashes, pid],
  };
}

/** Interrupts a session as long as it waits for a lock, and never when it does anything else. */
export const cancelWait = (pid: number): Statement => ({
  name: 'cancel_wait',
  text: `select pg_cancel_backend(pid) from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'`,
  values: [pid],
});

/** A row, if this session waits for a lock. */
export const findWait = (pid: number): Statement => ({
  name: 'find_wait',
  text: `select from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'`,
  values: [pid],
});

export const fenceToken = (schema: string): Statement => callOf(schema, 'fence_token', []);

export const unlockAll: Statement = {
  name: 'unlock_all',
  text: 'select pg_advisory_unlock_all(), pg_backend_pid() as pid',
  values: [],
};

/** The session ends itself. */
export const endSession: Statement = {
  name: 'end_session',
  text: 'select pg_terminate_backend(pg_backend_pid())',
  values: [],
};

export const ping: Statement = { name: 'ping', text: 'select pg_backend_pid() as pid', values: [] };

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
          * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) as room,
        pg_backend_pid() as pid
      from unnest($1::text[], $2::text[]) w(name, value) join pg_settings s on s.name = w.name`,
    values: [Object.keys(settings), Object.values(settings)],
  };
}
