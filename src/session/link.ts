import type { Row, Statement } from '../sql/statement.ts';

/** What runs statements until it is lost. */
export interface Session {
  readonly lost: boolean;
  query(statement: Statement, limit?: number): Promise<Row[]>;
}

/** One session that is opened when first needed and again after it was lost. */
export class Link {
  readonly #open: (limit?: number) => Promise<Session>;
  #session: Promise<Session> | undefined;

  constructor(open: (limit?: number) => Promise<Session>) {
    this.#open = open;
  }

  /** Runs a statement once. It is not repeated: only the caller knows whether that would be right. */
  async query(statement: Statement, limit?: number): Promise<Row[]> {
    return (await this.session(limit)).query(statement, limit);
  }

  async session(limit?: number): Promise<Session> {
    const present = await this.#session?.catch(() => undefined);
    if (present !== undefined && !present.lost) return present;
    // Another caller may have begun to reconnect while this one waited.
    const next = this.#session;
    if (next !== undefined && (await next.catch(() => undefined)) !== present) return this.session(limit);
    this.#session = this.#open(limit);
    return this.#session;
  }
}
