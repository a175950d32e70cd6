import type { Session } from '../session/link.ts';
import {
  type HolderRow,
  heldLeases,
  holders,
  LeaseReader,
  type LeaseRow,
  nextLeases,
  readHolder,
  readLeases,
} from '../sql/inspect.ts';
import { begin, commit } from '../sql/statement.ts';

/** A lease that is held now. */
export interface LeaseInfo extends LeaseRow {}

/** A process that holds leases, or did until a moment ago. */
export interface HolderInfo extends HolderRow {}

/** How many are read at a time: to turn a thousand into objects takes more than ten milliseconds. */
const portion = 250;

/** All leases that are held, in the order of tenant, name and slot. */
export async function inspectLeases(session: Session, schema: string): Promise<LeaseInfo[]> {
  const found: LeaseInfo[] = [];
  const reader = new LeaseReader();
  await session.query(begin);
  let rows = await session.query(heldLeases(schema));
  do {
    found.push(...readLeases(rows, reader));
    rows = await session.query(nextLeases(portion));
  } while (rows.length > 0);
  await session.query(commit);
  return found;
}

/** All that live, and those that have died and that nobody has buried yet. */
export async function inspectHolders(session: Session, schema: string): Promise<HolderInfo[]> {
  return (await session.query(holders(schema))).map(readHolder);
}
