import { expect, test } from 'vitest';
import { exploreLeases, type Protocol } from './model.ts';

const small = { horizon: 2, ttl: 2, grants: 2 } satisfies Partial<Protocol>;
const long = { timeout: 60_000 };

test.each([
  { what: 'without a failover', rules: { ...small, horizon: 3, failover: false } },
  { what: 'with a failover', rules: small },
])('nothing that can happen $what breaks a promise', long, ({ rules }) => {
  const { states, counterexample } = exploreLeases(rules);
  console.log(`${states} states`);
  expect(counterexample).toBeUndefined();
  expect(states).toBeGreaterThan(100_000);
});

test.each([
  { what: 'without the guard', rules: { guard: false, failover: false }, shows: /^two writers: / },
  {
    what: 'with a guard that does not lock',
    rules: { guardLocks: false, failover: false },
    shows: /^two writers: /,
  },
  {
    what: 'with tokens that know no era',
    rules: { eras: false },
    shows: /^token \d+ was handed out after \d+$/,
  },
  {
    what: 'with a release by the key alone',
    rules: { releaseByToken: false, grants: 3, failover: false },
    shows: /^two believe /,
  },
  {
    what: 'with clocks that differ by more than the margin',
    rules: { drift: 2, failover: false },
    shows: /^two believe /,
  },
])('$what a shortest way into trouble is found', long, ({ rules, shows }) => {
  const { counterexample } = exploreLeases({ ...small, horizon: 3, ...rules });
  expect(counterexample?.at(-1)).toMatch(shows);
});
