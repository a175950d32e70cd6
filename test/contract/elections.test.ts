import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import {
  ArgumentError,
  Fencepost,
  type Leader,
  LockLostError,
  SchemaError,
  StaleTokenError,
  StateError,
  type Term,
} from 'fencepost';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { heldOnServer } from '../support/grants.ts';
import { startProxy } from '../support/proxy.ts';
import { openPg } from '../support/transactions.ts';
import { until } from '../support/until.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

beforeEach(async () => {
  expect(await heldOnServer(database)).toEqual([]);
});

const open = () => new Fencepost({ connection: database.url });

const ended = async (signal: AbortSignal): Promise<void> => {
  if (!signal.aborted) await once(signal, 'abort');
};

/** A campaign that leads until it is called off, and what it did so far. */
function stand(fencepost: Fencepost, name: string, ttl = 10_000) {
  const controller = new AbortController();
  const terms: Term[] = [];
  const outcome = fencepost.elections.campaign(name, { ttl, signal: controller.signal }, async (term) => {
    terms.push(term);
    await ended(term.signal);
  });
  outcome.catch(() => {});
  const leading = (): Promise<Term> =>
    until('it leads', () => terms.at(-1)?.signal.aborted === false && terms.at(-1));
  return { terms, outcome, leading, off: (reason?: unknown) => controller.abort(reason) };
}

/** What the guard says in a transaction of its own. */
async function guarded(term: Term): Promise<unknown> {
  const transaction = await openPg(database.pool, 'read committed');
  try {
    await term.guard(transaction.trx);
    return await transaction.commit();
  } catch (error) {
    await transaction.rollback();
    return error;
  }
}

describe('a campaign', () => {
  test('whose term is revoked lets another one lead', async () => {
    await using one = open();
    await using other = open();
    const [first, second] = [stand(one, 'revoked'), stand(other, 'revoked', 10_001)];
    const term = await until('a leader', () => first.terms[0] ?? second.terms[0]);
    const [leader, next] = first.terms[0] === undefined ? [second, first] : [first, second];
    expect(await other.leases.revoke('revoked', { token: term.token })).toEqual([term.token]);
    expect((await next.leading()).token).toBeGreaterThan(term.token);
    await until('the loss', () => term.signal.aborted);
    expect(leader.terms).toHaveLength(1);
    expect(term.signal.reason).toMatchObject({ reason: 'revoked' });
    first.off();
    second.off();
    await Promise.allSettled([first.outcome, second.outcome]);
  });

  test('leads alone, and the next one leads, with a greater token, when it is called off', async () => {
    await using one = open();
    await using other = open();
    const first = stand(one, 'a');
    const before = await first.leading();
    const second = stand(other, 'a');
    expect([before.key, before.state, typeof before.token]).toEqual(['a', 'held', 'bigint']);
    expect(await heldOnServer(database)).toEqual([`a ${before.token}`]);
    expect(await guarded(before)).toBe('COMMIT');
    before.assertHeld();
    await delay(100);
    expect(second.terms).toEqual([]);
    first.off();
    await first.outcome;
    const after = await second.leading();
    expect(after.token > before.token).toBe(true);
    expect(await guarded(before)).toBeInstanceOf(StaleTokenError);
    expect(await guarded(after)).toBe('COMMIT');
    second.off();
    await second.outcome;
    expect([first.terms.length, second.terms.length]).toEqual([1, 1]);
  });

  test('stands for the lease of the same key, which others can hold as well; tenants have their own', async () => {
    await using one = open();
    const lease = await one.leases.acquire('a');
    const campaign = stand(one, 'a');
    await using _elsewhere = await one.leases.acquire({ tenant: 't', name: 'a' });
    await delay(50);
    expect(campaign.terms).toEqual([]);
    await lease.release();
    const term = await campaign.leading();
    expect(term.token > lease.token).toBe(true);
    expect(await one.leases.tryAcquire('a')).toBeNull();
    campaign.off();
    await campaign.outcome;
  });

  test('resigns as soon as it is called off, before run has ended, and resolves after that', async () => {
    await using one = open();
    await using other = open();
    const controller = new AbortController();
    const reason = new Error('deployment');
    const mayEnd = Promise.withResolvers<void>();
    const leading = Promise.withResolvers<Term>();
    let states: unknown[] = [];
    const outcome = one.elections.campaign('a', { signal: controller.signal }, async (term) => {
      term.signal.addEventListener('abort', () => {
        states = [term.state, term.signal.reason];
      });
      leading.resolve(term);
      await mayEnd.promise;
    });
    const term = await leading.promise;
    const second = stand(other, 'a');
    controller.abort(reason);
    // The work hears of it while nobody else can lead yet.
    expect(states).toEqual(['held', reason]);
    expect(term.state).toBe('released');
    expect(() => term.assertHeld()).toThrow(reason);
    const next = await second.leading();
    expect(next.token > term.token).toBe(true);
    expect(await guarded(term)).toBeInstanceOf(StaleTokenError);
    expect(await Promise.race([outcome, delay(50, 'running')])).toBe('running');
    mayEnd.resolve();
    expect(await outcome).toBeUndefined();
    second.off();
    await second.outcome;
  });

  test('resolves while it waits and before it has begun, and holds nothing', async () => {
    await using one = open();
    await using other = open();
    await using _lease = await one.leases.acquire('a');
    const waiting = stand(other, 'a');
    await delay(30);
    waiting.off();
    const never = stand(other, 'b');
    never.off();
    const signal = AbortSignal.abort();
    const run = () => Promise.reject(new Error('never'));
    await Promise.all([
      waiting.outcome,
      never.outcome,
      new Fencepost({ connection: 'postgres://127.0.0.1:1/none' }).elections.campaign('a', { signal }, run),
    ]);
    expect([waiting.terms, never.terms]).toEqual([[], []]);
    expect(await heldOnServer(database)).toHaveLength(1);
  });

  test('stands again when run has ended, with pauses that grow', async () => {
    await using fencepost = open();
    const controller = new AbortController();
    const { signal } = controller;
    const terms: { token: bigint; at: number }[] = [];
    const campaign = fencepost.elections.campaign('a', { signal }, async ({ token }) => {
      terms.push({ token, at: performance.now() });
      if (terms.length === 5) controller.abort();
    });
    await campaign;
    const tokens = terms.map(({ token }) => token);
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => (a < b ? -1 : 1)));
    const pauses = terms.slice(1).map(({ at }, index) => at - (terms[index]?.at ?? 0));
    // Half of 100, 200, 400 and 800 at least.
    for (const [index, pause] of pauses.entries()) expect(pause).toBeGreaterThan(50 * 2 ** index - 1);
  });

  test('lets others lead between two terms', async () => {
    await using one = open();
    await using other = open();
    const controller = new AbortController();
    const { signal } = controller;
    const led = { one: 0, other: 0 };
    const run = (who: 'one' | 'other') => async () => {
      led[who] += 1;
      if (led.one > 0 && led.other > 0) controller.abort();
    };
    await Promise.all([
      one.elections.campaign('a', { signal }, run('one')),
      other.elections.campaign('a', { signal }, run('other')),
    ]);
    expect(Math.min(led.one, led.other)).toBeGreaterThan(0);
  });

  test.each(['at once', 'later'])('resigns and rejects when run rejects: %s', async (when) => {
    await using fencepost = open();
    const failure = new Error('of the work');
    const campaign = fencepost.elections.campaign('a', {}, async () => {
      if (when === 'later') await delay(20);
      throw failure;
    });
    await expect(campaign).rejects.toBe(failure);
    expect(await heldOnServer(database)).toEqual([]);
  });

  test('rejects with what went wrong in run while it was called off', async () => {
    await using fencepost = open();
    const controller = new AbortController();
    const failure = new Error('of the work');
    const campaign = fencepost.elections.campaign('a', { signal: controller.signal }, async () => {
      controller.abort();
      throw failure;
    });
    await expect(campaign).rejects.toBe(failure);
    expect(await heldOnServer(database)).toEqual([]);
  });

  test.each<[string, (term: Term) => Promise<unknown>]>([
    ['a timer of Node', (term) => delay(60_000, undefined, { signal: term.signal })],
    ['the reason of the signal', async (term) => ended(term.signal).then(() => term.signal.throwIfAborted())],
    ['assertHeld', async (term) => ended(term.signal).then(() => term.assertHeld())],
    [
      'what has it as its cause',
      async (term) => {
        await ended(term.signal);
        throw new Error('could not go on', { cause: term.signal.reason });
      },
    ],
    [
      'the guard',
      async (term) => {
        await ended(term.signal);
        await term.resign();
        throw await guarded(term);
      },
    ],
  ])('takes a rejection of run for the end of its term: %s', async (_, run) => {
    await using fencepost = open();
    const controller = new AbortController();
    const campaign = fencepost.elections.campaign('a', { signal: controller.signal }, async (term) => {
      setImmediate(() => controller.abort(new Error('deployment')));
      await run(term);
    });
    expect(await campaign).toBeUndefined();
  });

  test('that lost its term stands again; the old term is over for good', async () => {
    await using fencepost = open();
    const campaign = stand(fencepost, 'a', 300);
    const before = await campaign.leading();
    await database.query(`update fencepost.holder set expires_at = clock_timestamp() - interval '1 second'`);
    await ended(before.signal);
    expect(before.signal.reason).toBeInstanceOf(LockLostError);
    expect(before.state).toBe('lost');
    expect(() => before.assertHeld()).toThrow(LockLostError);
    const after = await until('the next term', () => campaign.terms[1]);
    expect(after.token > before.token).toBe(true);
    expect(await guarded(before)).toBeInstanceOf(StaleTokenError);
    await before.resign();
    expect(before.state).toBe('lost');
    expect(await heldOnServer(database)).toEqual([`a ${after.token}`]);
    after.assertHeld();
    expect(await guarded(after)).toBe('COMMIT');
    campaign.off();
    await campaign.outcome;
  });

  test('that the guard refused stands again, though nobody told the process of the loss', async () => {
    await using fencepost = open();
    const controller = new AbortController();
    const tokens: bigint[] = [];
    await fencepost.elections.campaign('a', { signal: controller.signal }, async (term) => {
      tokens.push(term.token);
      if (tokens.length === 2) return controller.abort();
      await database.query(`update fencepost.lease set holder_id = null, nonce = null`);
      const refusal = await guarded(term);
      expect(term.signal.aborted).toBe(false);
      throw refusal;
    });
    expect(tokens).toHaveLength(2);
  });

  test('is ended by close: released at once, the signal aborted, and rejected after run has ended', async () => {
    const fencepost = open();
    const leading = stand(fencepost, 'a');
    const waiting = stand(fencepost, 'a');
    const [term] = await Promise.race([leading.leading(), waiting.leading()].map(async (one) => [await one]));
    await fencepost.close();
    expect(await heldOnServer(database)).toEqual([]);
    expect(term?.signal.reason).toBeInstanceOf(StateError);
    await expect(leading.outcome).rejects.toThrow(StateError);
    await expect(waiting.outcome).rejects.toThrow(StateError);
    const late = fencepost.elections.campaign('a', {}, async () => {});
    await expect(late).rejects.toThrow(StateError);
    expect(() => fencepost.elections.observe('a')).toThrow(StateError);
  });

  test('may close its Fencepost from inside of run', async () => {
    const fencepost = open();
    const campaign = fencepost.elections.campaign('a', {}, () => fencepost.close());
    await expect(campaign).rejects.toThrow(StateError);
  });

  test('refuses wrong arguments, and a database that was not migrated', async () => {
    await using fencepost = open();
    const run = async () => {};
    const campaign = (name: unknown, options: object) =>
      fencepost.elections.campaign(name as string, options, run);
    await expect(campaign(7, {})).rejects.toThrow(ArgumentError);
    await expect(campaign('a', { ttl: '49ms' })).rejects.toThrow('options.ttl: expected');
    await expect(campaign('a', { wait: '1s' })).rejects.toThrow("unknown option 'wait'");
    expect(() => fencepost.elections.observe('a', { poll: 1 })).toThrow('options.poll: expected');
    await using empty = await createDatabase({ template: false });
    await using lost = new Fencepost({ connection: empty.url });
    await expect(lost.elections.campaign('a', {}, run)).rejects.toThrow(SchemaError);
    await expect(next(lost.elections.observe('a')[Symbol.asyncIterator]())).rejects.toThrow(SchemaError);
  });
});

async function next(observer: AsyncIterator<Leader | null>): Promise<Leader | null | 'ended'> {
  const { done, value } = await observer.next();
  return done === true ? 'ended' : value;
}

describe('an observer', () => {
  test('sees the present leader, then each change, and nobody in between', async () => {
    await using one = open();
    await using other = open();
    const observer = one.elections.observe('a', { poll: '20ms' })[Symbol.asyncIterator]();
    expect(await next(observer)).toBeNull();
    const first = stand(one, 'a');
    const a = await first.leading();
    const [{ now, application }] = (await database.query(
      `select clock_timestamp() as now, (select application from fencepost.holders) as application`,
    )) as [{ now: Date; application: string }];
    const seen = await next(observer);
    expect(seen).toMatchObject({ token: a.token, application });
    expect(Number(now) - Number((seen as Leader).since)).toBeLessThan(5_000);
    expect((seen as Leader).since).toBeInstanceOf(Date);
    first.off();
    await first.outcome;
    expect(await next(observer)).toBeNull();
    const second = stand(other, 'a');
    const b = await second.leading();
    expect(await next(observer)).toMatchObject({ token: b.token });
    const late = other.elections.observe('a')[Symbol.asyncIterator]();
    expect(await next(late)).toMatchObject({ token: b.token });
    second.off();
    await second.outcome;
    expect(await next(observer)).toBeNull();
    await observer.return?.();
    await late.return?.();
  });

  test('sees a handover that fits between two looks as one change', async () => {
    await using fencepost = open();
    const lease = await fencepost.leases.acquire('a');
    const observer = fencepost.elections.observe('a', { poll: '500ms' })[Symbol.asyncIterator]();
    expect(await next(observer)).toMatchObject({ token: lease.token });
    const change = next(observer);
    await lease.release();
    await using after = await fencepost.leases.acquire('a');
    expect(await change).toMatchObject({ token: after.token });
    await observer.return?.();
  });

  test('looks sooner at first while nobody leads', async () => {
    await using fencepost = open();
    const observer = fencepost.elections.observe('a', { poll: '8s' })[Symbol.asyncIterator]();
    expect(await next(observer)).toBeNull();
    const change = next(observer);
    await using lease = await fencepost.leases.acquire('a');
    const started = performance.now();
    expect(await change).toMatchObject({ token: lease.token });
    expect(performance.now() - started).toBeLessThan(2_000);
    await observer.return?.();
  });

  test('sends one statement a look, and none in between', async () => {
    await using proxy = await startProxy(database.url);
    await using fencepost = new Fencepost({ connection: proxy.url });
    await using lease = await fencepost.leases.acquire('a');
    let looks = 0;
    proxy.tap = ({ direction, about }) => {
      if (direction === 'request' && about('leaders')) looks += 1;
      return 'pass';
    };
    const { signal } = new AbortController();
    const observer = fencepost.elections.observe('a', { poll: '50ms', signal })[Symbol.asyncIterator]();
    expect(await next(observer)).toMatchObject({ token: lease.token });
    const change = next(observer);
    const [before, started] = [looks, performance.now()];
    await delay(1_000);
    // Nine tenths of 50 ms at least.
    expect(looks - before).toBeLessThanOrEqual((performance.now() - started) / 45 + 1);
    expect(looks - before).toBeGreaterThan(5);
    await lease.release();
    expect(await change).toBeNull();
    await observer.return?.();
  });

  test('says that nobody leads only when the server says so: not before the expiry', async () => {
    await using one = open();
    await using other = open();
    const lease = await one.leases.acquire('a', { ttl: '300ms', renew: false });
    const [{ left }] = (await database.query(
      `select extract(epoch from expires_at - clock_timestamp())::float8 * 1000 as left from fencepost.leases where held`,
    )) as [{ left: number }];
    const started = performance.now();
    const seen: (bigint | undefined)[] = [];
    for await (const leader of other.elections.observe('a', { poll: '10ms' })) {
      seen.push(leader?.token);
      if (leader === null) break;
    }
    expect(performance.now() - started).toBeGreaterThan(left - 20);
    expect(seen).toEqual([lease.token, undefined]);
  });

  test.each(['signal', 'close', 'signal before'])('ends without an error: %s', async (how) => {
    const fencepost = open();
    const controller = new AbortController();
    if (how === 'signal before') controller.abort();
    const seen: unknown[] = [];
    const observing = (async () => {
      for await (const leader of fencepost.elections.observe('a', { signal: controller.signal }))
        seen.push(leader);
    })();
    if (how !== 'signal before') await until('the first answer', () => seen.length > 0);
    const started = performance.now();
    if (how === 'close') await fencepost.close();
    else controller.abort();
    await observing;
    expect(performance.now() - started).toBeLessThan(500);
    expect(seen).toEqual(how === 'signal before' ? [] : [null]);
    await fencepost.close();
  });

  test('shares its statements and its connection with the others of the process', async () => {
    await using fencepost = open();
    const controller = new AbortController();
    let answers = 0;
    const names = Array.from({ length: 200 }, (_, index) => `election ${index}`);
    await using _lease = await fencepost.leases.acquire('election 7');
    const leaders: string[] = [];
    const observing = names.map(async (name) => {
      for await (const leader of fencepost.elections.observe(name, { signal: controller.signal })) {
        answers += 1;
        if (leader !== null) leaders.push(name);
      }
    });
    await until('all answers', () => answers === names.length);
    const [row] = await database.query<{ sessions: number }>(
      `select count(*)::int as sessions from pg_stat_activity
       where datname = current_database() and application_name = 'fencepost'`,
    );
    expect(row?.sessions).toBeLessThanOrEqual(3);
    expect(leaders).toEqual(['election 7']);
    controller.abort();
    await Promise.all(observing);
  });
});
