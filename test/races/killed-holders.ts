/**
 * Processes that take a session lock and a lease, and are killed at a random moment: while they ask, or while they hold.
 * Whoever comes next must get the session lock within a second, the lease after its ttl, and a greater token; and what
 * was written under each is checked as a history.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost, FencepostError, type Lease } from '../../src/index.ts';
import { type Acquisition, checkHistory, refutationText } from '../lab/history.ts';
import { argumentOfChild, startChild, tellParent } from '../support/child.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';

export interface KilledHolders {
  /** Processes to kill. */
  rounds: number;
  /** How many at a time, each with a key of its own. */
  lanes: number;
  /** Milliseconds. */
  ttl: number;
}

interface Order {
  readonly url: string;
  readonly key: string;
  readonly ttl: number;
}

/** Milliseconds from the release of a session lock by the server to the next holder, at most. */
const promised = 1_000;
/** For whatever else the machine does meanwhile. */
const grace = 10_000;

export async function raceWithKills(
  url: string,
  { rounds, lanes, ttl }: KilledHolders,
  at: (done: number) => void = () => {},
): Promise<Findings> {
  const random = new Random();
  const violations: string[] = [];
  const counts = { killed: 0, 'while it asked': 0, 'while it held': 0 };
  const slowest = { lock: 0, lease: 0 };
  const acquisitions: Acquisition[] = [];
  const now = (): number => performance.now();
  await using fencepost = new Fencepost({ connection: url });

  /** Takes both, as somebody who comes after the one that was killed. */
  const follow = async (key: string, killed: number): Promise<void> => {
    const asked = now();
    await Promise.all([
      fencepost.advisory.acquire(key, { wait: promised + grace }).then(async (lock) => {
        slowest.lock = Math.max(slowest.lock, now() - killed);
        await lock.release();
      }),
      patiently(() => fencepost.leases.acquire(key, { ttl, renew: false, wait: ttl + grace })).then(
        async (lease) => {
          const told = now();
          slowest.lease = Math.max(slowest.lease, told - killed);
          await lease.release();
          acquisitions.push({ key, slot: 0, token: lease.token, client: 'next', asked, told, ended: told });
        },
      ),
    ]);
  };

  const live = async (lane: number): Promise<void> => {
    const key = `key ${lane}`;
    while (counts.killed < rounds && violations.length === 0) {
      counts.killed += 1;
      at(counts.killed);
      await using child = startChild(new URL(import.meta.url), { url, key, ttl } satisfies Order);
      await child.next();
      const asked = now();
      // Half of them while it asks, which takes a few milliseconds; the others while it holds.
      const holds = random.below(2) === 0;
      if (holds) {
        const { token } = await child.next<{ token: string }>();
        acquisitions.push({
          key,
          slot: 0,
          token: BigInt(token),
          client: 'killed',
          asked,
          told: now(),
          ended: undefined,
        });
        await delay(random.next() * 20);
      } else await delay(random.next() * 30);
      counts[holds ? 'while it held' : 'while it asked'] += 1;
      child.signal('SIGKILL');
      await child.ended;
      await follow(key, now()).catch((error: unknown) => violations.push(`${key}: ${error}`));
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, lane) => live(lane)));
  violations.push(...checkHistory({ acquisitions, writes: [], completions: [] }).map(refutationText));
  const figures = {
    ...counts,
    'ms to the session lock, at most': slowest.lock.toFixed(0),
    'ms to the lease, at most': slowest.lease.toFixed(0),
    ttl,
    seed: random.seed,
  };
  return { figures, violations };
}

/** On a busy machine an answer can come later than a short ttl allows. */
function patiently(acquire: () => Promise<Lease>): Promise<Lease> {
  return acquire().catch((error: unknown) => {
    if (error instanceof FencepostError && error.retriable) return patiently(acquire);
    throw error;
  });
}

/** The process that is killed. */
async function hold({ url, key, ttl }: Order): Promise<void> {
  const fencepost = new Fencepost({ connection: url });
  tellParent({});
  const [lease] = await Promise.all([
    patiently(() => fencepost.leases.acquire(key, { ttl })),
    fencepost.advisory.acquire(key),
  ]);
  tellParent({ token: String(lease.token) });
  await delay(600_000);
}

if (process.send !== undefined && process.argv[1] === import.meta.filename)
  await hold(argumentOfChild<Order>());
else await script(import.meta, { rounds: 3_000, lanes: 4, ttl: 300 }, raceWithKills);
