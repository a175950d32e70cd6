/** What a process does that works through jobs. */
import { hrtime } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { open } from '../peers/fencepost-claims.ts';
import { jobPeer } from '../peers/jobs.ts';
import type { Places } from '../runner/servers.ts';

export { counted, startCounting } from './holding.ts';

export interface Done {
  readonly count: number;
  /** When the first and the last job began, in milliseconds. */
  readonly first: number;
  readonly last: number;
  /** How long jobs waited whose time is known, by tenant. */
  readonly waits: Readonly<Record<string, number[]>>;
}

const now = (): number => Number(hrtime.bigint()) / 1e6;
let done = { count: 0, first: 0, last: 0, waits: {} as Record<string, number[]> };
let end: (() => Promise<unknown>) | undefined;

/** Works, and takes so many milliseconds for each job. */
export async function start(name: string, places: Places, takes: number): Promise<void> {
  const mine = { count: 0, first: 0, last: 0, waits: {} as Record<string, number[]> };
  done = mine;
  end = await jobPeer(name).work(places, ({ at, tenant }) => {
    mine.last = now();
    if (mine.count === 0) mine.first = mine.last;
    mine.count += 1;
    if (at > 0) {
      mine.waits[tenant] ??= [];
      mine.waits[tenant].push(mine.last - at);
    }
    return takes > 0 ? delay(takes) : undefined;
  });
}

export function progress(): Done {
  return done;
}

export async function stop(): Promise<Done> {
  await end?.();
  end = undefined;
  return done;
}

/** Claims so many, and keeps them. */
export async function holdClaims(postgres: string, count: number, ttl: number): Promise<void> {
  const { jobs, [Symbol.asyncDispose]: close } = open({ postgres, redis: '', redisAlways: '' }, false, ttl);
  for (let claimed = 0; claimed < count; ) {
    const found = await jobs.claim({ limit: Math.min(5_000, count - claimed) });
    if (found.length === 0) throw new Error(`no more than ${claimed} rows to claim`);
    claimed += found.length;
  }
  end = close;
}
