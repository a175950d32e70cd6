import type pg from 'pg';
import type { Places } from '../runner/servers.ts';

/** What a job carries: when it was put in, in milliseconds on the clock of all processes, and whose it is. */
export interface Job {
  readonly at: number;
  readonly tenant: string;
}

/** So many are nothing that statistics would have to be gathered for. */
export const few = 1_000;

/** Does one job. What it answers is waited for before the job is completed. */
export type Handler = (job: Job) => Promise<void> | void;

export interface JobPeer {
  readonly name: string;
  readonly settings: string;
  readonly limit?: boolean;
  /** What is done from outside of the processes that work. */
  queue(places: Places, pool: pg.Pool): Promise<JobQueue>;
  /** Works through jobs until the answer is called. */
  work(places: Places, handler: Handler): Promise<() => Promise<unknown>>;
}

export interface JobQueue extends AsyncDisposable {
  /** Puts so many in at once. */
  fill(count: number, tenant: string): Promise<void>;
  /** Puts one in, as its users do. */
  add(job: Job): Promise<unknown>;
  /** How many are left. */
  left(): Promise<number>;
  /** Throws all away. */
  clear(): Promise<unknown>;
}
