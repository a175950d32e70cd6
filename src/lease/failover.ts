import type { Holder } from '../holder/holder.ts';
import type { Commands } from '../session/commands.ts';
import { type Held, leasesOf, readLeasesOf } from '../sql/lease.ts';
import type { Kinds } from './kinds.ts';
import type { Lease } from './lease.ts';

interface Surroundings {
  readonly schema: string;
  readonly commands: Commands;
}

/** How many leases are looked for at a time. */
const portion = 1_024;

/**
 * After a failover to a standby that lacked the newest commits: a grant may be gone, and the lease is lost; a release
 * may be gone, and the lease is released again, as its holder lives on and nobody else would get it.
 */
export async function reconcile(
  { commands, schema }: Surroundings,
  kinds: Kinds,
  holder: Holder,
  leases: () => readonly Lease[],
): Promise<void> {
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
  // A grant whose answer is still on its way is older than this fence, and will be asked for again.
  holder.distrust();
  await holder.settled();
  const held = new Set(leases().flatMap((lease) => lease.held.map(textOf)));
  const strays = there.filter((one) => !held.has(textOf(one)));
  await Promise.all(strays.map((one) => commands.submit(kinds.release, one)));
}

const textOf = ({ resource, slot, token }: Held): string =>
  JSON.stringify([resource.tenant, resource.name, slot, String(token)]);
