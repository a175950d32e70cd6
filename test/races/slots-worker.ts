/** Callers that take slots again and again, some of one limit, some of a limit for their tenant and one for all. */
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost, FencepostError, type Lease } from '../../src/index.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';
import { grantLine, now } from '../support/grant-file.ts';
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
const lines: string[] = [];
let over = false;
// Without the one that counts nothing is left to do.
process.on('disconnect', () => process.exit(1));
process.on('message', () => {
  over = true;
});

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

async function turn(): Promise<void> {
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
  lines.push(grantLine({ key, slot, token, client: String(worker), asked, told, ended }));
  await lease.release();
}

async function call(): Promise<void> {
  while (!over) {
    await turn().catch(async (error: unknown) => {
      if (!(error instanceof FencepostError) || !error.retriable) throw error;
      counts.failures += 1;
      await delay(20);
    });
    if (lines.length >= 50) appendFileSync(file, `${lines.splice(0).join('\n')}\n`);
  }
}

await Promise.all(Array.from({ length: callers }, call));
if (lines.length > 0) appendFileSync(file, `${lines.join('\n')}\n`);
await fencepost.close();
process.removeAllListeners('disconnect');
tellParent(counts);
if (process.connected) process.disconnect();
