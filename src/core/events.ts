import { type Channel, channel, type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import type { LossReason } from './errors.ts';

/** What sort of thing an event is about. Barriers, latches, members and the face of node-redlock are leases. */
export type EventKind = 'session-lock' | 'transaction-lock' | 'lease' | 'election' | 'claim';

/** What an event is about. */
export interface Subject {
  readonly kind: EventKind;
  /** In readable form, as `handle.key` and errors have it. */
  readonly key: string;
  /**
   * What sort of key, for metrics, which cannot bear a series for each key: the first part of a list; of a text what
   * stands before its first digit or one of `: / . #`; `#` for a bigint; of a claim the table.
   */
  readonly family: string;
  /** `''` where there is none. */
  readonly tenant: string;
  readonly mode: 'exclusive' | 'shared';
}

/** Something that this process holds or has held. */
export interface HoldingSubject extends Subject {
  /** The handle itself: the same object in every event of one lock, one lease, one claim. */
  readonly handle: object;
  /** The fencing token, where there is one. */
  readonly token: bigint | undefined;
  /** The id of the holder that a lease or a claim lives on; of a session lock the process id of its server session. */
  readonly holder: string | undefined;
}

/** What may end with an error. */
export interface Failing {
  /** What it rejected with; absent as long as it has not, or did not. */
  error?: unknown;
}

/** A call that wants a lock or a lease. */
export interface AcquireEvent extends Subject, Failing {
  /** The longest that it may wait, in milliseconds, or Infinity. */
  readonly wait: number;
  /** Once it is over, unless with an `error`: `refused` without having waited, `timeout` when `wait` ran out. */
  outcome?: 'granted' | 'refused' | 'timeout';
  /** Milliseconds that it has waited so far. Always 0 for a transaction lock, of which only the server knows. */
  waited: number;
}

/** The part of such a call in which it waits, from the moment on that the lock was not free. */
export interface WaitEvent extends Subject {
  readonly acquire: AcquireEvent;
  /** Where it began to wait: behind others of its own process, or of other processes. */
  readonly where: 'process' | 'server';
  /** Milliseconds, once it is over. */
  waited?: number;
  /** Once it is over. */
  granted?: boolean;
}

/** The server has granted something to this process. A transaction lock has no handle, no token and no holder. */
export interface GrantEvent extends Omit<HoldingSubject, 'handle'> {
  readonly handle: object | undefined;
  /** Milliseconds that the call has waited. */
  readonly waited: number;
}

/** Something that was held is lost. */
export interface LossEvent extends HoldingSubject {
  readonly reason: LossReason;
  /** What went wrong, where that is known. */
  readonly cause: unknown;
}

/** Something is given back, or handed over to another process. */
export interface ReleaseEvent extends HoldingSubject, Failing {
  readonly how: 'released' | 'handed over';
}

/** A fencing token is checked in a transaction; the `error` is a StaleTokenError when it was refused. */
export interface GuardEvent extends HoldingSubject, Failing {}

/** A sign of life that keeps things held. */
export interface RenewEvent extends Failing {
  /**
   * `holder`: the heartbeat of all leases and claims with one ttl; `session`: that of a session with session locks;
   * `lease`: one with `renew: false`; `claim`: the transaction of a claim in storage `held`.
   */
  readonly of: 'holder' | 'session' | 'lease' | 'claim';
  /** The id of the holder, or the process id of the session. */
  readonly holder: string | undefined;
  /** Of a lease or a claim. */
  readonly key: string | undefined;
  /** Milliseconds that it keeps things held. */
  readonly ttl: number;
  /** Milliseconds since the last one was sent that was confirmed. */
  readonly since: number;
  /** Milliseconds by which it is sent later than planned, which is a third of the ttl after the last one. */
  readonly lag: number;
  /** Once it is over without an `error`: whether what it keeps is still held. */
  alive?: boolean;
}

/** Rows of a table are asked for. */
export interface ClaimEvent extends Failing {
  readonly kind: 'claim';
  readonly table: string;
  /** The same as `table`. */
  readonly family: string;
  /** The most that it may get. */
  readonly limit: number;
  /** How many it got, once it is over without an `error`. */
  claimed?: number;
}

/** A claim is completed, fails or is given back. */
export interface SettleEvent extends HoldingSubject, Failing {
  readonly outcome: 'completed' | 'failed' | 'released';
  /** Which attempt it was, counted from 1. */
  readonly attempt: number;
}

/** A connection of Fencepost's own begins or ends. */
export interface SessionEvent {
  /** `failed`: it could not be opened; `lost`: it ended by itself; `closed`: it was told to. */
  readonly change: 'opened' | 'failed' | 'lost' | 'closed';
  /** `locks`: it holds session locks, or waits for one; `statements`: everything else. */
  readonly purpose: 'locks' | 'statements';
  /** The process of the server behind it, unless it `failed`. */
  readonly pid: number | undefined;
  /** Whether a pooler stands between. */
  readonly pooled: boolean;
  /** With `failed` and `lost`. */
  readonly error: unknown;
}

/** A statement that calls share. */
export interface BatchEvent extends Failing {
  /** What it does. */
  readonly statement: string;
  /** How many calls travel in it. */
  readonly calls: number;
}

const span = <Event extends object>(name: string): TracingChannel<Event, Event> =>
  tracingChannel<Event, Event>(`fencepost:${name}`);

/** What takes time, each a tracing channel of `node:diagnostics_channel` named `fencepost:` and this name. */
export const spans = {
  acquire: span<AcquireEvent>('acquire'),
  wait: span<WaitEvent>('wait'),
  renew: span<RenewEvent>('renew'),
  release: span<ReleaseEvent>('release'),
  guard: span<GuardEvent>('guard'),
  claim: span<ClaimEvent>('claim'),
  settle: span<SettleEvent>('settle'),
  batch: span<BatchEvent>('batch'),
};

const point = <Event>(name: string): Channel<Event> => channel(`fencepost:${name}`) as Channel<Event>;

/** What happens at one moment, each a channel. */
export const points = {
  grant: point<GrantEvent>('grant'),
  loss: point<LossEvent>('loss'),
  session: point<SessionEvent>('session'),
};

/** Publishes the beginning of a span that is published piece by piece: a wrapper would cost hot paths a promise. */
export function begin<Event extends object>(
  { start, end }: TracingChannel<Event, Event>,
  event: Event,
): void {
  start.publish(event);
  end.publish(event);
}

/** Publishes its end. What it failed with stands in the event. */
export function finish<Event extends object>(
  { error, asyncStart, asyncEnd }: TracingChannel<Event, Event>,
  event: Event,
): void {
  if ('error' in event) error.publish(event);
  asyncStart.publish(event);
  asyncEnd.publish(event);
}
