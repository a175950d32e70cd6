import type { Held } from './lease.ts';
import { callOf, interval, type Row, rowOf, type Statement } from './statement.ts';

export const about = (schema: string): Statement => rowOf(schema, 'about', []);

export const openHolder = (schema: string, ttl: number, application: string): Statement =>
  callOf(schema, 'holder_open', [interval(ttl), application]);

export const beatHolder = (schema: string, holder: string): Statement =>
  rowOf(schema, 'holder_beat', [holder]);

/** What was revoked of a holder, except for what it has been told of. */
export const revokedOf = (schema: string, holder: string, told: readonly Held[]): Statement => {
  const listed = told.map(({ resource: { tenant, name }, slot, token }) => [tenant, name, slot, `${token}`]);
  return callOf(schema, 'holder_revoked', [holder, JSON.stringify(listed)]);
};

export function readRevoked(row: Row | undefined): Held[] {
  const listed = JSON.parse(row?.answer ?? '[]') as [string, string, number, string][];
  return listed.map(([tenant, name, slot, token]) => ({
    resource: { tenant, name },
    slot,
    token: BigInt(token),
  }));
}

/** What it holds has been compared with what the server knows since the failover. */
export const settleHolder = (schema: string, holder: string): Statement =>
  callOf(schema, 'holder_settle', [holder]);

export const fenceHolder = (schema: string, holder: string): Statement =>
  callOf(schema, 'holder_fence', [holder]);

export const closeHolder = (schema: string, holder: string): Statement =>
  callOf(schema, 'holder_close', [holder]);
