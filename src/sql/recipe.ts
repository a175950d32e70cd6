import { dateOf } from '../core/clock.ts';
import type { Held, Resource } from './lease.ts';
import { callOf, identifier, type Row, type Statement } from './statement.ts';

/** Answers the newest token of the round once that has begun; see `sql/barrier_look.sql`. */
export function lookAtBarrier(
  schema: string,
  { resource, token }: Held,
  gate: string,
  parties: number,
  withdraw: boolean,
): Statement {
  const { tenant, name } = resource;
  return callOf(schema, 'barrier_look', [tenant, name, gate, parties, String(token), withdraw]);
}

export function readGate(row: Row | undefined): bigint | undefined {
  return row?.answer == null ? undefined : BigInt(row.answer);
}

/** Answers how many are still there. */
export function leftOfRound(schema: string, { tenant, name }: Resource, gate: bigint): Statement {
  return callOf(schema, 'barrier_left', [tenant, name, String(gate)]);
}

export function countDown(schema: string, { resource: { tenant, name }, slot, token }: Held): Statement {
  return callOf(schema, 'latch_count', [tenant, name, slot, String(token)]);
}

/** Answers how many parts have been counted down. */
export function countedDown(schema: string, { tenant, name }: Resource): Statement {
  return callOf(schema, 'latch_counted', [tenant, name]);
}

/** A process that has joined a group and lives, as far as the server knows. */
export interface MemberInfo {
  /** Greater than those of the members that had joined before. */
  readonly token: bigint;
  /** What it joined with. */
  readonly metadata: unknown;
  /** The process: `host:pid`. */
  readonly application: string;
  /** When it joined, on the clock of the server. */
  readonly since: Date;
}

export function membersOf(schema: string, { tenant, name }: Resource): Statement {
  return {
    name: 'members',
    text: `select token, metadata::text, coalesce(application, '') as application,
        (extract(epoch from acquired_at) * 1000)::bigint as since
      from ${identifier(schema)}.leases
      where tenant = $1 and name = $2 and held and not revoked order by token`,
    values: [tenant, name],
  };
}

export function readMember({ token, metadata, application, since }: Row): MemberInfo {
  return {
    token: BigInt(token ?? 0),
    metadata: metadata == null ? undefined : JSON.parse(metadata),
    application: application ?? '',
    since: dateOf(Number(since)),
  };
}
