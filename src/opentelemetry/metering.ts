import type { Attributes, Meter } from '@opentelemetry/api';
import { elapsed, type Moment, systemClock } from '../core/clock.ts';
import { StaleTokenError } from '../core/errors.ts';
import type {
  AcquireEvent,
  GrantEvent,
  GuardEvent,
  HoldingSubject,
  LossEvent,
  ReleaseEvent,
  SessionEvent,
  SettleEvent,
} from '../core/events.ts';
import { listen } from '../core/listening.ts';
import { errorType, type Families } from './families.ts';
import { type Instruments, instrumentsOf } from './instruments.ts';

/** What is held, since when, and what it counts as. */
interface Hold {
  readonly since: Moment;
  readonly attributes: Attributes;
  readonly level: 'held' | 'inFlight';
}

/** Turns events into metrics, until it is disposed of. */
export class Metering implements Disposable {
  readonly #families: Families;
  readonly #instruments: Instruments;
  readonly #holds = new Map<object, Hold>();
  /** How many there are of each purpose and process of a server: only what was seen to open is counted out. */
  readonly #connections = new Map<string, number>();
  /** When what is under way began. */
  readonly #started = new WeakMap<object, Moment>();
  readonly #listening: Disposable;

  constructor(meter: Meter, families: Families) {
    this.#families = families;
    this.#instruments = instrumentsOf(meter);
    const { batch, claimed, renewDuration, renewFailures, renewLag, wait } = this.#instruments;
    this.#listening = listen({
      acquire: { asyncEnd: (event) => this.#acquired(event) },
      wait: {
        asyncEnd: (event) => {
          const { where, granted = false, waited = 0 } = event;
          const how = { 'fencepost.where': where, 'fencepost.granted': granted };
          wait.record(waited / 1_000, { ...families.attributes(event), ...how });
        },
      },
      grant: (event) => this.#granted(event),
      loss: (event) => this.#lost(event),
      release: { asyncEnd: (event) => this.#released(event) },
      guard: { asyncEnd: (event) => this.#guarded(event) },
      settle: { asyncEnd: (event) => this.#settled(event) },
      claim: {
        asyncEnd: ({ family, claimed: rows, error }) => {
          const attributes = families.attributes({ kind: 'claim', key: family, family, tenant: '' });
          if (rows !== undefined) claimed.record(rows, attributes);
          else this.#failed(attributes, error);
        },
      },
      renew: {
        start: (event) => {
          this.#started.set(event, systemClock.now());
          const of = { 'fencepost.of': event.of };
          renewLag.record(event.lag / 1_000, of);
          // There before the first failure: a series that begins with it shows no increase.
          renewFailures.add(0, of);
        },
        asyncEnd: (event) => {
          const of = { 'fencepost.of': event.of };
          const started = this.#started.get(event);
          if ('error' in event) renewFailures.add(1, of);
          else if (started !== undefined)
            renewDuration.record(elapsed(started, systemClock.now()) / 1_000, of);
        },
      },
      batch: { start: ({ statement, calls }) => batch.record(calls, { 'fencepost.statement': statement }) },
      session: (event) => this.#changed(event),
    });
  }

  /** What is still held is counted out: nobody will hear of its end. */
  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
    for (const { level, attributes } of this.#holds.values()) this.#instruments[level].add(-1, attributes);
    for (const [key, count] of this.#connections)
      this.#instruments.connections.add(-count, { 'fencepost.purpose': key.split(' ')[0] ?? key });
    this.#holds.clear();
    this.#connections.clear();
  }

  #acquired(event: AcquireEvent): void {
    const { contentions, timeouts } = this.#instruments;
    const attributes = this.#families.attributes(event);
    if (event.waited > 0 || event.outcome === 'refused' || event.outcome === 'timeout')
      contentions.add(1, attributes);
    if (event.outcome === 'timeout') timeouts.add(1, attributes);
    if ('error' in event) this.#failed(attributes, event.error);
  }

  #failed(attributes: Attributes, error: unknown): void {
    this.#instruments.failures.add(1, { ...attributes, 'error.type': errorType(error) });
  }

  #granted(event: GrantEvent): void {
    const attributes = this.#families.attributes(event);
    this.#instruments.grants.add(1, attributes);
    if (event.handle === undefined) return;
    const level = event.kind === 'claim' ? 'inFlight' : 'held';
    this.#holds.set(event.handle, { since: systemClock.now(), attributes, level });
    this.#instruments[level].add(1, attributes);
  }

  #lost(event: LossEvent): void {
    const reason = { 'fencepost.reason': event.reason };
    this.#instruments.losses.add(1, { ...this.#families.attributes(event), ...reason });
    this.#ended(event, 'lost');
  }

  #released(event: ReleaseEvent): void {
    if (event.how === 'released' || !('error' in event)) this.#ended(event, event.how);
  }

  #settled(event: SettleEvent): void {
    const stale = event.error instanceof StaleTokenError;
    const outcome = stale ? 'stale' : 'error' in event ? 'error' : event.outcome;
    const attributes = { 'fencepost.family': this.#families.of(event), 'fencepost.outcome': outcome };
    this.#instruments.settlements.add(1, attributes);
    // One that could not be settled is still held, unless it was given up.
    if (!('error' in event) || event.outcome === 'released') this.#ended(event, outcome);
  }

  #guarded(event: GuardEvent): void {
    const stale = event.error instanceof StaleTokenError;
    const outcome = stale ? 'stale' : 'error' in event ? 'error' : 'passed';
    this.#instruments.guards.add(1, { ...this.#families.attributes(event), 'fencepost.outcome': outcome });
  }

  #ended({ handle }: HoldingSubject, outcome: string): void {
    const hold = this.#holds.get(handle);
    if (hold === undefined) return;
    this.#holds.delete(handle);
    const { since, attributes, level } = hold;
    const held = elapsed(since, systemClock.now()) / 1_000;
    this.#instruments.hold.record(held, { ...attributes, 'fencepost.outcome': outcome });
    this.#instruments[level].add(-1, attributes);
  }

  #changed({ change, purpose, pid }: SessionEvent): void {
    if (change === 'failed') return;
    const key = `${purpose} ${pid}`;
    const count = this.#connections.get(key) ?? 0;
    const step = change === 'opened' ? 1 : -1;
    if (count + step < 0) return;
    if (count + step === 0) this.#connections.delete(key);
    else this.#connections.set(key, count + step);
    this.#instruments.connections.add(step, { 'fencepost.purpose': purpose });
  }
}
