import { Fencepost } from 'fencepost';
import {
  type ContractTransaction,
  createMemoryFencepost,
  expire,
  freezeClock,
  killHolder,
  type LeaseSubject,
  type LockSubject,
  leaseContract,
  lockContract,
  type MemoryFencepost,
  type TestDatabase,
} from 'fencepost/testing';
import { describe, test } from 'vitest';

/** Two processes on one database, and how a transaction begins there. */
export interface Pair {
  readonly one: Fencepost | MemoryFencepost;
  readonly other: Fencepost | MemoryFencepost;
  begin(): Promise<ContractTransaction>;
}

const sessions = { ttl: '5s' } as const;
const leaseTtl = '5s';

export function twoDoubles(): Pair {
  const one = createMemoryFencepost({ sessions });
  return {
    one,
    other: createMemoryFencepost({ beside: one, sessions }),
    begin: async () => {
      const transaction = one.begin();
      const commit = (): Promise<void> => transaction.commit();
      return { transaction, commit, [Symbol.asyncDispose]: () => transaction.rollback() };
    },
  };
}

export function twoProcesses({ url, pool }: TestDatabase): Pair {
  const open = (): Fencepost => new Fencepost({ connection: url, sessions });
  const begin = async (): Promise<ContractTransaction> => {
    const client = await pool.connect();
    await client.query('begin');
    let over = false;
    const end = async (how: string): Promise<string> => {
      over = true;
      const { command } = await client.query(how);
      client.release();
      return command;
    };
    return {
      transaction: client,
      async commit() {
        // Postgres answers the COMMIT of a failed transaction with what it does.
        if ((await end('commit')) !== 'COMMIT') throw new Error('the transaction was rolled back');
      },
      async [Symbol.asyncDispose]() {
        if (!over) await end('rollback');
      },
    };
  };
  return { one: open(), other: open(), begin };
}

/** The contracts, for whatever is made in pairs. */
export function contractsOf(what: string, makePair: () => Pair): void {
  const lifecycle = ({ one, other }: Pair) => ({
    closeOne: () => one.close(),
    kill: (lock: unknown) => killHolder(lock as never),
    freezeOne: () => freezeClock(one),
    [Symbol.asyncDispose]: async () => void (await Promise.all([one.close(), other.close()])),
  });

  for (const renew of [true, false]) {
    lockContract({
      describe,
      test,
      name: `a lease with renew: ${renew} ${what}`,
      make: async (): Promise<LockSubject> => {
        const pair = makePair();
        const locks = ({ leases }: Pair['one']): LockSubject['one'] => ({
          acquire: (key, options) => leases.acquire(key, { ttl: leaseTtl, renew, ...options }),
          tryAcquire: (key, options) => leases.tryAcquire(key, { ttl: leaseTtl, renew, ...options }),
        });
        return { one: locks(pair.one), other: locks(pair.other), ...lifecycle(pair) };
      },
    });
  }

  lockContract({
    describe,
    test,
    name: `a session lock ${what}`,
    without: ['tokens'],
    make: async (): Promise<LockSubject> => {
      const pair = makePair();
      return { one: pair.one.advisory, other: pair.other.advisory, ...lifecycle(pair) };
    },
  });

  leaseContract({
    describe,
    test,
    name: `leases ${what}`,
    make: async (): Promise<LeaseSubject> => {
      const pair = makePair();
      return { ...pair, ...lifecycle(pair), expire };
    },
  });
}
