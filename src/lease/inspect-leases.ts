import type { Session } from '../session/link.ts';
import { type HolderRow, heldLeases, holders, type LeaseRow, readHolder, readLease } from '../sql/inspect.ts';

/** A lease that is held now. */
export interface LeaseInfo extends LeaseRow {}

/** A process that holds leases, or did until a moment ago. */
export interface HolderInfo extends HolderRow {}

/** How many are read at a time: each page may sort the whole table, and turning it into objects takes milliseconds. */
const page = 5_000;

/** All leases that are held, in the order of tenant, name and slot. */
export async function inspectLeases(session: Session, schema: string): Promise<LeaseInfo[]> {
  const found: LeaseInfo[] = [];
  for (;;) {
    const rows = await session.query(heldLeases(schema, found.at(-1), page));
    for (const row of rows) found.push(readLease(row));
    if (rows.length < page) return found;
  }
}

/** All that live, and those that have died and that nobody has buried yet. */
export async function inspectHolders(session: Session, schema: string): Promise<HolderInfo[]> {
  return (await session.query(holders(schema))).map(readHolder);
}
