import type { Clock } from '../core/clock.ts';
import { Entries } from '../core/entries.ts';

/** Who of this process is at one key, and who comes next. */
class Line {
  /** One exclusive holder, or any number of shared ones. */
  present = 0;
  shared = false;
  /** Who began the last turn. */
  last: Entrant | undefined;
  /** Made when somebody has to wait, which is rare. */
  waiting: Set<Waiter> | undefined;

  get idle(): boolean {
    return this.present === 0;
  }
}

/** Who takes a turn: with a lock from the server once it has answered. */
export interface Entrant {
  readonly lock: object | undefined;
}

interface Waiter {
  readonly shared: boolean;
  readonly entrant: Entrant | undefined;
  start(): void;
}

/**
 * Who of one process may have a key: one exclusive holder or several shared ones, in the order of their calls. The
 * server cannot tell the callers of one session apart and would grant them all. Keyed by the number that the server
 * gets, since two names may share it.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #lines = new Entries<string, Line>();
  #busy = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many keys somebody has or waits for. */
  get size(): number {
    return this.#busy;
  }

  /** Begins a turn if it can begin at once. Whoever has a turn leaves it once. */
  enter(hash: string, shared: boolean, entrant?: Entrant): boolean {
    const line = this.#lines.get(hash) ?? this.#lines.add(hash, new Line());
    if (line.idle) this.#busy += 1;
    // A shared turn does not overtake an exclusive one that waits.
    else if (!shared || !line.shared || line.waiting !== undefined) return false;
    line.present += 1;
    line.shared = shared;
    line.last = entrant;
    return true;
  }

  /** Whether who began the last turn at a key has got its lock from the server. */
  granted(hash: string): boolean {
    return this.#lines.get(hash)?.last?.lock !== undefined;
  }

  /** As `enter`, but waits in line; false when `limit` has run out. Rejects with the reason of the signal. */
  async wait(
    hash: string,
    shared: boolean,
    limit: number,
    signal: AbortSignal | undefined,
    entrant?: Entrant,
  ): Promise<boolean> {
    signal?.throwIfAborted();
    const line = this.#lines.get(hash);
    if (this.enter(hash, shared, entrant) || line === undefined) return true;
    if (limit <= 0) return false;
    return new Promise((resolve, reject) => {
      let cancel = (): void => {};
      const finish = (): void => {
        cancel();
        signal?.removeEventListener('abort', abort);
      };
      const waiter: Waiter = {
        ...{ shared, entrant },
        start() {
          finish();
          resolve(true);
        },
      };
      const giveUp = (settle: () => void): void => {
        finish();
        line.waiting?.delete(waiter);
        this.#advance(line);
        settle();
      };
      const abort = (): void => giveUp(() => reject(signal?.reason));
      line.waiting ??= new Set();
      line.waiting.add(waiter);
      if (limit !== Infinity) cancel = this.#clock.after(limit, () => giveUp(() => resolve(false)));
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  leave(hash: string): void {
    const line = this.#lines.get(hash);
    if (line === undefined) return;
    line.present -= 1;
    this.#advance(line);
  }

  /** Lets in whoever stands first, as long as that is allowed. */
  #advance(line: Line): void {
    for (const waiter of line.waiting ?? []) {
      if (line.present > 0 && !(line.shared && waiter.shared)) return;
      line.waiting?.delete(waiter);
      line.present += 1;
      line.shared = waiter.shared;
      line.last = waiter.entrant;
      waiter.start();
    }
    line.waiting = undefined;
    if (!line.idle) return;
    line.last = undefined;
    this.#busy -= 1;
  }
}
