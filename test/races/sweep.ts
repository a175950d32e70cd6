/**
 * Processes take and give back a few leases while others sweep them away as soon as they are free. The sequence is set
 * back again and again, as a failover or a restore may do it: only the row and the floor are left to keep the order.
 */
import { Fencepost } from '../../src/index.ts';
import { connect } from '../support/clients.ts';
import { type Findings, script } from '../support/script.ts';

export interface SweepRace {
  /** Acquisitions. */
  rounds: number;
  names: number;
  clients: number;
}

export async function raceWithSweeps(url: string, { rounds, names, clients }: SweepRace): Promise<Findings> {
  const violations: string[] = [];
  const newest = new Map<string, bigint>();
  let done = 0;
  let swept = 0;
  let resets = 0;
  const acquiring = Array.from({ length: clients }, async (_, index) => {
    await using fencepost = new Fencepost({ connection: url });
    for (let round = index; done < rounds; round += 1) {
      const name = `swept ${round % names}`;
      // A grant that comes later than another one was given back has the greater token.
      const before = newest.get(name) ?? 0n;
      const lease = await fencepost.leases.tryAcquire(name, { ttl: '20s' });
      if (lease === null) continue;
      done += 1;
      if (lease.token <= before) violations.push(`${name}: ${lease.token} after ${before}`);
      if (lease.token > (newest.get(name) ?? 0n)) newest.set(name, lease.token);
      await lease.release();
    }
  });
  const sweeping = Array.from({ length: 2 }, async (_, index) => {
    await using fencepost = new Fencepost({ connection: url });
    while (done < rounds) swept += await fencepost.leases.sweep({ olderThan: 0, batch: 1 + index * 3 });
  });
  const resetting = (async () => {
    await using own = await connect({ url }, 1);
    while (done < rounds) {
      await own[0].query(`select setval('fencepost.token', 1)`);
      resets += 1;
    }
  })();
  await Promise.all([...acquiring, ...sweeping, resetting]);
  return { figures: { acquisitions: done, swept, resets }, violations };
}

await script(import.meta, { rounds: 200_000, names: 5, clients: 6 }, raceWithSweeps);
