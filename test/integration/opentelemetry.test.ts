import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { ArgumentError, Fencepost, type Handle, LockTimeoutError, StaleTokenError } from 'fencepost';
import { listen } from 'fencepost/events';
import { type InstrumentOptions, instrument } from 'fencepost/opentelemetry';
import { afterAll, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createJobs, insertJobs, jobsOf } from '../support/jobs.ts';
import { startTelemetry } from '../support/telemetry.ts';
import { until } from '../support/until.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
afterAll(() => context.disable());

const open = () => new Fencepost({ connection: database.url });

test.each(['advisory', 'leases'] as const)(
  'a wait for one of %s is a span of its caller, linked to the hold that it waits for',
  async (primitive) => {
    using telemetry = startTelemetry();
    await using fencepost = open();
    await using other = open();
    const tracer = telemetry.tracerProvider.getTracer('application');
    const inSpan = <Result>(name: string, work: () => Promise<Result>): Promise<Result> =>
      tracer.startActiveSpan(name, async (span) => {
        try {
          return await work();
        } finally {
          span.end();
        }
      });
    const acquire = (from: Fencepost): Promise<Handle> => from[primitive].acquire(['invoice', 7]);
    const held = await inSpan('holder', () => acquire(fencepost));
    const waits = Promise.withResolvers<unknown>();
    using _waits = listen({ wait: { start: waits.resolve } });
    const waiting = inSpan('waiter', async () => (await acquire(other)).release());
    await waits.promise;
    await held.release();
    await waiting;
    const ids = (name: string) => telemetry.spans(name).map((span) => span.spanContext());
    const [holder, waiter] = ['holder', 'waiter'].map((name) => ids(name)[0]);
    // The release of the second may be answered before that of the first is known here.
    const holds = telemetry.spans('fencepost.hold');
    const under = (parent: typeof holder) =>
      holds.find(({ parentSpanContext }) => parentSpanContext?.spanId === parent?.spanId);
    const first = under(holder);
    expect(under(waiter)).toBeDefined();
    expect(first?.attributes).toMatchObject({
      'fencepost.family': 'invoice',
      'fencepost.mode': 'exclusive',
      'fencepost.outcome': 'released',
    });
    const [wait] = telemetry.spans('fencepost.wait');
    expect(wait?.parentSpanContext).toEqual(waiter);
    expect(wait?.attributes).toMatchObject({ 'fencepost.where': 'server', 'fencepost.granted': true });
    expect(wait?.links.map((link) => link.context)).toEqual([first?.spanContext()]);
  },
);

test('contention, waits, timeouts, grants and holds are counted by family, and what is held is a level', async () => {
  using telemetry = startTelemetry();
  await using fencepost = open();
  const { sum } = telemetry;
  const invoice = { 'fencepost.kind': 'lease', 'fencepost.family': 'invoice', 'fencepost.mode': 'exclusive' };
  const lease = await fencepost.leases.acquire({ tenant: 't1', name: ['invoice', 1] });
  await fencepost.leases.acquire({ tenant: 't1', name: ['invoice', 2] });
  expect(await sum('fencepost.lock.held', invoice)).toBe(2);
  await expect(
    fencepost.leases.acquire({ tenant: 't1', name: ['invoice', 1] }, { wait: 1_000 }),
  ).rejects.toThrow(LockTimeoutError);
  expect(await fencepost.leases.tryAcquire({ tenant: 't1', name: ['invoice', 1] })).toBeNull();
  await lease.release();
  expect(await sum('fencepost.lock.held', invoice)).toBe(1);
  expect(await sum('fencepost.lock.grants', invoice)).toBe(2);
  expect(await sum('fencepost.lock.contentions', invoice)).toBe(2);
  expect(await sum('fencepost.lock.timeouts', invoice)).toBe(1);
  expect(await sum('fencepost.lock.wait.duration', { ...invoice, 'fencepost.granted': false })).toBe(1);
  expect(await sum('fencepost.lock.hold.duration', { ...invoice, 'fencepost.outcome': 'released' })).toBe(1);
  expect(await sum('fencepost.batch.size', { 'fencepost.statement': 'lease_acquire' })).toBeGreaterThan(0);
  await fencepost.close();
  expect(await sum('fencepost.lock.held')).toBe(0);
});

test('connections are a level, and heartbeats have a lag and a duration', async () => {
  using telemetry = startTelemetry();
  await using fencepost = open();
  await fencepost.advisory.acquire('a');
  const lease = await fencepost.leases.acquire('b');
  await lease.renew();
  const locks = { 'fencepost.purpose': 'locks' };
  expect(await telemetry.sum('fencepost.connections', locks)).toBe(1);
  expect(await telemetry.sum('fencepost.connections')).toBeGreaterThan(2);
  for (const name of ['fencepost.renew.lag', 'fencepost.renew.duration'])
    expect(await telemetry.sum(name, { 'fencepost.of': 'holder' }), name).toBeGreaterThan(0);
  await fencepost.close();
  expect(await telemetry.sum('fencepost.connections')).toBe(0);
});

test('a loss is counted by its reason, and fails the span of its hold', async () => {
  using telemetry = startTelemetry();
  await using fencepost = open();
  const lock = await fencepost.advisory.acquire(12n);
  await database.query(
    `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'
     and database = (select oid from pg_database where datname = current_database())`,
  );
  await until('it is lost', () => lock.signal.aborted);
  const reason = { 'fencepost.family': '#', 'fencepost.reason': 'connection' };
  expect(await telemetry.sum('fencepost.lock.losses', reason)).toBe(1);
  expect(await telemetry.sum('fencepost.lock.held')).toBe(0);
  const [hold] = telemetry.spans('fencepost.hold');
  expect(hold?.status.code).toBe(SpanStatusCode.ERROR);
  expect(hold?.attributes).toMatchObject({ 'fencepost.reason': 'connection', 'error.type': 'LOCK_LOST' });
});

test('a guard that is refused is counted, and its span fails', async () => {
  using telemetry = startTelemetry();
  await using fencepost = open();
  const lease = await fencepost.leases.acquire('ledger');
  await lease.release();
  const client = await database.pool.connect();
  await client.query('begin');
  await expect(lease.guard(client)).rejects.toThrow(StaleTokenError);
  await client.query('rollback');
  client.release();
  const refused = { 'fencepost.family': 'ledger', 'fencepost.outcome': 'stale' };
  expect(await telemetry.sum('fencepost.guard.checks', refused)).toBe(1);
  expect(telemetry.spans('fencepost.guard').map(({ attributes }) => attributes['error.type'])).toEqual([
    'STALE_TOKEN',
  ]);
});

test('claims in flight are a level, and what becomes of them is counted; work is under the span of its settlement', async () => {
  using telemetry = startTelemetry();
  await using fencepost = open();
  await createJobs(database);
  const jobs = jobsOf(fencepost, database.pool);
  await jobs.ensure();
  await insertJobs(database, 3);
  const family = { 'fencepost.family': 'public.job' };
  const [first, second, third] = await jobs.claim({ limit: 5 });
  expect(await telemetry.sum('fencepost.claim.in_flight', family)).toBe(3);
  await first?.complete();
  await second?.fail('no use');
  await database.query('update public.job set fencepost_token = fencepost_token + 1 where id = 3');
  await expect(third?.complete()).rejects.toThrow(StaleTokenError);
  expect(await telemetry.sum('fencepost.claim.in_flight', family)).toBe(1);
  await third?.release();
  expect(await telemetry.sum('fencepost.claim.in_flight', family)).toBe(0);
  for (const [outcome, count] of Object.entries({ completed: 1, failed: 1, stale: 1, released: 1 })) {
    const settled = { ...family, 'fencepost.outcome': outcome };
    expect(await telemetry.sum('fencepost.claim.settlements', settled), outcome).toBe(count);
  }
  expect(await telemetry.sum('fencepost.claim.size', family)).toBe(1);
  expect(telemetry.spans('fencepost.claim')[0]?.attributes).toMatchObject({ 'fencepost.claimed': 3 });
  expect(telemetry.spans('fencepost.settle')).toHaveLength(4);
});

test('no metric and no span has a key; families are limited, and can be chosen', async () => {
  const family: InstrumentOptions['family'] = ({ family }) => (family === 'b' ? 'a' : family);
  using telemetry = startTelemetry({ family, maxFamilies: 2 });
  await using fencepost = open();
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    const lease = await fencepost.leases.acquire({ tenant: 'secret-tenant', name: [name, 'secret-id'] });
    await lease.release();
  }
  const found = await telemetry.metrics();
  const families = found.get('fencepost.lock.grants')?.map((point) => point.attributes['fencepost.family']);
  expect(families).toEqual(['a', 'c', '_other']);
  const spans = telemetry.spans().map(({ name, attributes, events }) => ({ name, attributes, events }));
  expect(JSON.stringify([[...found], spans])).not.toContain('secret');
});

test('spans have keys where that is asked for', async () => {
  using telemetry = startTelemetry({ keys: true, meterProvider: false });
  await using fencepost = open();
  await (await fencepost.advisory.acquire(['order', 1])).release();
  expect(telemetry.spans('fencepost.hold')[0]?.attributes).toMatchObject({
    'fencepost.key': '["order","1"]',
  });
  expect(await telemetry.metrics()).toEqual(new Map());
});

test('disposing ends what is open, and nothing is recorded from then on', async () => {
  const telemetry = startTelemetry();
  await using fencepost = open();
  const lock = await fencepost.advisory.acquire('a');
  telemetry[Symbol.dispose]();
  expect(await telemetry.sum('fencepost.lock.held')).toBe(0);
  expect(await telemetry.sum('fencepost.connections')).toBe(0);
  expect(telemetry.spans('fencepost.hold')).toHaveLength(1);
  await lock.release();
  await (await fencepost.advisory.acquire('b')).release();
  expect(await telemetry.sum('fencepost.lock.grants')).toBe(1);
  expect(telemetry.spans()).toHaveLength(1);
});

test('what was held before is not counted out', async () => {
  await using fencepost = open();
  const lock = await fencepost.advisory.acquire('a');
  using telemetry = startTelemetry();
  await lock.release();
  await fencepost.close();
  expect(await telemetry.sum('fencepost.lock.held')).toBe(0);
  expect(await telemetry.sum('fencepost.connections')).toBe(0);
});

test.each([
  [{ tracerProvider: {} }, 'options.tracerProvider: expected a provider with getTracer(), or false, got {}'],
  [{ family: 'a' }, "options.family: expected a function, got 'a'"],
  [{ maxFamilies: 0 }, 'options.maxFamilies'],
  [{ traceProvider: false }, "did you mean 'tracerProvider'?"],
])('%j is refused', (options, message) => {
  const call = () => instrument(options as InstrumentOptions);
  expect(call).toThrow(ArgumentError);
  expect(call).toThrow(message);
});

test('without an SDK it does nothing', async () => {
  using _instrumentation = instrument();
  await using fencepost = open();
  await (await fencepost.advisory.acquire('a')).release();
  expect(trace.getActiveSpan()).toBeUndefined();
});
