import { within } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import type { Row, Statement } from '../sql/statement.ts';

/** What runs statements until it is lost. */
export interface Session {
  readonly lost: boolean;
  query(statement: Statement, limit?: number): Promise<Row[]>;
  close(): Promise<void>;
}

/** One session that is opened when first needed and again after it was lost. */
export class Link<Opened extends Session = Session> {
  readonly #open: (limit?: number) => Promise<Opened>;
  readonly #clock: Clock;
  #session: Promise<Opened> | undefined;
  /** The same once it is open. */
  #opened: Opened | undefined;

  constructor(open: (limit?: number) => Promise<Opened>, clock: Clock) {
    this.#open = open;
    this.#clock = clock;
  }

  /**
   * Runs a statement once. It is not repeated: only the caller knows whether that would be right. `limit`: the longest
   * time, in milliseconds, for opening a session where there is none, and then for the answer.
   */
  async query(statement: Statement, limit?: number): Promise<Row[]> {
    return (this.present ?? (await this.session(limit))).query(statement, limit);
  }

  /** The session, if one is open. */
  get present(): Opened | undefined {
    return this.#opened?.lost === false ? this.#opened : undefined;
  }

  async session(limit = Infinity): Promise<Opened> {
    const present = this.#session;
    const coming = present?.catch(() => undefined) ?? Promise.resolve(undefined);
    const session = await (limit === Infinity ? coming : within(this.#clock, limit, coming));
    // Another caller may have begun anew while this one waited.
    if (this.#session !== present) return this.session(limit);
    if (session !== undefined && !session.lost) return session;
    const opening = this.#open(limit === Infinity ? undefined : limit);
    this.#session = opening;
    this.#opened = undefined;
    opening.then(
      (opened) => {
        if (this.#session === opening) this.#opened = opened;
      },
      () => {},
    );
    // Whoever had more patience may still wait for the old one; if it comes after all, nobody will use it.
    present?.then((late) => late.close()).catch(() => {});
    return opening;
  }
}
