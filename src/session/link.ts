import type { Row, Statement } from '../sql/statement.ts';
import type { Connection } from './connection.ts';

/** One connection that is opened when first needed and again after it was lost. */
export class Link {
  readonly #open: () => Promise<Connection>;
  #connection: Promise<Connection> | undefined;

  constructor(open: () => Promise<Connection>) {
    this.#open = open;
  }

  /** Runs a statement once. It is not repeated: only the caller knows whether that would be right. */
  async query(statement: Statement, limit?: number): Promise<Row[]> {
    return (await this.connection()).query(statement, limit);
  }

  async connection(): Promise<Connection> {
    const present = await this.#connection?.catch(() => undefined);
    if (present !== undefined && !present.lost) return present;
    // Another caller may have begun to reconnect while this one waited.
    const next = this.#connection;
    if (next !== undefined && (await next.catch(() => undefined)) !== present) return this.connection();
    this.#connection = this.#open();
    return this.#connection;
  }
}
