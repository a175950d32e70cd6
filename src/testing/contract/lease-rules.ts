import assert from 'node:assert/strict';
import { once } from 'node:events';
import { LockLostError, StaleTokenError } from '../../core/errors.ts';
import type { Lease } from '../../lease/lease.ts';
import type { LeaseSubject } from './subject.ts';

/** One promise of leases, and how it is looked at. */
export interface LeaseRule {
  readonly name: string;
  run(subject: LeaseSubject): Promise<void>;
}

const ttl = 10_000;
/** For what a rule lets expire by itself. */
const shortTtl = 1_000;
/** Long enough that only a lease that never comes runs into it. */
const wait = 20_000;

async function release(leases: readonly (Lease | null)[]): Promise<void> {
  await Promise.all(leases.map((lease) => lease?.release()));
}

export const leaseRules: readonly LeaseRule[] = [
  {
    name: 'a guard keeps others out until its transaction ends, and is refused to whom the lease was taken from',
    async run({ one, other, begin, expire }) {
      const lease = await one.leases.acquire('a', { ttl });
      await using before = await begin();
      await lease.guard(before.transaction);
      await expire(lease);
      assert.equal(await other.leases.tryAcquire('a', { ttl }), null);
      await before.commit();
      await using between = await begin();
      await lease.guard(between.transaction);
      await between.commit();
      const next = await other.leases.acquire('a', { ttl, wait });
      await using after = await begin();
      await assert.rejects(lease.guard(after.transaction), { code: 'STALE_TOKEN', token: lease.token });
      await assert.rejects(after.commit());
      await using current = await begin();
      await next.guard(current.transaction);
      await current.commit();
      await next.release();
      await using released = await begin();
      await assert.rejects(next.guard(released.transaction), StaleTokenError);
    },
  },
  {
    name: 'an expired lease is lost, with a signal that tells, and its neighbours are not',
    async run({ one, other, expire }) {
      for (const renew of [true, false]) {
        const lease = await one.leases.acquire('a', { ttl, renew });
        await using neighbour = await one.leases.acquire('b', { ttl, renew });
        const { signal } = lease;
        await expire(lease);
        assert.equal(lease.state, 'lost');
        assert.deepEqual([signal.aborted, signal.reason.reason], [true, 'expired']);
        await assert.rejects(lease.renew(), LockLostError);
        await using next = await other.leases.acquire('a', { ttl, wait });
        assert.ok(next.token > lease.token);
        await neighbour.renew();
      }
    },
  },
  {
    name: 'who waits is served when the lease of another process expires',
    async run({ one, other, expire }) {
      const lease = await one.leases.acquire('a', { ttl });
      const waiting = other.leases.acquire('a', { ttl, wait });
      assert.equal(await other.leases.tryAcquire('a', { ttl }), null);
      await expire(lease);
      await (await waiting).release();
    },
  },
  {
    name: 'a lease with a fixed term ends with it, and renew() gives it another',
    async run({ one, other }) {
      const lease = await one.leases.acquire('a', { ttl: shortTtl, renew: false });
      await lease.renew({ ttl });
      const waiting = other.leases.tryAcquire('a', { ttl, wait: 2 * shortTtl });
      assert.equal(await waiting, null);
      await lease.renew({ ttl: shortTtl });
      const next = await other.leases.acquire('a', { ttl, wait });
      assert.equal(lease.state, 'lost');
      await next.release();
    },
  },
  {
    name: 'the death of a process loses all that it holds of one ttl',
    async run({ one, other, kill }) {
      const leases = [await one.leases.acquire('a', { ttl }), await one.leases.acquire('b', { ttl })];
      const third = await one.leases.acquire('c', { ttl: 2 * ttl });
      await kill(leases[0] as Lease);
      assert.deepEqual(
        leases.map(({ state }) => state),
        ['lost', 'lost'],
      );
      await release([
        await other.leases.acquire('a', { ttl, wait }),
        await other.leases.acquire('b', { ttl, wait }),
      ]);
      await third.renew();
      await third.release();
    },
  },
  {
    name: 'of a frozen process the guard is refused once somebody else has the lease',
    async run({ one, other, begin, freezeOne }) {
      const lease = await one.leases.acquire('a', { ttl: shortTtl });
      using frozen = freezeOne();
      const next = await other.leases.acquire('a', { ttl, wait });
      assert.equal(lease.state, 'held', 'a frozen process knows nothing');
      await using write = await begin();
      await assert.rejects(lease.guard(write.transaction), StaleTokenError);
      frozen.thaw();
      assert.equal(lease.state, 'lost');
      await next.release();
    },
  },
  {
    name: 'the same name under two tenants is two leases',
    async run({ one }) {
      const keys = [
        'a',
        { tenant: 't1', name: 'a' },
        { tenant: 't2', name: ['a', 7] },
        { tenant: 't2', name: 'a' },
      ];
      const leases = await Promise.all(keys.map((key) => one.leases.tryAcquire(key, { ttl })));
      assert.deepEqual(
        leases.map((lease) => lease?.key),
        ['a', 't1/a', 't2/["a","7"]', 't2/a'],
      );
      assert.equal(await one.leases.tryAcquire({ tenant: 't2', name: ['a', '7'] }, { ttl }), null);
      await release(leases);
    },
  },
  {
    name: 'slots are held by so many at most, each with a slot and a token of its own',
    async run({ one, other }) {
      const asked = Array.from({ length: 8 }, (_, call) =>
        (call % 2 === 0 ? one : other).leases.tryAcquire('a', { ttl, slots: 3 }),
      );
      const leases = (await Promise.all(asked)).filter((lease) => lease !== null);
      assert.deepEqual(leases.map(({ slot }) => slot).sort(), [0, 1, 2]);
      assert.equal(new Set(leases.map(({ token }) => token)).size, 3);
      const waiting = other.leases.acquire('a', { ttl, slots: 3, wait });
      assert.equal(await one.leases.tryAcquire('a', { ttl, slots: 3 }), null);
      await leases[1]?.release();
      await release([...leases, await waiting]);
    },
  },
  {
    name: 'a greater number of slots lets more in at once, a smaller one as the holders leave',
    async run({ one, other }) {
      const ask = (slots: number) => one.leases.tryAcquire('a', { ttl, slots });
      const leases = [await ask(2), await ask(2), await ask(3)];
      assert.deepEqual(
        leases.map((lease) => lease?.slot),
        [0, 1, 2],
      );
      await leases[0]?.release();
      assert.equal(await other.leases.tryAcquire('a', { ttl, slots: 2 }), null);
      await leases[1]?.release();
      const next = await ask(2);
      assert.equal(next?.slot, 0);
      assert.equal(await other.leases.tryAcquire('a', { ttl }), null);
      await release([leases[2] ?? null, next]);
    },
  },
  {
    name: 'a limit for a tenant and one over all tenants hold together',
    async run({ one }) {
      const ask = (tenant: string) =>
        one.leases.tryAcquire({ tenant, name: 'a' }, { ttl, slots: { tenant: 2, total: 3 } });
      const leases: (Lease | null)[] = [];
      for (const tenant of ['x', 'x', 'x', 'y', 'y']) leases.push(await ask(tenant));
      assert.deepEqual(
        leases.map((lease) => lease !== null),
        [true, true, false, true, false],
      );
      await leases[0]?.release();
      const next = await ask('y');
      assert.notEqual(next, null);
      await release([...leases, next]);
    },
  },
  {
    name: 'readers hold it together, a writer alone, and a writer that waits is not overtaken',
    async run({ one, other }) {
      const read = { ttl, mode: 'shared' } as const;
      const readers = [await one.leases.acquire('a', read), await other.leases.acquire('a', read)];
      const writing = other.leases.acquire('a', { ttl, wait });
      while ((await one.leases.tryAcquire('a', read).then(release1)) !== null) await Promise.resolve();
      await release(readers);
      const writer = await writing;
      assert.equal(await one.leases.tryAcquire('a', read), null);
      await writer.release();
      await (await one.leases.acquire('a', { ...read, wait })).release();
    },
  },
  {
    name: 'a lease that was revoked is lost, its guard is refused, and it is free after the grace',
    async run({ one, other, begin }) {
      const lease = await one.leases.acquire('a', { ttl });
      const lost = once(lease.signal, 'abort');
      assert.deepEqual(await other.leases.revoke('a', { token: lease.token }), [lease.token]);
      await lease.renew().catch(() => {});
      await lost;
      assert.equal(lease.signal.reason.reason, 'revoked');
      await using write = await begin();
      await assert.rejects(lease.guard(write.transaction), StaleTokenError);
      await write.commit().catch(() => {});
      const next = await other.leases.acquire('a', { ttl, wait });
      assert.deepEqual(await other.leases.revoke('a', { token: lease.token }), []);
      await next.release();
    },
  },
  {
    name: 'of leases that were taken together only the one that is revoked is lost',
    async run({ one, other }) {
      const names = ['a', 'b', 'c', 'd'];
      const leases = await Promise.all(names.map((name) => one.leases.acquire(name, { ttl })));
      const [first, , third, last] = leases as [Lease, Lease, Lease, Lease];
      const lost = Promise.all([third, last].map(({ signal }) => once(signal, 'abort')));
      for (const { name, token } of [third, last]) await other.leases.revoke(name, { token });
      await first.renew();
      await lost;
      assert.deepEqual(
        leases.map(({ state }) => state),
        ['held', 'held', 'lost', 'lost'],
      );
      await Promise.all(leases.map((lease) => lease.release()));
    },
  },
  {
    name: 'a lease is handed over once, with a greater token, and to nobody else',
    async run({ one, other, begin }) {
      const lease = await one.leases.acquire('a', { ttl });
      const text = await lease.handOver({ within: 10_000 });
      assert.equal(lease.state, 'released');
      assert.equal(await one.leases.tryAcquire('a', { ttl }), null);
      const resumed = await other.leases.resume(text, { ttl });
      assert.ok(resumed.token > lease.token);
      await assert.rejects(one.leases.resume(text), StaleTokenError);
      await using write = await begin();
      await assert.rejects(lease.guard(write.transaction), StaleTokenError);
      await resumed.release();
    },
  },
  {
    name: 'one leads at a time, the next one after it, and the old term is refused',
    async run({ one, other, begin, kill }) {
      const controller = new AbortController();
      const terms: bigint[] = [];
      const campaign = one.elections.campaign('a', { ttl, signal: controller.signal }, async (term) => {
        terms.push(term.token);
        if (terms.length === 1) {
          await kill(term);
          assert.equal(term.signal.aborted, true);
          const next = await other.leases.acquire('a', { ttl, wait });
          await using write = await begin();
          await assert.rejects(term.guard(write.transaction), StaleTokenError);
          await next.release();
        } else controller.abort();
      });
      await campaign;
      assert.ok(terms.length === 2 && (terms[1] as bigint) > (terms[0] as bigint));
    },
  },
];

/** Releases what a try may have given. */
async function release1(lease: Lease | null): Promise<Lease | null> {
  await lease?.release();
  return lease;
}
