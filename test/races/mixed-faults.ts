/**
 * Processes on a few contended keys while everything goes wrong in turn: processes are stopped past the ttl and killed,
 * sessions ended, connections cut and frozen, the server crashed. Each grant has one guarded write. The history of what
 * the clients were told and what the database accepted is then checked as a whole. With `--guard=0` the same run shows
 * what the guard is for.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { checkHistory, refutationText, type Write } from '../lab/history.ts';
import { type Child, startChild } from '../support/child.ts';
import { grantsIn } from '../support/grant-file.ts';
import { type OwnServer, startOwnServer } from '../support/postmaster.ts';
import { type FaultyNetwork, startProxy } from '../support/proxy.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';
import { stepClock } from '../support/server-clock.ts';
import { until } from '../support/until.ts';
import type { WorkerArgument } from './mixed-faults-worker.ts';

export interface MixedFaults {
  /** Accepted writes to wait for. */
  rounds: number;
  /** Ends after so many seconds, whatever was written. */
  seconds: number;
  processes: number;
  callers: number;
  keys: number;
  /** Milliseconds. */
  ttl: number;
  /** Milliseconds from one fault to the next. */
  every: number;
  /** 0: writes without the guard. */
  guard: number;
  /** 1: the server's clock is set by an hour as well, forth and back. */
  steps: number;
}

type Written = Record<'key' | 'slot' | 'token', string>;

const workerModule = new URL('./mixed-faults-worker.ts', import.meta.url);

export async function raceWithFaults(
  options: MixedFaults,
  at: (done: number) => void = () => {},
): Promise<Findings> {
  const { rounds, seconds, processes, callers, keys, ttl, every } = options;
  const random = new Random();
  const ended: string[] = [];
  await using server = await startOwnServer({ fsync: false });
  const clock = options.steps === 0 ? undefined : await stepClock(server);
  await server.query(
    `create table written (seq bigint generated always as identity, key text, slot integer, token bigint)`,
  );
  const folder = await mkdtemp(join(tmpdir(), 'fencepost-lab-'));
  await using proxy = await startProxy(server.url);
  const start = (worker: number): Child => {
    // One of them has a network that a fault can take away.
    const url = worker === 0 ? proxy.url : server.url;
    const guard = options.guard !== 0;
    const file = join(folder, `worker-${worker}`);
    const child = startChild(workerModule, {
      url,
      worker,
      callers,
      keys,
      ttl,
      guard,
      file,
    } satisfies WorkerArgument);
    void child.ended.then(({ code }) => {
      if (code !== 0 && code !== null) ended.push(`a process ended by itself, with ${code}`);
    });
    return child;
  };
  const children = Array.from({ length: processes }, (_, worker) => start(worker));
  const counts = { grants: 0, writes: 0, refusals: 0, stale: 0, failures: 0 };
  const faults = {
    stopped: 0,
    killed: 0,
    'sessions ended': 0,
    crashes: 0,
    cut: 0,
    'cut silently': 0,
    'clock set': 0,
  };
  const started = performance.now();

  const written = async (known: number): Promise<number> => {
    const rows = await server
      .query<{ seq: string }>('select coalesce(max(seq), 0) as seq from written')
      .catch(() => []);
    return Number(rows[0]?.seq ?? known);
  };
  const commit: Record<keyof typeof faults, () => Promise<void>> = {
    async stopped() {
      const child = random.pick(children);
      child.signal('SIGSTOP');
      await delay(ttl * (1 + random.next()));
      child.signal('SIGCONT');
    },
    async killed() {
      const worker = random.below(processes);
      await children[worker]?.[Symbol.asyncDispose]();
      children[worker] = start(worker);
    },
    'sessions ended': () => endSessions(server),
    crashes: () => server.crash(),
    async cut() {
      proxy.cut();
    },
    'clock set': async () => clock?.(random.pick([-3_600, 0, 3_600])),
    'cut silently': () => silence(proxy, ttl * (1 + random.next())),
  };

  try {
    for (
      let done = 0;
      done < rounds && ended.length === 0 && performance.now() - started < seconds * 1_000;
      done = await written(done)
    ) {
      at(done);
      await delay(every);
      const others = (Object.keys(commit) as (keyof typeof faults)[]).filter((name) => name !== 'clock set');
      const sets = clock !== undefined && (faults['clock set'] === 0 || random.below(3) === 0);
      const fault = sets ? 'clock set' : random.pick(others);
      faults[fault] += 1;
      await commit[fault]();
    }
    if (ended.length === 0) await stop(children, counts);
  } finally {
    await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
  }
  const took = (performance.now() - started) / 1_000;
  // The last fault may have been a crash.
  const read = (): Promise<Written[] | undefined> =>
    server.query<Written>('select key, slot, token from written order by seq').catch(() => undefined);
  const writes = (await until('the server answers', read)).map(
    ({ key, slot, token }): Write => ({ key, slot: Number(slot), token: BigInt(token) }),
  );
  const acquisitions = (
    await Promise.all(children.map((_, worker) => grantsIn(join(folder, `worker-${worker}`))))
  ).flat();
  await rm(folder, { recursive: true, force: true });
  const checking = performance.now();
  const refutations = checkHistory({ acquisitions, writes, completions: [] }, () => 1);
  return {
    figures: {
      'accepted writes': writes.length,
      'acquisitions checked': acquisitions.length,
      'stale writes refused': counts.stale,
      failures: counts.failures,
      ...faults,
      'a second': Math.round(writes.length / took),
      'seconds to check': ((performance.now() - checking) / 1_000).toFixed(1),
      seed: random.seed,
    },
    violations: [...ended, ...refutations.map(refutationText)],
  };
}

/** Asks each to end, and waits for what it counted. */
async function stop(children: readonly Child[], counts: Record<string, number>): Promise<void> {
  for (const child of children) child.send({});
  for (const child of children) {
    const report = await child.next<Record<string, number>>();
    for (const [name, count] of Object.entries(report)) counts[name] = (counts[name] ?? 0) + count;
  }
}

/** A server that is on its way back from a crash has none. */
async function endSessions(server: OwnServer): Promise<void> {
  const ending = server.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where backend_type = 'client backend' and pid <> pg_backend_pid() and random() < 0.3`,
  );
  await ending.catch(() => {});
}

async function silence(proxy: FaultyNetwork, milliseconds: number): Promise<void> {
  proxy.freeze();
  await delay(milliseconds);
  proxy.thaw();
}

await script(
  import.meta,
  {
    rounds: 1_000_000,
    seconds: 7_200,
    processes: 3,
    callers: 24,
    keys: 32,
    ttl: 1_000,
    every: 2_000,
    guard: 1,
    steps: 0,
  },
  (_, numbers, at) => raceWithFaults(numbers, at),
);
