import { AdvisoryLocks } from '../../advisory/advisory-locks.ts';
import { Numbers } from '../../advisory/keys.ts';
import { systemClock } from '../../core/clock.ts';
import type { Duration } from '../../core/duration.ts';
import { ArgumentError } from '../../core/errors.ts';
import { duration, optional, validate, withDefault } from '../../core/options.ts';
import { StoppableClock } from '../../core/stoppable-clock.ts';
import { Holders } from '../../holder/holders.ts';
import { Elections } from '../../lease/elections.ts';
import {
  type HolderInfo,
  inspectHolders,
  inspectLeases,
  type LeaseInfo,
} from '../../lease/inspect-leases.ts';
import { Leases } from '../../lease/leases.ts';
import { Commands } from '../../session/commands.ts';
import type { Connection } from '../../session/connection.ts';
import { closedError } from '../../session/database.ts';
import { Link } from '../../session/link.ts';
import { Notifications } from '../../session/notifications.ts';
import { channelOf, revokedMessage } from '../../sql/notification.ts';
import { LockTable } from './lock-table.ts';
import { MemoryConnection } from './memory-connection.ts';
import { MemoryServer } from './memory-server.ts';
import { MemorySessions } from './memory-sessions.ts';
import { MemoryTransaction } from './memory-transaction.ts';
import { MemoryTransactionLocks } from './memory-transaction-locks.ts';

/** What stands for the database: all doubles that share one stand for processes on one database. */
class World {
  readonly connections = new Set<MemoryConnection>();
  readonly locks = new LockTable();
  readonly server = new MemoryServer(
    () => systemClock.now().wall,
    (message) => {
      for (const connection of this.connections) connection.hear(message);
    },
  );
  fenced = 0n;
  processes = 0;
}

/** How a double is made. */
export interface MemoryFencepostOptions {
  /** Another double: both then stand for two processes on one database. By default it has a database of its own. */
  readonly beside?: MemoryFencepost | undefined;
  /** As that of `FencepostOptions`. */
  readonly sessions?: { readonly ttl?: Duration | undefined } | undefined;
}

const schema = 'fencepost';

/**
 * Leases, elections and locks without a Postgres, in the memory of this process, for unit tests of code that uses them.
 * The client is the real one, and what stands for the server follows the same rules: it passes the same contract. Made
 * by `createMemoryFencepost`.
 *
 * What it does not do: claims, barriers, latches and members, and SQL of any kind. Two processes cannot share one. And
 * it proves nothing about your SQL: whether the guard stands in the right transaction shows on a Postgres only.
 */
export class MemoryFencepost implements AsyncDisposable {
  /** As those of `Fencepost`. */
  readonly leases: Leases;
  /** As those of `Fencepost`. */
  readonly elections: Elections;
  /** As those of `Fencepost`. */
  readonly advisory: AdvisoryLocks;
  /** As that of `Fencepost`, without `locks`. */
  readonly inspect: {
    /** The leases that are held. */
    leases(): Promise<LeaseInfo[]>;
    /** The doubles that hold leases, or could. */
    holders(): Promise<HolderInfo[]>;
  };
  /** For `freezeClock`. @internal */
  readonly clock = new StoppableClock(systemClock);
  /** @internal */
  readonly world: World;
  readonly #holders: Holders;
  readonly #open = new Set<MemoryConnection>();
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(world: World, sessionTtl: number) {
    const { clock } = this;
    this.world = world;
    world.processes += 1;
    const open = (): Promise<Connection> => this.#connect();
    const link = new Link(open, clock);
    const notifications = new Notifications(link, channelOf(schema), clock);
    const commands = new Commands(open, clock);
    this.#holders = new Holders({
      link,
      open,
      clock,
      schema,
      application: `memory:${world.processes}`,
      revoked: (taken) => this.leases.revoked(taken),
      moved: async () => {},
    });
    notifications.hear(revokedMessage, () => this.#holders.beat());
    this.leases = new Leases({ schema, clock, commands, holders: this.#holders, notifications });
    this.elections = new Elections({ schema, clock, commands, leases: this.leases });
    const sessions = new MemorySessions({
      table: world.locks,
      clock,
      ttl: sessionTtl,
      drawToken: () => {
        world.fenced += 1n;
        return world.fenced;
      },
    });
    this.advisory = new AdvisoryLocks({
      clock,
      numbers: new Numbers(''),
      schema,
      connections: sessions.face,
    });
    this.inspect = {
      leases: () => this.#look((connection) => inspectLeases(connection, schema)),
      holders: () => this.#look((connection) => inspectHolders(connection, schema)),
    };
  }

  /** Begins a transaction of the double, for `guard` and for locks in a transaction. */
  begin(): MemoryTransaction {
    if (this.#closing !== undefined) throw closedError();
    return new MemoryTransaction(this.world.server.leases, this.world.locks);
  }

  /** Locks in a transaction of the double, which end with it. */
  transaction(transaction: MemoryTransaction): MemoryTransactionLocks {
    if (this.#closing !== undefined) throw closedError();
    if (transaction instanceof MemoryTransaction)
      return new MemoryTransactionLocks(this.world.locks, this.clock, transaction);
    throw new ArgumentError('transaction', 'a transaction of begin()', transaction);
  }

  /** As that of `Fencepost`. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The end of an `await using` block: `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.elections.close();
    await Promise.allSettled([this.advisory.close(), this.leases.close()]);
    await Promise.allSettled([this.#holders.close()]);
    for (const connection of [...this.#open]) await connection.close();
  }

  async #connect(): Promise<Connection> {
    const { connections, server } = this.world;
    const connection: MemoryConnection = new MemoryConnection(server, () => {
      connections.delete(connection);
      this.#open.delete(connection);
    });
    connections.add(connection);
    this.#open.add(connection);
    return connection.face;
  }

  async #look<Found>(inspect: (connection: Connection) => Promise<Found>): Promise<Found> {
    if (this.#closing !== undefined) throw closedError();
    await using connection = await this.#connect();
    return await inspect(connection);
  }
}

/**
 * A double of `Fencepost` for unit tests: leases, elections and locks in the memory of this process, without a Postgres.
 *
 * @throws ArgumentError for wrong options
 *
 * @example
 * await using fencepost = createMemoryFencepost();
 * await using other = createMemoryFencepost({ beside: fencepost }); // stands for another process
 */
export function createMemoryFencepost(options?: MemoryFencepostOptions): MemoryFencepost {
  const { beside, sessions } = validate('options', options, {
    beside: optional((argument, value) => {
      if (value instanceof MemoryFencepost) return value;
      throw new ArgumentError(argument, 'what createMemoryFencepost has made', value);
    }),
    sessions: (argument, value) =>
      validate(argument, value, { ttl: withDefault(duration({ min: 1_000 }), 30_000) }),
  });
  return new MemoryFencepost(beside?.world ?? new World(), sessions.ttl);
}
