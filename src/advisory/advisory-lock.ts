import type { Place } from '../core/chain.ts';
import { type HoldingSubject, type Subject, spans } from '../core/events.ts';
import { Handle } from '../core/handle.ts';
import { familyOf, type Key, keyText } from '../core/key.ts';
import type { LockConnection } from '../session/lock-connection.ts';
import type { LockSet } from '../sql/session-lock.ts';

/** What one call asked for, and has once it was granted. */
export interface Asked extends LockSet {
  readonly keys: readonly Key[];
  readonly text: string;
  lock: AdvisoryLock | undefined;
  /** Among the calls that wait or hold. */
  place: Place<Asked> | undefined;
}

/** What events say of it; of several keys the first one tells the family. */
export function aboutAsked({ keys, text, shared }: Asked): Subject {
  const family = familyOf(keyText('key', keys[0] as Key));
  return {
    kind: 'session-lock',
    key: text,
    family,
    tenant: '',
    mode: shared ? 'shared' : 'exclusive',
  };
}

/** What a lock asks of those who made it. */
export interface LockKeeper {
  ended(asked: Asked, connection: LockConnection): void;
}

/**
 * A session advisory lock that this process was granted: the server frees it within milliseconds when the process
 * dies. `signal` aborts when the connection that holds it is lost; the server may then have granted it to another
 * process already. Writes that must not happen then need a lease and its guard.
 */
export class AdvisoryLock extends Handle {
  /** Whether others may hold it as well, in shared mode too. */
  readonly mode: 'exclusive' | 'shared';
  /** With `fence: true`: greater than the token of every earlier holder who drew one. */
  readonly token: bigint | undefined;
  readonly #keeper: LockKeeper;
  readonly #connection: LockConnection;
  readonly #asked: Asked;

  /** @internal */
  constructor(keeper: LockKeeper, connection: LockConnection, asked: Asked, token?: bigint) {
    super(connection);
    this.#keeper = keeper;
    this.#connection = connection;
    this.#asked = asked;
    this.token = token;
    this.mode = asked.shared ? 'shared' : 'exclusive';
  }

  get key(): string {
    return this.#asked.text;
  }

  /** @internal */
  protected get tenure(): LockConnection {
    return this.#connection;
  }

  /** @internal */
  about(): HoldingSubject {
    const { pid } = this.#connection;
    return { ...aboutAsked(this.#asked), handle: this, token: this.token, holder: String(pid) };
  }

  /** @internal */
  protected giveBack(): Promise<void> {
    if (!spans.release.hasSubscribers) return this.#connection.unlock(this.#asked);
    const event = { ...this.about(), how: 'released' as const };
    return spans.release.tracePromise(() => this.#connection.unlock(this.#asked), event);
  }

  /** @internal */
  protected ended(): void {
    this.#keeper.ended(this.#asked, this.#connection);
  }
}
