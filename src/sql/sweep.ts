import type { Resource } from './lease.ts';
import { interval, type Row, rowOf, type Statement } from './statement.ts';

/** A lease row by its key. */
export interface Place extends Resource {
  readonly slot: number;
}

/** Comes before every key. */
export const beginning: Place = { tenant: '', name: '', slot: -1 };

/** Looks at so many leases that follow `after`, and removes those that nobody has held for `age` milliseconds. */
export function sweepLeases(schema: string, age: number, batch: number, after: Place): Statement {
  return rowOf(schema, 'lease_sweep', [interval(age), batch, after.tenant, after.name, after.slot]);
}

/** How many it removed, and where to go on; undefined when there are no more. */
export function readSwept(row: Row | undefined): { swept: number; last: Place | undefined } {
  const { last_tenant: tenant, last_name: name, last_slot: slot } = row ?? {};
  const more = tenant != null && name != null && slot != null;
  return { swept: Number(row?.swept), last: more ? { tenant, name, slot: Number(slot) } : undefined };
}
