import { hostname } from 'node:os';
import { pid } from 'node:process';
import { AdvisoryLocks } from './advisory/advisory-locks.ts';
import { inspectLocks, type LockInfo } from './advisory/inspect-locks.ts';
import { Numbers } from './advisory/keys.ts';
import { TransactionLocks, type TransactionLocksContext } from './advisory/transaction-locks.ts';
import { Claims } from './claim/claims.ts';
import { systemClock } from './core/clock.ts';
import type { Duration } from './core/duration.ts';
import type { Key } from './core/key.ts';
import { duration, integer, oneOf, optional, text, validate, withDefault } from './core/options.ts';
import { StoppableClock } from './core/stoppable-clock.ts';
import { Holders } from './holder/holders.ts';
import { Elections } from './lease/elections.ts';
import { type HolderInfo, inspectHolders, inspectLeases, type LeaseInfo } from './lease/inspect-leases.ts';
import { Leases } from './lease/leases.ts';
import { Barriers } from './recipe/barriers.ts';
import { Latches } from './recipe/latches.ts';
import { Members } from './recipe/members.ts';
import { type ConnectionSource, connectionSource } from './session/client.ts';
import { Commands } from './session/commands.ts';
import type { Connection } from './session/connection.ts';
import { closedError, Database, schemaName } from './session/database.ts';
import { Link } from './session/link.ts';
import { LockConnections } from './session/lock-connections.ts';
import { Notifications } from './session/notifications.ts';
import type { CallerTransaction } from './session/transaction.ts';
import { channelOf, revokedMessage } from './sql/notification.ts';

/** How a Fencepost is made. */
export interface FencepostOptions {
  /**
   * A connection URL, a configuration of `pg`, or your `pg.Pool`. Of a pool only the configuration is used: Fencepost
   * opens its own connections (one for heartbeats, up to two for batches, up to `sessions.max` for session locks, each
   * when first needed) and never takes one of the pool's, so the two cannot starve each other.
   */
  readonly connection: ConnectionSource;
  /** The schema that `migrate` made. `'fencepost'` by default. */
  readonly schema?: string | undefined;
  /**
   * Sets the keys of session and transaction locks apart from those of other applications in the same database. Keys
   * that are bigints are not touched by it. Empty by default.
   */
  readonly namespace?: string | undefined;
  /** The server sessions that hold session locks. */
  readonly sessions?: SessionOptions | undefined;
}

/** How the server sessions that hold session locks are made. */
export interface SessionOptions {
  /**
   * Most connections at one time: one tries and holds for everybody, the others wait for one caller each. With more of
   * them more callers stand in the server's queue, instead of trying again every quarter of a second. 5 by default.
   */
  readonly max?: number | undefined;
  /**
   * The server ends a session that has been silent for this long: the longest time that a frozen or cut-off process
   * keeps its session locks. A heartbeat every third of it keeps a living one. A shorter one frees sooner, and loses
   * the locks sooner when the event loop or the network pauses. From one second; 30 seconds by default.
   */
  readonly ttl?: Duration | undefined;
  /** `'session'`: what stands between is a pooler in session mode, so session locks are safe. Refused otherwise. */
  readonly pooler?: 'session' | undefined;
}

/** Looks into the database. Each call opens a connection and closes it again. */
export interface Inspect {
  /**
   * The advisory locks of the database, session and transaction, and who waits for them. Names stand where this process
   * uses the key itself or is given it in `keys`: the server, and so every other role, sees only numbers.
   *
   * @example
   * console.table(await fencepost.inspect.locks({ keys: ['nightly-report'] }));
   */
  locks(options?: { readonly keys?: readonly Key[] | undefined }): Promise<LockInfo[]>;
  /**
   * The leases that are held, by whoever it is, in the order of tenant, name and slot, as of one moment. They are read a
   * thousand at a time, so that the event loop goes on, in a transaction that is open that long: a second for 100,000.
   *
   * @example
   * console.table(await fencepost.inspect.leases());
   */
  leases(): Promise<LeaseInfo[]>;
  /**
   * The processes that hold leases, or could: when each sent its last heartbeat, and how many it holds. Counts the whole
   * lease table.
   *
   * @example
   * console.table(await fencepost.inspect.holders());
   */
  holders(): Promise<HolderInfo[]>;
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
  /** Leadership: campaigns for a lease, for ever, and who leads. */
  readonly elections: Elections;
  /** Rows of your own tables, claimed by workers. */
  readonly claims: Claims;
  /** Session advisory locks: freed as soon as the process dies. */
  readonly advisory: AdvisoryLocks;
  /** Points where processes wait for each other. */
  readonly barriers: Barriers;
  /** Work of so many parts, and those who wait until all are done. */
  readonly latches: Latches;
  /** Who is there, as long as its process lives. */
  readonly members: Members;
  /** What is held, by whom, and who waits: for people and tools. */
  readonly inspect: Inspect;
  /** For `fencepost/testing`. @internal */
  readonly clock = new StoppableClock(systemClock);
  readonly #database: Database;
  readonly #transactionLocks: TransactionLocksContext;
  readonly #holders: Holders;
  readonly #ended = new AbortController();
  #closing: Promise<void> | undefined;

  /** Opens nothing yet: the first call that needs the database connects, and checks the schema. */
  constructor(options: FencepostOptions) {
    const { connection, schema, namespace, sessions } = validate('options', options, {
      connection: connectionSource,
      schema: withDefault(schemaName, 'fencepost'),
      namespace: withDefault(text({ maxBytes: 255 }), ''),
      sessions: sessionOptions,
    });
    const { clock } = this;
    this.#database = new Database(connection, schema, clock);
    const open = (limit?: number) => this.#database.open(limit);
    const link = new Link(open, clock);
    const notifications = new Notifications(link, channelOf(schema), clock);
    this.#holders = new Holders({
      link,
      open,
      clock,
      schema,
      application: `${hostname()}:${pid}`,
      revoked: (taken) => this.leases.revoked(taken),
      moved: async (holder) => {
        await Promise.all([this.leases.moved(holder), this.claims.moved(holder)]);
      },
    });
    notifications.hear(revokedMessage, () => this.#holders.beat());
    const commands = new Commands(open, clock);
    this.leases = new Leases({ schema, clock, commands, holders: this.#holders, notifications });
    this.elections = new Elections({ schema, clock, commands, leases: this.leases });
    const recipes = {
      schema,
      clock,
      commands,
      notifications,
      leases: this.leases,
      closing: this.#ended.signal,
    };
    this.barriers = new Barriers(recipes);
    this.latches = new Latches(recipes);
    this.members = new Members(recipes);
    this.claims = new Claims({ schema, clock, commands, notifications, holders: this.#holders });
    const numbers = new Numbers(namespace);
    this.advisory = new AdvisoryLocks({
      clock,
      numbers,
      schema,
      connections: new LockConnections({ source: connection, clock, ...sessions }),
    });
    this.inspect = {
      locks: ({ keys = [] } = {}) => this.#locks(namespace, keys),
      leases: () => this.#look((connection) => inspectLeases(connection, schema)),
      holders: () => this.#look((connection) => inspectHolders(connection, schema)),
    };
    this.#transactionLocks = {
      clock,
      numbers,
      commands: new Commands((limit) => this.#database.connect(limit), clock, 1),
    };
  }

  /**
   * Locks in your own transaction, which end with it: of a `pg` client after BEGIN, of Kysely, or of another library by
   * an adapter (`fencepost/adapters`). Sends nothing yet.
   */
  transaction(transaction: CallerTransaction): TransactionLocks {
    if (this.#closing !== undefined) throw closedError();
    return new TransactionLocks(this.#transactionLocks, transaction);
  }

  /**
   * Releases everything that is held, except leases with `keep`, and closes the connections. Calls made later throw
   * `StateError`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The end of an `await using` block: `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #locks(namespace: string, known: readonly Key[]): Promise<LockInfo[]> {
    await using connection = await this.#database.connect();
    return await inspectLocks(connection, namespace, [...known, ...this.advisory.keys]);
  }

  async #look<Found>(inspect: (connection: Connection) => Promise<Found>): Promise<Found> {
    await using connection = await this.#database.open();
    return await inspect(connection);
  }

  async #close(): Promise<void> {
    this.#ended.abort(closedError());
    this.elections.close();
    await Promise.allSettled([this.advisory.close(), this.leases.close(), this.claims.close()]);
    await Promise.allSettled([this.#holders.close()]);
    await this.#database.close();
  }
}

function sessionOptions(
  argument: string,
  given: unknown,
): { max: number; ttl: number; pooledSessions: boolean } {
  const { max, ttl, pooler } = validate(argument, given, {
    max: withDefault(integer({ min: 1, max: 1_000 }), 5),
    ttl: withDefault(duration({ min: 1_000 }), 30_000),
    pooler: optional(oneOf('session')),
  });
  return { max, ttl, pooledSessions: pooler === 'session' };
}
