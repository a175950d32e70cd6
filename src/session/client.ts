import pg from 'pg';
import { ArgumentError } from '../core/errors.ts';
import type { Check } from '../core/options.ts';
import { databaseFailure } from '../core/sqlstate.ts';

/** How to reach the database: a URL, a configuration of `pg`, or a pool, of which only the configuration is used. */
export type ConnectionSource = string | pg.PoolConfig | pg.Pool;

export const connectionSource: Check<ConnectionSource> = (argument, value) => {
  if (typeof value === 'string' && value !== '') return value;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as pg.PoolConfig;
  // What came is not shown: it may be part of a URL with its password.
  const received = value === '' ? value : typeof value;
  throw new ArgumentError(argument, 'a connection URL, a configuration of pg, or a pg.Pool', received);
};

export function newClient(config: pg.ClientConfig): pg.Client {
  try {
    return new pg.Client(config);
  } catch (cause) {
    // Not what was given: it may have a password in it.
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new ArgumentError('options.connection', 'what pg can read', `something else (${text})`);
  }
}

/** A caller's type parsers and limits are meant for the caller's statements: ours read text and end by themselves. */
export function clientConfig(source: ConnectionSource): pg.ClientConfig {
  const given =
    typeof source === 'string' ? { connectionString: source } : 'connect' in source ? source.options : source;
  return {
    connectionTimeoutMillis: 10_000,
    fallback_application_name: 'fencepost',
    keepAlive: true,
    ...given,
    // A pool hides its password from enumeration.
    ...('password' in given ? { password: given.password } : {}),
    types: { getTypeParser: () => (value: string) => value },
    binary: false,
    statement_timeout: false,
    query_timeout: 0,
    lock_timeout: 0,
    idle_in_transaction_session_timeout: 0,
  } as pg.ClientConfig;
}

/** Ends the connection without a word: it may be one on which no word arrives. */
export function hangUp(client: pg.Client): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** A connection of `pg` as it is, for the migrations. */
export type PlainClient = pg.Client;

export async function withClient<T>(
  source: ConnectionSource,
  work: (client: PlainClient) => Promise<T>,
): Promise<T> {
  const client = newClient(clientConfig(source));
  client.on('error', () => {});
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    throw databaseFailure('connect to the database', error);
  } finally {
    await client.end().catch(() => {});
  }
}
