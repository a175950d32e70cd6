import { dateOf } from '../core/clock.ts';
import type { Resource } from './lease.ts';
import { identifier, type Row, type Statement } from './statement.ts';

/** Who leads an election, as the server says. */
export interface Leader {
  /** The process: `host:pid`. */
  readonly application: string;
  /** Of its term: greater than the token of every earlier one. */
  readonly token: bigint;
  /** When its term began, on the clock of the server. */
  readonly since: Date;
}

/** One index lookup for each election, whatever their number: OFFSET 0 keeps the view from being joined otherwise. */
export function leadersOf(schema: string, elections: readonly Resource[]): Statement {
  return {
    name: 'leaders',
    text: `select l.token, l.application, (extract(epoch from l.acquired_at) * 1000)::bigint as since
      from unnest($1::text[], $2::text[]) with ordinality as e(tenant, name, place)
      left join lateral (
        select token, application, acquired_at from ${identifier(schema)}.leases
        where tenant = e.tenant and name = e.name and slot = 0 and held offset 0
      ) l on true
      order by e.place`,
    values: [elections.map(({ tenant }) => tenant), elections.map(({ name }) => name)],
  };
}

export function readLeader(row: Row): Leader | null {
  if (row.token == null) return null;
  const { application, since } = row;
  return { application: application ?? '', token: BigInt(row.token), since: dateOf(Number(since)) };
}
