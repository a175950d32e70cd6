import assert from 'node:assert/strict';
import type { LockSubject } from './subject.ts';

/** What a wrapper may not have: the rules about it can be left out. */
export type LockFeature = 'tokens' | 'signal' | 'close' | 'loss' | 'freeze';

/** One promise of a lock, and how it is looked at. */
export interface LockRule {
  readonly name: string;
  readonly needs?: LockFeature;
  run(subject: LockSubject): Promise<void>;
}

/** Long enough that only a lock that never comes runs into it. */
const wait = 20_000;

export const lockRules: readonly LockRule[] = [
  {
    name: 'excludes other processes and other callers of its own until it is released',
    async run({ one, other }) {
      const lock = await one.acquire('a');
      assert.equal(lock.state, 'held');
      assert.equal(await other.tryAcquire('a'), null);
      assert.equal(await one.tryAcquire('a'), null);
      await lock.release();
      assert.equal(lock.state, 'released');
      const next = await other.acquire('a', { wait });
      assert.equal(next.state, 'held');
      await next.release();
    },
  },
  {
    name: 'does not exclude another key',
    async run({ one, other }) {
      const lock = await one.acquire('a');
      const beside = await other.tryAcquire('b');
      assert.equal(beside?.state, 'held');
      await beside?.release();
      await lock.release();
    },
  },
  {
    name: 'is granted to one of many that ask at once',
    async run({ one, other }) {
      const asked = Array.from({ length: 20 }, (_, call) => (call % 2 === 0 ? one : other).tryAcquire('a'));
      const locks = (await Promise.all(asked)).filter((lock) => lock !== null);
      assert.equal(locks.length, 1);
      await locks[0]?.release();
    },
  },
  {
    name: 'is granted to every caller in turn, to one at a time',
    async run({ one, other }) {
      let inside = 0;
      let served = 0;
      const visit = async (from: LockSubject['one']): Promise<void> => {
        const lock = await from.acquire('a', { wait });
        inside += 1;
        assert.equal(inside, 1);
        // Time for somebody else to get in, if anybody can.
        assert.equal(await other.tryAcquire('a'), null);
        served += 1;
        inside -= 1;
        await lock.release();
      };
      await Promise.all([one, other, one, other, one, other].map(visit));
      assert.equal(served, 6);
    },
  },
  {
    name: 'has a token that is greater than all before',
    needs: 'tokens',
    async run({ one, other }) {
      let last = 0n;
      for (const from of [one, other, one, one, other]) {
        const lock = await from.acquire('a', { wait });
        const { token } = lock;
        assert.ok(typeof token === 'bigint' && token > last, `${token} came after ${last}`);
        last = token;
        await lock.release();
      }
    },
  },
  {
    name: 'is released once, however often that is called, and never the one of the next holder',
    async run({ one, other }) {
      const lock = await one.acquire('a');
      await Promise.all([lock.release(), lock.release(), lock[Symbol.asyncDispose]()]);
      const next = await other.acquire('a', { wait });
      await lock.release();
      assert.equal(next.state, 'held');
      assert.equal(await one.tryAcquire('a'), null);
      await next.release();
    },
  },
  {
    name: 'is free at the end of an `await using` block, whatever happened in it',
    async run({ one, other }) {
      const failure = new Error('of the work');
      const work = async (): Promise<void> => {
        await using _lock = await one.acquire('a');
        throw failure;
      };
      await assert.rejects(work(), failure);
      await (await other.acquire('a', { wait })).release();
    },
  },
  {
    name: 'times out with an error that says so, and holds nothing then',
    async run({ one, other }) {
      const lock = await one.acquire('a');
      for (const from of [one, other]) {
        await assert.rejects(from.acquire('a', { wait: 50 }), { code: 'LOCK_TIMEOUT', retriable: true });
        assert.equal(await from.tryAcquire('a', { wait: 50 }), null);
      }
      await lock.release();
      await (await one.acquire('a', { wait })).release();
    },
  },
  {
    name: 'is granted within the wait when it is released meanwhile',
    async run({ one, other }) {
      const lock = await one.acquire('a');
      const waiting = other.tryAcquire('a', { wait });
      assert.equal(await other.tryAcquire('a'), null);
      await lock.release();
      const next = await waiting;
      assert.equal(next?.state, 'held');
      await next?.release();
    },
  },
  {
    name: 'ends a wait with the reason of its signal, and holds nothing then',
    needs: 'signal',
    async run({ one, other }) {
      const lock = await one.acquire('a');
      const reason = new Error('enough');
      await assert.rejects(other.acquire('a', { signal: AbortSignal.abort(reason) }), reason);
      const controller = new AbortController();
      const calls = [one, other].map((from) => from.acquire('a', { signal: controller.signal }));
      const outcomes = Promise.allSettled(calls);
      assert.equal(await other.tryAcquire('a'), null);
      controller.abort(reason);
      for (const outcome of await outcomes) assert.deepEqual(outcome, { status: 'rejected', reason });
      await lock.release();
      await (await one.acquire('a', { wait })).release();
    },
  },
  {
    name: 'is held by nobody when the signal aborts in the moment of the grant, whenever that is',
    needs: 'signal',
    async run({ one, other }) {
      const reason = new Error('enough');
      for (let round = 0; round < 40; round += 1) {
        const controller = new AbortController();
        const outcome = one.acquire('a', { signal: controller.signal }).catch((error: unknown) => error);
        // From before it is sent until after its answer.
        for (let turn = 0; turn < round; turn += 1) await Promise.resolve();
        controller.abort(reason);
        const lock = await outcome;
        if (lock !== reason) await (lock as Awaited<ReturnType<typeof one.acquire>>).release();
      }
      await (await other.acquire('a', { wait })).release();
    },
  },
  {
    name: 'is free when its process closes, and the calls that wait there end with an error',
    needs: 'close',
    async run({ one, other, closeOne }) {
      const lock = await one.acquire('a');
      const second = await other.acquire('b');
      const waiting = one.acquire('b').catch((error: unknown) => error);
      assert.equal(await one.tryAcquire('b'), null);
      await closeOne?.();
      assert.equal(lock.state, 'released');
      assert.ok((await waiting) instanceof Error);
      await assert.rejects(one.acquire('c'));
      await (await other.acquire('a', { wait })).release();
      await lock.release();
      await second.release();
    },
  },
  {
    name: 'is lost when what holds it is gone, says so, and is free for others',
    needs: 'loss',
    async run({ one, other, kill }) {
      const lock = await one.acquire('a');
      const { signal } = lock;
      await kill(lock);
      assert.deepEqual([lock.state, signal.aborted], ['lost', true]);
      assert.deepEqual([signal.reason.code, signal.reason.retriable], ['LOCK_LOST', true]);
      assert.throws(() => lock.assertHeld(), { code: 'LOCK_LOST' });
      const next = await other.acquire('a', { wait });
      await lock.release();
      assert.equal(next.state, 'held');
      assert.equal(await one.tryAcquire('a'), null);
      await next.release();
      await (await one.acquire('a', { wait })).release();
    },
  },
  {
    name: 'of a frozen process goes to others, and is lost when that goes on',
    needs: 'freeze',
    async run({ one, other, freezeOne }) {
      const lock = await one.acquire('a');
      using frozen = freezeOne();
      const next = await other.acquire('a', { wait });
      frozen.thaw();
      assert.equal(lock.state, 'lost');
      assert.equal(lock.signal.aborted, true);
      assert.equal(next.state, 'held');
      await lock.release();
      assert.equal(await one.tryAcquire('a'), null);
      await next.release();
    },
  },
];
