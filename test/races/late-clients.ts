/**
 * Real clients on networks that fall silent for about as long as the ttl, against each other on a few keys. Whenever one
 * is granted a lease, none of those that had it before may still say that they hold it, then or ever after.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost, type Lease } from '../../src/index.ts';
import { startProxy } from '../support/proxy.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';

export interface LateClients {
  /** Grants to wait for. */
  rounds: number;
  clients: number;
  resources: number;
  /** Milliseconds. */
  ttl: number;
  /** Ends after so many seconds, whatever was granted. */
  seconds: number;
}

export async function raceClients(url: string, options: LateClients): Promise<Findings> {
  const { clients, resources, ttl } = options;
  const random = new Random();
  const started = performance.now();
  const goesOn = (): boolean =>
    counts.grants < options.rounds && performance.now() - started < options.seconds * 1_000;
  const violations: string[] = [];
  const before = new Map<string, Lease[]>();
  const counts = { grants: 0, lost: 0, released: 0, freezes: 0, failures: 0 };

  const granted = (lease: Lease): void => {
    counts.grants += 1;
    const others = before.get(lease.key) ?? [];
    for (const other of others) {
      if (other.state === 'held' || other.state === 'doubtful') {
        violations.push(`${lease.key}: ${lease.token} was granted while ${other.token} was ${other.state}`);
      }
      if (other.token >= lease.token) violations.push(`${lease.key}: ${lease.token} after ${other.token}`);
    }
    // The last few are enough: who was lost once is looked at again and again.
    before.set(lease.key, [...others.slice(-5), lease]);
  };

  const live = async (): Promise<void> => {
    await using network = await startProxy(url);
    await using fencepost = new Fencepost({ connection: network.url });
    let working = true;
    const disturbing = (async () => {
      while (working) {
        await delay(ttl * random.next() * 2);
        counts.freezes += 1;
        network.freeze();
        await delay(ttl * (0.4 + random.next()));
        network.thaw();
      }
    })();
    while (goesOn()) {
      const key = `r${random.below(resources)}`;
      const renew = random.below(4) > 0;
      const lease = await fencepost.leases.tryAcquire(key, { ttl, renew, wait: 50 }).catch(() => null);
      if (lease === null) {
        counts.failures += 1;
        continue;
      }
      granted(lease);
      await delay(ttl * random.next() * 1.5);
      if (lease.state === 'lost') counts.lost += 1;
      else counts.released += 1;
      // Not awaited for long: on a silent network it ends with the ttl.
      await Promise.race([lease.release().catch(() => {}), delay(ttl / 2)]);
    }
    working = false;
    await disturbing;
  };

  await Promise.all(Array.from({ length: clients }, live));
  return { figures: { ...counts, seed: random.seed }, violations };
}

await script(import.meta, { rounds: 600, clients: 8, resources: 4, ttl: 400, seconds: 600 }, raceClients);
