import type { Lease } from '../../src/index.ts';
import type { TestDatabase } from './database.ts';

type Database = Pick<TestDatabase, 'query'>;

/** Writes down each grant of a lease, in the transaction that makes it. */
export async function recordGrants(database: Database): Promise<void> {
  await database.query(`
    create table public.granted (
      id bigint generated always as identity, name text, token bigint, nonce uuid, holder uuid, renews boolean);
    create function public.record_grant() returns trigger language plpgsql as $$
    begin
      insert into public.granted (name, token, nonce, holder, renews)
      values (new.name, new.token, new.nonce, new.holder_id, new.expires_at is null);
      return null;
    end $$;
    create trigger record_grant after update on fencepost.lease for each row
    when (new.token <> old.token) execute function public.record_grant()`);
}

/** Calls that were granted more than once; each nonce belongs to one. */
export function grantedTwice(database: Database): Promise<unknown[]> {
  return database.query(
    'select name, nonce, array_agg(token order by id) as tokens from granted group by 1, 2 having count(*) > 1',
  );
}

/** Resources whose tokens did not rise from grant to grant. The row lock puts grants of one resource in order. */
export function inversions(database: Database): Promise<unknown[]> {
  return database.query(
    `select * from (select name, token, lag(token) over (partition by name order by id) as before from granted) g
     where token <= before`,
  );
}

/** What the database says is held, as `name token`. */
export async function heldOnServer(database: Database): Promise<string[]> {
  const rows = await database.query<{ name: string; token: string }>(
    'select name, token from fencepost.leases where held order by name',
  );
  return rows.map(({ name, token }) => `${name} ${token}`);
}

/** What these handles say. */
export function heldBy(leases: readonly (Lease | null)[]): string[] {
  return leases
    .filter((lease) => lease !== null)
    .map(({ name, token }) => `${name} ${token}`)
    .sort();
}
