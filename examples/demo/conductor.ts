import { once } from 'node:events';
import { setTimeout as delay, setImmediate } from 'node:timers/promises';
import { migrate } from 'fencepost/migrate';
import { Crew } from './crew.ts';
import { type Audit, audit, openLedger } from './ledger.ts';
import type { Plan } from './plan.ts';
import type { Screen } from './screen.ts';
import { type Counts, Story } from './story.ts';

export interface Run {
  /** An empty database. */
  readonly connection: string;
  readonly plan: Plan;
  readonly workers: number;
  readonly seconds: number;
  readonly guarded: boolean;
  readonly screen: Screen;
  /** Ends the run early: it rejects, and no worker is left. */
  readonly signal: AbortSignal;
}

export interface Outcome {
  readonly guarded: boolean;
  readonly audit: Audit;
  readonly counts: Counts;
}

/** One run: workers that move money, blows that fall on them as planned, and the audit when all have ended. */
export async function conduct(run: Run): Promise<Outcome> {
  const { connection, plan, workers, seconds, guarded, screen } = run;
  screen.status(` starting ${workers} workers `);
  await migrate({ connection });
  await openLedger(connection, plan);

  const story = new Story({ screen, guarded, seconds });
  const hear = story.hear.bind(story);
  await using crew = new Crew({ connection, tenants: plan.tenants, guarded, hear });
  const signal = AbortSignal.any([run.signal, crew.failed]);
  const numbers = Array.from({ length: workers }, (_, i) => i + 1);
  await unlessAborted(signal, Promise.all(numbers.map((worker) => crew.start(worker))));

  story.begin();
  const ticking = setInterval(() => story.tick(), 200);
  try {
    await strike(plan, crew, story, signal);
    await until(seconds * 1_000, story, signal);
    await unlessAborted(signal, crew.finish());
  } finally {
    clearInterval(ticking);
  }
  return { guarded, audit: await audit(connection), counts: story.counts };
}

async function strike({ blows }: Plan, crew: Crew, story: Story, signal: AbortSignal): Promise<void> {
  for (const { at, worker, act, forMs } of blows) {
    await until(at, story, signal);
    if (act === 'freeze') crew.freeze(worker);
    if (act === 'kill') crew.kill(worker);
    // What it said just before is in the channel: read that first.
    await setImmediate();
    story.struck(worker, act, forMs);
    if (act === 'wake') crew.wake(worker);
    if (act === 'replace') void crew.start(worker);
  }
}

async function until(at: number, story: Story, signal: AbortSignal): Promise<void> {
  // The signal's own reason says more than the timer's AbortError.
  await delay(Math.max(0, at - story.elapsed), undefined, { signal }).catch(() => signal.throwIfAborted());
}

async function unlessAborted(signal: AbortSignal, work: Promise<unknown>): Promise<void> {
  signal.throwIfAborted();
  await Promise.race([work, once(signal, 'abort')]);
  signal.throwIfAborted();
}
