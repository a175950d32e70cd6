import type { Transaction } from 'kysely';
import type pg from 'pg';
import { expectTypeOf, it } from 'vitest';
import type { Fencepost, Leader, LeaseState, Term } from '../../src/index.ts';

declare const fencepost: Fencepost;
declare const term: Term;
declare const leader: Leader;
declare const client: pg.Client;
declare const transaction: Transaction<{ account: { id: number } }>;

const run = async (): Promise<void> => {};

it('says what each call answers, and what a term has', () => {
  expectTypeOf(fencepost.elections.campaign('a', {}, run)).resolves.toEqualTypeOf<void>();
  fencepost.elections.campaign('a', {}, async (given) => {
    expectTypeOf(given).toEqualTypeOf<Term>();
  });
  expectTypeOf(fencepost.elections.observe('a')).toEqualTypeOf<AsyncIterable<Leader | null>>();
  expectTypeOf(term.token).toEqualTypeOf<bigint>();
  expectTypeOf(term.key).toEqualTypeOf<string>();
  expectTypeOf(term.state).toEqualTypeOf<LeaseState>();
  expectTypeOf(term.signal).toEqualTypeOf<AbortSignal>();
  expectTypeOf(leader).toEqualTypeOf<{
    readonly application: string;
    readonly token: bigint;
    readonly since: Date;
  }>();
});

it('takes every key of a lease, every option alone or undefined, and every transaction', () => {
  const { signal } = new AbortController();
  fencepost.elections.campaign(['scheduler', 7], { ttl: '15s' }, run);
  fencepost.elections.campaign({ tenant: 't1', name: 'scheduler' }, { signal }, run);
  fencepost.elections.campaign(7n, { ttl: undefined, signal: undefined }, run);
  fencepost.elections.observe({ tenant: 't1', name: ['scheduler', 7] }, { poll: '5s', signal });
  fencepost.elections.observe('a', { poll: undefined, signal: undefined });
  term.guard(client);
  term.guard(transaction);
});

it('refuses what makes no sense', () => {
  // @ts-expect-error no options
  fencepost.elections.campaign('a', run);
  // @ts-expect-error no function
  fencepost.elections.campaign('a', {});
  // @ts-expect-error a function that is not async: what it began would outlive the term
  fencepost.elections.campaign('a', {}, () => {});
  // @ts-expect-error a campaign waits for ever
  fencepost.elections.campaign('a', { wait: '1s' }, run);
  // @ts-expect-error a term lives on the heartbeat
  fencepost.elections.campaign('a', { renew: false }, run);
  // @ts-expect-error a duration without a unit
  fencepost.elections.observe('a', { poll: '1' });
  (async () => {
    for await (const observed of fencepost.elections.observe('a')) {
      // @ts-expect-error nobody may be leading
      observed.token;
    }
  })();
  // @ts-expect-error read only
  term.token = 8n;
  // @ts-expect-error a term ends with run, or with the campaign
  term.release();
});
