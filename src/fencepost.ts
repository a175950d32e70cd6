import { hostname } from 'node:os';
import { pid } from 'node:process';
import { type Clock, systemClock } from './core/clock.ts';
import { validate, withDefault } from './core/options.ts';
import { Holders } from './holder/holders.ts';
import { Leases } from './lease/leases.ts';
import { Commands } from './session/commands.ts';
import { type ConnectionSource, connectionSource } from './session/connection.ts';
import { Database, schemaName } from './session/database.ts';
import { Link } from './session/link.ts';

/** How a Fencepost is made. */
export interface FencepostOptions {
  /**
   * A connection URL, a configuration of `pg`, or your `pg.Pool`. Of a pool only the configuration is used: Fencepost
   * opens its own connections (one for heartbeats, up to two for everything else, each when first needed) and never
   * takes one of the pool's, so the two cannot starve each other.
   */
  readonly connection: ConnectionSource;
  /** The schema that `migrate` made. `'fencepost'` by default. */
  readonly schema?: string | undefined;
}

/**
 * The entry to everything. Make one for each process and database and keep it: what it holds shares one heartbeat.
 *
 * @example
 * await using fencepost = new Fencepost({ connection: 'postgres://localhost/app' });
 */
export class Fencepost implements AsyncDisposable {
  /** Locks that outlive connections and carry a fencing token. */
  readonly leases: Leases;
  readonly #database: Database;
  readonly #holders: Holders;
  #closing: Promise<void> | undefined;

  /** Opens nothing yet: the first call that needs the database connects, and checks the schema. */
  constructor(options: FencepostOptions) {
    const { connection, schema } = validate('options', options, {
      connection: connectionSource,
      schema: withDefault(schemaName, 'fencepost'),
    });
    const clock: Clock = systemClock;
    this.#database = new Database(connection, schema, clock);
    const open = (limit?: number) => this.#database.open(limit);
    const link = new Link(open);
    this.#holders = new Holders({ link, open, clock, schema, application: `${hostname()}:${pid}` });
    this.leases = new Leases({ schema, clock, commands: new Commands(open), holders: this.#holders });
  }

  /** Releases everything that is held and closes the connections. Calls made later throw `StateError`. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      await this.leases.close();
      await this.#holders.close();
    } finally {
      await this.#database.close();
    }
  }
}
