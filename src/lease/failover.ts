import { pause } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import type { Holder } from '../holder/holder.ts';
import type { Commands } from '../session/commands.ts';
import { type Held, leasesOf, readLeasesOf } from '../sql/lease.ts';
import type { Kinds } from './kinds.ts';
import type { Lease } from './lease.ts';

interface Surroundings {
  readonly schema: string;
  readonly clock: Clock;
  readonly commands: Commands;
}

/** How many leases are looked for at a time. */
const portion = 1_024;

/**
 * After a failover to a standby that lacked the newest commits: a grant may be gone, and the lease is lost; a release
 * may be gone, and the lease is released again, as its holder lives on and nobody else would get it.
 */
export async function reconcile(
  { clock, commands, schema }: Surroundings,
  kinds: Kinds,
  holder: Holder,
  leases: () => readonly Lease[],
): Promise<void> {
  // What was sent before, to either server, has been committed by then or never will be.
  holder.distrust();
  await holder.settled();
  const mine = leases().filter((lease) => lease.isOf(holder));
  for (let next = 0; next < mine.length; next += portion)
    await Promise.all(
      mine.slice(next, next + portion).map(async (lease) => {
        const known = await Promise.all(lease.held.map((held) => commands.submit(kinds.known, held)));
        if (!known.every(Boolean)) lease.lose('failover');
      }),
    );
  const there: Held[] = [];
  for (let page: Held[] | undefined; page === undefined || page.length > 0; there.push(...page))
    page = readLeasesOf(await commands.run(leasesOf(schema, holder.id, there.at(-1))));
  // Some of them may be grants whose answers are still on their way.
  await pause(clock, holder.ttl / 3);
  const held = new Set(leases().flatMap((lease) => lease.held.map(textOf)));
  const strays = there.filter((one) => !held.has(textOf(one)));
  await Promise.all(strays.map((one) => commands.submit(kinds.release, one)));
}

const textOf = ({ resource, slot, token }: Held): string =>
  JSON.stringify([resource.tenant, resource.name, slot, String(token)]);
