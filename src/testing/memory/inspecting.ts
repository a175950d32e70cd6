import type { HolderRow, LeaseRow, LeaseRows } from './lease-rows.ts';
import type { Reply } from './values.ts';

/** The views of the schema, as far as clients look at them. */
export function leaders(rows: LeaseRows, tenants: readonly string[], names: readonly string[]): Reply {
  return {
    rows: names.map((name, place) => {
      const row = rows.find({ tenant: tenants[place] ?? '', name }, 0);
      if (row === undefined || !rows.isHeld(row)) return { token: null };
      const application = holderOf(rows, row)?.application ?? null;
      return { token: String(row.token), application, since: String(Math.floor(row.acquired)) };
    }),
  };
}

export function inspectLeases(rows: LeaseRows): Reply {
  const held = rows
    .all()
    .filter((row) => rows.isHeld(row))
    .sort((a, b) => compare(placeOf(a), placeOf(b)));
  return {
    rows: held.map((row) => ({
      tenant: row.resource.tenant,
      name: row.resource.name,
      slot: String(row.slot),
      token: String(row.token),
      shared: row.shared ? 't' : 'f',
      holder: row.holder ?? null,
      application: holderOf(rows, row)?.application ?? '',
      revoked: row.revoked ? 't' : 'f',
      metadata: row.metadata ?? null,
      acquired_at: String(row.acquired),
      expires_at: String(rows.expiryOf(row)),
    })),
  };
}

export function inspectHolders(rows: LeaseRows, now: number): Reply {
  return {
    rows: [...rows.holders.values()].map((holder) => ({
      id: holder.id,
      application: holder.application,
      ttl: String(holder.ttl),
      alive: holder.expires > now ? 't' : 'f',
      opened_at: String(holder.opened),
      beat_at: String(holder.beat),
      expires_at: String(holder.expires),
      held: String(rows.all().filter((row) => row.holder === holder.id && rows.isHeld(row)).length),
    })),
  };
}

const holderOf = (rows: LeaseRows, { holder }: LeaseRow): HolderRow | undefined =>
  rows.holders.get(holder ?? '');

const placeOf = ({ resource, slot }: LeaseRow): [string, string, number] => [
  resource.tenant,
  resource.name,
  slot,
];

function compare(a: readonly (string | number)[], b: readonly (string | number)[]): number {
  const place = a.findIndex((part, index) => part !== b[index]);
  if (place === -1) return 0;
  return (a[place] ?? '') < (b[place] ?? '') ? -1 : 1;
}
