/** Callers that take slots again and again, some of one limit, some of a limit for their tenant and one for all. */
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost, type Lease } from '../../src/index.ts';
import type { Acquisition } from '../lab/history.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';
import { now } from '../support/grant-file.ts';
import { takeTurns } from '../support/turns.ts';
import type { Limits } from './slots.ts';

export interface WorkerArgument {
  readonly url: string;
  readonly worker: number;
  readonly callers: number;
  readonly keys: number;
  readonly tenants: number;
  readonly limits: Limits;
  readonly ttl: number;
  readonly file: string;
}

const { url, worker, callers, keys, tenants, limits, ttl, file } = argumentOfChild<WorkerArgument>();
const fencepost = new Fencepost({ connection: url });
const counts = { grants: 0, refusals: 0, failures: 0 };
function ask(): Promise<Lease | null> {
  const options = { ttl, wait: Math.random() < 0.7 ? 100 : 0 };
  if (Math.random() < 0.5)
    return fencepost.leases.tryAcquire(`key ${Math.floor(Math.random() * keys)}`, {
      ...options,
      slots: limits.slots,
    });
  const tenant = `tenant ${Math.floor(Math.random() * tenants)}`;
  const { total } = limits;
  return fencepost.leases.tryAcquire(
    { tenant, name: 'mail' },
    { ...options, slots: { tenant: limits.tenant, total } },
  );
}

async function turn(tell: (grant: Acquisition) => void): Promise<void> {
  const asked = now();
  const lease = await ask();
  if (lease === null) {
    counts.refusals += 1;
    await delay(Math.random() * 5);
    return;
  }
  const told = now();
  counts.grants += 1;
  // Some stay over several turns of the event loop, so that they meet.
  if (Math.random() < 0.2) await delay(Math.random() * 20);
  const stopped = now();
  const ended = lease.state === 'held' || lease.state === 'doubtful' ? stopped : undefined;
  const key = `${lease.tenant}/${lease.name}`;
  const { slot, token } = lease;
  tell({ key, slot, token, client: String(worker), asked, told, ended });
  await lease.release();
}

await takeTurns({
  callers,
  file,
  portion: 50,
  turn,
  failed: () => {
    counts.failures += 1;
  },
});
await fencepost.close();
tellParent(counts);
if (process.connected) process.disconnect();
