// @module-tag F11
// @module-tag F12
// @module-tag F36
import { Fencepost, LockTimeoutError } from 'fencepost';
import { afterAll, expect, test } from 'vitest';
import { type Clients, connect, heldKeys } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { rounds as roundsOf } from '../support/figures.ts';
import { Random } from '../support/random.ts';

const rounds = roundsOf(600);
const pairs = 4;
const limit = 60_000 + rounds * 40;

const database = await createDatabase({ template: false });
const fencepost = new Fencepost({ connection: database.url });
afterAll(async () => {
  await fencepost.close();
  await database[Symbol.asyncDispose]();
});

interface Round {
  readonly waiter: Clients[0];
  readonly key: bigint;
  readonly random: Random;
}

/**
 * Lets a wait end at about the time when the holder gives the lock up, many times, and checks after each that the
 * transaction holds what the call said, and works. Several pairs at once make the timing worse.
 */
async function race(
  attempt: (round: Round) => Promise<boolean>,
): Promise<{ granted: number; refused: number }> {
  const count = { granted: 0, refused: 0 };
  const run = async (pair: number): Promise<void> => {
    await using clients = await connect(database, 2);
    const [holder, waiter] = clients;
    const random = new Random();
    for (let round = 0; round < rounds / pairs; round += 1) {
      const key = BigInt(pair * 1_000_000 + round);
      await holder.query(`begin; select pg_advisory_xact_lock(${key})`);
      await waiter.query(`begin; set local lock_timeout = '77s'; select pg_advisory_xact_lock(-1 - ${key})`);
      const released = holder.query(`select pg_sleep(${random.next() * 0.006}); commit`);
      const granted = await attempt({ waiter, key, random });
      const mine = [-1 - Number(key), ...(granted ? [Number(key)] : [])];
      expect(await heldKeys(waiter), `seed ${random.seed}, round ${round}`).toEqual(mine);
      expect((await waiter.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '77s' }]);
      expect((await waiter.query('commit')).command).toBe('COMMIT');
      await released;
      count[granted ? 'granted' : 'refused'] += 1;
    }
  };
  await Promise.all(Array.from({ length: pairs }, (_, pair) => run(pair)));
  return count;
}

async function nothingHeld(): Promise<void> {
  const left = await database.query(
    `select from pg_locks where locktype = 'advisory'
     and database = (select oid from pg_database where datname = current_database())`,
  );
  expect(left).toEqual([]);
}

test(
  'timeouts that race grants leave no lock behind and lose none',
  async () => {
    const { granted, refused } = await race(async ({ waiter, key, random }) =>
      fencepost.transaction(waiter).tryAcquire(key, { wait: 1 + random.below(6) }),
    );
    console.log(`timeouts racing grants: ${granted} granted, ${refused} timed out`);
    expect(granted).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
    await nothingHeld();
  },
  limit,
);

test(
  'aborts that race grants leave no lock behind and lose none',
  async () => {
    const reason = new Error('enough');
    const { granted, refused } = await race(async ({ waiter, key, random }) => {
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(reason), random.next() * 7);
      try {
        await fencepost.transaction(waiter).acquire(key, { signal: controller.signal });
        return true;
      } catch (error) {
        expect(error).toBe(reason);
        return false;
      } finally {
        clearTimeout(timer);
      }
    });
    console.log(`aborts racing grants: ${granted} granted, ${refused} aborted`);
    expect(granted).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
    await nothingHeld();
  },
  limit,
);

test(
  'several keys that race timeouts are held all or none',
  async () => {
    const { granted, refused } = await race(async ({ waiter, key, random }) => {
      const outcome = await fencepost
        .transaction(waiter)
        .acquireAll([key, -1n - key], { wait: 1 + random.below(6) })
        .then(
          () => true,
          (error: unknown) => error,
        );
      if (outcome !== true) expect(outcome).toBeInstanceOf(LockTimeoutError);
      return outcome === true;
    });
    console.log(`several keys racing timeouts: ${granted} granted, ${refused} timed out`);
    expect(granted).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
    await nothingHeld();
  },
  limit,
);

test(
  'transactions that take several keys in whatever order never deadlock',
  async () => {
    await using clients = await connect(database, 6);
    await database.query(`alter database ${database.name} set deadlock_timeout = '1ms'`);
    const random = new Random();
    let taken = 0;
    const work = async (client: Clients[0]): Promise<void> => {
      await client.query(`set deadlock_timeout = '1ms'`);
      for (let round = 0; round < rounds / 6; round += 1) {
        const keys = Array.from({ length: 1 + random.below(4) }, () => ['account', random.below(5)]);
        const mode = random.next() < 0.3 ? 'shared' : 'exclusive';
        await client.query('begin');
        await fencepost.transaction(client).acquireAll(keys, { mode });
        taken += 1;
        await client.query('commit');
      }
    };
    await Promise.all(clients.map(work));
    console.log(`several keys in any order: ${taken} transactions, 0 deadlocks`);
    await nothingHeld();
  },
  limit,
);
