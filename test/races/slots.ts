/**
 * Processes that share slots, and are killed at random: of a plain limit, and of a limit for each tenant together with one
 * for all. What the clients believed at the same time, by one clock, must have been within the limits.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type Acquisition, checkHistory, refutationText } from '../lab/history.ts';
import { type Child, startChild } from '../support/child.ts';
import { grantsIn } from '../support/grant-file.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';
import type { WorkerArgument } from './slots-worker.ts';

export interface Slots {
  /** Tokens to be drawn: one for a grant, and one more where there is a limit for all. */
  rounds: number;
  processes: number;
  callers: number;
  keys: number;
  tenants: number;
  /** How many times the limits below there may be: more grants come of one statement then. */
  times: number;
  /** Milliseconds. */
  ttl: number;
  /** Milliseconds from one kill to the next. */
  every: number;
  /** Ends after so many seconds, whatever was granted. */
  seconds: number;
}

/** How many may hold one key, one tenant's part, and all tenants' parts together. */
export interface Limits {
  readonly slots: number;
  readonly tenant: number;
  readonly total: number;
}

export const limits = (times: number): Limits => ({ slots: 5 * times, tenant: 3 * times, total: 7 * times });
const workerModule = new URL('./slots-worker.ts', import.meta.url);

export async function raceForSlots(
  url: string,
  options: Slots,
  checked: Limits = limits(options.times),
  at: (done: number) => void = () => {},
): Promise<Findings> {
  const { rounds, processes, callers, keys, tenants, times, ttl, every, seconds } = options;
  const random = new Random();
  const folder = await mkdtemp(join(tmpdir(), 'fencepost-slots-'));
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  pool.on('error', () => {});
  const ended: string[] = [];
  const fileOf = (worker: number): string => join(folder, `worker-${worker}`);
  const start = (worker: number): Child => {
    const file = fileOf(worker);
    const argument: WorkerArgument = {
      url,
      worker,
      callers,
      keys,
      tenants,
      limits: limits(times),
      ttl,
      file,
    };
    const child = startChild(workerModule, argument);
    void child.ended.then(({ code }) => {
      if (code !== 0 && code !== null) ended.push(`a process ended by itself, with ${code}`);
    });
    return child;
  };
  const children = Array.from({ length: processes }, (_, worker) => start(worker));
  const counts: Record<string, number> = {};
  const started = performance.now();
  let kills = 0;
  const drawn = async (): Promise<number> => {
    const { rows } = await pool.query('select last_value::int as drawn from fencepost.token');
    return rows[0].drawn;
  };
  try {
    const before = await drawn();
    for (
      let done = 0;
      done < rounds && ended.length === 0 && performance.now() - started < seconds * 1_000;
      done = (await drawn()) - before
    ) {
      at(done);
      await delay(every * random.next() * 2);
      const worker = random.below(processes);
      await children[worker]?.[Symbol.asyncDispose]();
      children[worker] = start(worker);
      kills += 1;
    }
    if (ended.length === 0) {
      for (const child of children) child.send({});
      for (const child of children)
        for (const [name, count] of Object.entries(await child.next<Record<string, number>>()))
          counts[name] = (counts[name] ?? 0) + count;
    }
  } finally {
    await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
    await pool.end();
  }
  const took = (performance.now() - started) / 1_000;
  const grants = (await Promise.all(children.map((_, worker) => grantsIn(fileOf(worker))))).flat();
  await rm(folder, { recursive: true, force: true });
  const figures = {
    'grants checked': grants.length,
    killed: kills,
    'a second': Math.round(grants.length / took),
    'holders at once, at most': mostAtOnce(grants),
    'seconds to check': '',
    seed: random.seed,
  };
  const checking = performance.now();
  const violations = [...ended, ...check(grants, checked)];
  figures['seconds to check'] = ((performance.now() - checking) / 1_000).toFixed(1);
  return { figures, violations };
}

const isTenanted = ({ key }: Acquisition): boolean => !key.startsWith('/');

function check(grants: readonly Acquisition[], { slots, tenant, total }: Limits): string[] {
  const refutations = checkHistory({ acquisitions: grants, writes: [], completions: [] }, (key) =>
    key.startsWith('/') ? slots : tenant,
  );
  // The limit over all tenants: one key, and each grant in a slot of its own, so that nothing else is checked again.
  const all = grants.filter(isTenanted).map((grant, slot) => ({ ...grant, key: 'all tenants', slot }));
  refutations.push(...checkHistory({ acquisitions: all, writes: [], completions: [] }, () => total));
  return refutations.map(refutationText);
}

/** Of one key, of one tenant, and of all tenants: whether the limits were reached at all. */
function mostAtOnce(grants: readonly Acquisition[]): string {
  const most = (some: readonly Acquisition[]): number => {
    const steps = some.flatMap(({ told, ended }) =>
      ended === undefined
        ? []
        : [
            { at: told, by: 1 },
            { at: ended, by: -1 },
          ],
    );
    steps.sort((a, b) => a.at - b.at || a.by - b.by);
    let present = 0;
    return steps.reduce((highest, { by }) => {
      present += by;
      return Math.max(highest, present);
    }, 0);
  };
  const byKey = [...Map.groupBy(grants, ({ key }) => key).values()];
  const tenanted = byKey.filter(([first]) => first !== undefined && isTenanted(first));
  const plain = byKey.filter(([first]) => first !== undefined && !isTenanted(first));
  return [
    Math.max(0, ...plain.map(most)),
    Math.max(0, ...tenanted.map(most)),
    most(grants.filter(isTenanted)),
  ].join(', ');
}

await script(
  import.meta,
  {
    rounds: 1_400_000,
    processes: 8,
    callers: 16,
    keys: 4,
    tenants: 3,
    times: 1,
    ttl: 1_000,
    every: 2_000,
    seconds: 7_200,
  },
  (url, options, at) => raceForSlots(url, options, undefined, at),
);
