import type { Clock } from '../core/clock.ts';
import { ArgumentError, SchemaError, StateError } from '../core/errors.ts';
import { type Check, text } from '../core/options.ts';
import { databaseFailure, migrateCommand, notAdopted } from '../core/sqlstate.ts';
import { about } from '../sql/holder.ts';
import type { ConnectionSource } from './client.ts';
import { Connection } from './connection.ts';

/** The schema version that this code was written for; the oldest one it can work with is the same so far. */
const neededVersion = 1;

/** Any name but one with quotes, which tools that put it into SQL get wrong. Postgres cuts names at 63 bytes. */
export const schemaName: Check<string> = (argument, value) => {
  const name = text({ minBytes: 1, maxBytes: 63 })(argument, value);
  if (!/['"\\]/.test(name) && !name.startsWith('pg_')) return name;
  throw new ArgumentError(
    argument,
    'a name without quotes and backslashes that does not begin with pg_',
    name,
  );
};

/** The database with our schema in it: where every connection of one Fencepost comes from. */
export class Database {
  readonly schema: string;
  readonly clock: Clock;
  readonly #source: ConnectionSource;
  readonly #open = new Set<Connection>();
  #closed = false;

  constructor(source: ConnectionSource, schema: string, clock: Clock) {
    this.#source = source;
    this.schema = schema;
    this.clock = clock;
  }

  /**
   * A new connection, to a schema that was found to fit: each time, because another server may have taken the place of
   * the one before.
   */
  async open(limit?: number): Promise<Connection> {
    const connection = await this.connect(limit);
    try {
      await this.#check(connection);
      if (this.#closed) throw closedError();
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** A new connection, whatever there is in the database. */
  async connect(limit?: number): Promise<Connection> {
    if (this.#closed) throw closedError();
    const connection: Connection = await Connection.open(
      this.#source,
      this.clock,
      () => this.#open.delete(connection),
      { limit },
    );
    this.#open.add(connection);
    if (!this.#closed) return connection;
    await connection.close();
    throw closedError();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open].map((connection) => connection.close(closedError())));
  }

  async #check(connection: Connection): Promise<void> {
    const [row] = await connection.query(about(this.schema)).catch((error: unknown) => {
      throw databaseFailure('check the schema', error, this.schema);
    });
    const version = Number(row?.version);
    const oldestClient = Number(row?.oldest_client);
    const schema = `schema "${this.schema}" has version ${version}`;
    if (!(version >= neededVersion)) {
      const command = migrateCommand(this.schema);
      throw new SchemaError(`${schema}, this client needs ${neededVersion}: run "${command}"`);
    }
    if (oldestClient > neededVersion) {
      throw new SchemaError(`${schema}, which this client is too old for: update the package "fencepost"`);
    }
    if (row?.token_cache !== '1') {
      const altered = `the sequence "token" in schema "${this.schema}" has CACHE ${row?.token_cache}`;
      throw new SchemaError(`${altered}: sessions would draw tokens out of order; alter it back to CACHE 1`);
    }
    if (row?.adopted !== 't') throw new SchemaError(notAdopted(this.schema));
  }
}

export function closedError(): StateError {
  return new StateError('this Fencepost is closed');
}
