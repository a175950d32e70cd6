import { expectTypeOf, it } from 'vitest';
import { Fencepost, type Lease, type LeaseState } from '../../src/index.ts';
import { migrate } from '../../src/migrate.ts';

declare const fencepost: Fencepost;
declare const lease: Lease;

it('says what each call answers', () => {
  expectTypeOf(fencepost.leases.acquire('a')).resolves.toEqualTypeOf<Lease>();
  expectTypeOf(fencepost.leases.tryAcquire('a')).resolves.toEqualTypeOf<Lease | null>();
  expectTypeOf(fencepost.leases.using('a', async (held) => held.slot)).resolves.toEqualTypeOf<number>();
  expectTypeOf(lease.token).toEqualTypeOf<bigint>();
  expectTypeOf(lease.state).toEqualTypeOf<LeaseState>();
  expectTypeOf(lease.signal).toEqualTypeOf<AbortSignal>();
  expectTypeOf(lease).toExtend<AsyncDisposable>();
});

it('accepts keys, keys of a tenant, and every option alone or undefined', () => {
  fencepost.leases.acquire('a');
  fencepost.leases.acquire(['invoice', 7, 8n]);
  fencepost.leases.acquire(7n);
  fencepost.leases.acquire({ name: 'a' });
  fencepost.leases.acquire({ tenant: 't1', name: ['invoice', 7] });
  fencepost.leases.acquire('a', {});
  fencepost.leases.acquire('a', { ttl: 30_000 });
  fencepost.leases.acquire('a', { ttl: '1m', wait: '500ms', renew: false, signal: AbortSignal.timeout(1) });
  fencepost.leases.acquire('a', { ttl: undefined, wait: undefined, renew: undefined, signal: undefined });
});

it('refuses wrong keys', () => {
  // @ts-expect-error no key at all
  fencepost.leases.acquire();
  // @ts-expect-error a boolean
  fencepost.leases.acquire(true);
  // @ts-expect-error a number alone
  fencepost.leases.acquire(7);
  // @ts-expect-error a boolean in a list
  fencepost.leases.acquire(['invoice', true]);
  // @ts-expect-error a tenant without a name
  fencepost.leases.acquire({ tenant: 't1' });
  // @ts-expect-error a tenant that is no string
  fencepost.leases.acquire({ tenant: 7, name: 'a' });
  // @ts-expect-error something else beside tenant and name
  fencepost.leases.acquire({ tenant: 't1', name: 'a', slot: 1 });
});

it('refuses wrong options', () => {
  // @ts-expect-error no such unit (TypeScript takes '30 ' for a number: '30 s' is refused when it runs)
  fencepost.leases.acquire('a', { ttl: '30 sec' });
  // @ts-expect-error a duration without a unit
  fencepost.leases.tryAcquire('a', { wait: '30' });
  // @ts-expect-error no such option
  fencepost.leases.acquire('a', { tll: '30s' });
  // @ts-expect-error no boolean
  fencepost.leases.acquire('a', { renew: 'no' });
  // @ts-expect-error a controller instead of its signal
  fencepost.leases.acquire('a', { signal: new AbortController() });
});

it('refuses to run without work', () => {
  // @ts-expect-error no function
  fencepost.leases.using('a');
  // @ts-expect-error options and no function
  fencepost.leases.using('a', { ttl: '30s' });
  // @ts-expect-error a function that is not async: what it began would outlive the lease
  fencepost.leases.using('a', () => 7);
  // @ts-expect-error the function in front of the options
  fencepost.leases.using('a', async () => {}, { ttl: '30s' });
});

it('lets nobody change a lease', () => {
  // @ts-expect-error read only
  lease.token = 8n;
  // @ts-expect-error read only
  lease.state = 'held';
});

it('needs a connection, and knows no other options than it has', () => {
  // @ts-expect-error nothing
  new Fencepost();
  // @ts-expect-error no connection
  new Fencepost({});
  // @ts-expect-error an environment variable may be absent
  new Fencepost({ connection: process.env.DATABASE_URL });
  // @ts-expect-error a word with a typing error
  new Fencepost({ connection: 'postgres://localhost/app', scheme: 'locks' });
  // @ts-expect-error no connection
  migrate({ schema: 'locks' });
  // @ts-expect-error a list of roles
  migrate({ connection: 'postgres://localhost/app', grant: ['app'] });
  expectTypeOf(migrate({ connection: 'postgres://localhost/app' })).resolves.toEqualTypeOf<string[]>();
});
