import { ArgumentError } from '../core/errors.ts';
import { type LeaseRow, readLeases } from '../sql/inspect.ts';
import { findLeases } from '../sql/operations.ts';
import { inspecting } from './inspection.ts';
import type { PlaceFlags } from './place.ts';

/** Who holds a lease, in all of its slots. */
export async function heldLeasesOf(
  place: PlaceFlags,
  tenant: string,
  name: string,
  token?: bigint,
): Promise<LeaseRow[]> {
  const filter = { tenant, prefix: name, after: { tenant, name, slot: -1 }, limit: 10_000 };
  const found = await inspecting(place, async (connection, schema) =>
    readLeases(await connection.query(findLeases(schema, filter))),
  );
  return found.filter((lease) => lease.name === name && (token === undefined || lease.token === token));
}

export function readToken(text: string): bigint {
  if (/^\d{1,19}$/.test(text)) return BigInt(text);
  throw new ArgumentError('--token', 'a token: a whole number', text);
}
