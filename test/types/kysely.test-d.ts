import type { Kysely } from 'kysely';
import { expectTypeOf, it } from 'vitest';
import type { FencepostViews } from '../../src/kysely.ts';

interface Tables {
  account: { id: number; balance: string };
}

declare const db: Kysely<Tables>;

it('adds the views to the tables of the caller', () => {
  const all = db.withTables<FencepostViews>();
  all.selectFrom('account').select('balance');
  const leases = all
    .selectFrom('fencepost.leases')
    .select(['tenant', 'token', 'held', 'expires_at'])
    .execute();
  expectTypeOf(leases).resolves.toEqualTypeOf<
    { tenant: string; token: string; held: boolean; expires_at: Date | null }[]
  >();
  const joined = all
    .selectFrom('fencepost.leases as lease')
    .innerJoin('fencepost.holders as holder', 'holder.id', 'lease.holder_id')
    .select(['lease.name', 'holder.beat_at'])
    .executeTakeFirstOrThrow();
  expectTypeOf(joined).resolves.toEqualTypeOf<{ name: string; beat_at: Date }>();
});

it('knows them under another schema name', () => {
  const all = db.withTables<FencepostViews<'locks'>>();
  all.selectFrom('locks.holders').select('alive');
  // @ts-expect-error the default name was not asked for
  all.selectFrom('fencepost.holders');
});

it('refuses columns that are not there, and writes', () => {
  const all = db.withTables<FencepostViews>();
  // @ts-expect-error no such column
  all.selectFrom('fencepost.leases').select('nonce');
  // @ts-expect-error a token is text until BigInt has read it
  all.selectFrom('fencepost.leases').where('token', '=', true);
  // @ts-expect-error a view is read only
  all.updateTable('fencepost.leases').set({ held: false });
});
