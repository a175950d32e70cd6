import type { Clock } from '../core/clock.ts';

interface Turn {
  readonly shared: boolean;
  start(): void;
}

/** Who of this process is at one key, and who comes next. */
interface Line {
  /** One exclusive holder, or any number of shared ones. */
  readonly present: Set<Turn>;
  readonly waiting: Set<Turn>;
}

/** How long to wait for a turn, in milliseconds or for ever, and what may end it early. */
export interface Patience {
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Who of one process may have a key: one exclusive holder or several shared ones, in the order of their calls. The
 * server cannot tell the callers of one session apart and would grant them all. Keyed by the number that the server
 * gets, since two names may share it.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #lines = new Map<bigint, Line>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many keys somebody has or waits for. */
  get size(): number {
    return this.#lines.size;
  }

  /**
   * The way to end the turn; undefined when `wait` has run out. Rejects with the reason of the signal.
   */
  take(hash: bigint, shared: boolean, { wait, signal }: Patience): Promise<(() => void) | undefined> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      let line = this.#lines.get(hash);
      if (line === undefined) {
        line = { present: new Set(), waiting: new Set() };
        this.#lines.set(hash, line);
      }
      const { present, waiting } = line;
      let cancel = (): void => {};
      const finish = (): void => {
        cancel();
        signal?.removeEventListener('abort', abort);
      };
      const turn: Turn = {
        shared,
        start: () => {
          finish();
          resolve(() => this.#leave(hash, present, turn));
        },
      };
      const giveUp = (settle: () => void): void => {
        finish();
        this.#leave(hash, waiting, turn);
        settle();
      };
      const abort = (): void => giveUp(() => reject(signal?.reason));
      const runOut = (): void => giveUp(() => resolve(undefined));
      waiting.add(turn);
      this.#advance(hash);
      if (present.has(turn)) return;
      if (wait <= 0) return runOut();
      if (wait !== Infinity) cancel = this.#clock.after(wait, runOut);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  #leave(hash: bigint, place: Set<Turn>, turn: Turn): void {
    if (place.delete(turn)) this.#advance(hash);
  }

  /** Lets in whoever stands first, as long as that is allowed; a shared turn does not overtake an exclusive one. */
  #advance(hash: bigint): void {
    const line = this.#lines.get(hash);
    if (line === undefined) return;
    const { present, waiting } = line;
    for (const turn of waiting) {
      const [holder] = present;
      if (holder !== undefined && !(holder.shared && turn.shared)) break;
      waiting.delete(turn);
      present.add(turn);
      turn.start();
    }
    if (present.size === 0 && waiting.size === 0) this.#lines.delete(hash);
  }
}
