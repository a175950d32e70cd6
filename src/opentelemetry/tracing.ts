import { type Attributes, type Link, type Span, SpanStatusCode, type Tracer } from '@opentelemetry/api';
import { LockLostError } from '../core/errors.ts';
import type { GrantEvent, GuardEvent, HoldingSubject, SettleEvent, Subject } from '../core/events.ts';
import { listen } from '../core/listening.ts';
import { errorType, type Families } from './families.ts';

/** A hold that has not ended, and what others may wait for because of it. */
interface Hold {
  readonly span: Span;
  readonly place: string;
}

/** Turns events into spans, until it is disposed of. A span begins under the span that is active in its caller. */
export class Tracing implements Disposable {
  readonly #tracer: Tracer;
  readonly #families: Families;
  readonly #keys: boolean;
  readonly #holds = new Map<object, Hold>();
  /** The spans of what this process holds, by the key that others may wait for. */
  readonly #holders = new Map<string, Set<Span>>();
  readonly #spans = new WeakMap<object, Span>();
  readonly #listening: Disposable;

  /** `keys`: whether spans have the key as an attribute, and not only its family. */
  constructor(tracer: Tracer, families: Families, keys: boolean) {
    this.#tracer = tracer;
    this.#families = families;
    this.#keys = keys;
    this.#listening = listen({
      wait: {
        start: (event) => {
          const links = this.#linksTo(event);
          const where = { 'fencepost.where': event.where };
          this.#spans.set(event, this.#begin('fencepost.wait', event, where, links));
        },
        asyncEnd: (event) => {
          const span = this.#spans.get(event);
          span?.setAttribute('fencepost.granted', event.granted ?? false);
          span?.end();
        },
      },
      grant: (event) => this.#granted(event),
      loss: (event) => {
        const span = this.#forget(event);
        span?.setAttribute('fencepost.reason', event.reason);
        const { key, reason, cause } = event;
        fail(span, this.#keys ? new LockLostError(key, reason, { cause }) : (cause ?? reason), 'LOCK_LOST');
        span?.end();
      },
      release: { asyncEnd: (event) => this.#end(event, event.how) },
      guard: this.#during<GuardEvent>('fencepost.guard', () => ({})),
      settle: {
        ...this.#during<SettleEvent>('fencepost.settle', ({ outcome, attempt }) => ({
          'fencepost.outcome': outcome,
          'fencepost.attempt': attempt,
        })),
        asyncEnd: (event) => {
          finish(this.#spans.get(event), event);
          if (!('error' in event) || event.outcome === 'released') this.#end(event, event.outcome);
        },
      },
      claim: {
        start: (event) => {
          const { table, limit } = event;
          const subject = { kind: 'claim' as const, key: table, family: table, tenant: '' };
          this.#spans.set(event, this.#begin('fencepost.claim', subject, { 'fencepost.limit': limit }));
        },
        asyncEnd: (event) => {
          const span = this.#spans.get(event);
          if (event.claimed !== undefined) span?.setAttribute('fencepost.claimed', event.claimed);
          finish(span, event);
        },
      },
    });
  }

  /** Spans that have not ended are ended: nobody will hear of their end. */
  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
    for (const { span } of this.#holds.values()) span.end();
    this.#holds.clear();
    this.#holders.clear();
  }

  #granted(event: GrantEvent): void {
    if (event.handle === undefined) return;
    const waited = { 'fencepost.waited': event.waited / 1_000 };
    const span = this.#begin('fencepost.hold', event, { ...tokenOf(event), ...waited });
    const place = placeOf(event);
    this.#holds.set(event.handle, { span, place });
    const holders = this.#holders.get(place) ?? new Set();
    this.#holders.set(place, holders.add(span));
  }

  #end(event: HoldingSubject & { error?: unknown }, outcome: string): void {
    if ('error' in event && outcome === 'handed over') return;
    const span = this.#forget(event);
    span?.setAttribute('fencepost.outcome', outcome);
    finish(span, event);
  }

  #forget({ handle }: HoldingSubject): Span | undefined {
    const hold = this.#holds.get(handle);
    if (hold === undefined) return undefined;
    this.#holds.delete(handle);
    const holders = this.#holders.get(hold.place);
    holders?.delete(hold.span);
    if (holders?.size === 0) this.#holders.delete(hold.place);
    return hold.span;
  }

  /** Those of this process who have what somebody waits for: of others nothing is known here. */
  #linksTo(subject: Subject): Link[] {
    const holders = this.#holders.get(placeOf(subject)) ?? [];
    return [...holders].map((span) => ({ context: span.spanContext() }));
  }

  #during<Event extends HoldingSubject & { error?: unknown }>(
    name: string,
    more: (event: Event) => Attributes,
  ) {
    return {
      start: (event: Event): void => {
        const links = this.#holdOf(event);
        this.#spans.set(event, this.#begin(name, event, { ...tokenOf(event), ...more(event) }, links));
      },
      asyncEnd: (event: Event): void => finish(this.#spans.get(event), event),
    };
  }

  #holdOf({ handle }: HoldingSubject): Link[] {
    const hold = this.#holds.get(handle);
    return hold === undefined ? [] : [{ context: hold.span.spanContext() }];
  }

  #begin(
    name: string,
    subject: Omit<Subject, 'mode'> & Partial<Subject>,
    more: Attributes,
    links: Link[] = [],
  ): Span {
    const attributes = { ...this.#families.attributes(subject), ...more };
    if (this.#keys) attributes['fencepost.key'] = subject.key;
    return this.#tracer.startSpan(name, { attributes, links });
  }
}

/** Session locks have one space of keys; elections are leases. */
function placeOf({ kind, key }: Pick<Subject, 'kind' | 'key'>): string {
  return `${kind === 'election' ? 'lease' : kind} ${key}`;
}

function tokenOf({ token, holder }: { token: bigint | undefined; holder: string | undefined }): Attributes {
  return {
    ...(token === undefined ? {} : { 'fencepost.token': String(token) }),
    ...(holder === undefined ? {} : { 'fencepost.holder': holder }),
  };
}

function finish(span: Span | undefined, event: { error?: unknown }): void {
  if ('error' in event) fail(span, event.error, errorType(event.error));
  span?.end();
}

function fail(span: Span | undefined, error: unknown, type: string): void {
  span?.setAttribute('error.type', type);
  span?.setStatus({ code: SpanStatusCode.ERROR });
  if (error instanceof Error) span?.recordException(error);
}
