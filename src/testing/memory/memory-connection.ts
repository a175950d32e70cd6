import { keepAlive } from '../../core/clock.ts';
import { DatabaseError } from '../../core/errors.ts';
import { databaseFailure } from '../../core/sqlstate.ts';
import type { Connection, Heard } from '../../session/connection.ts';
import type { Row, Statement } from '../../sql/statement.ts';
import type { MemoryServer } from './memory-server.ts';

/** Has the face of a `Connection`: one statement at a time, lost for good when it was closed. */
export class MemoryConnection {
  readonly pid = 0;
  readonly pooled = false;
  readonly #server: MemoryServer;
  readonly #ended: () => void;
  /** As a socket does. */
  readonly #rest = keepAlive();
  #lost = false;
  #heard: Heard | undefined;

  constructor(server: MemoryServer, ended: () => void) {
    this.#server = server;
    this.#ended = ended;
  }

  get lost(): boolean {
    return this.#lost;
  }

  async query(statement: Statement): Promise<Row[]> {
    // An answer of a server never comes before the code that asked has ended.
    await Promise.resolve();
    if (this.#lost) throw closed();
    if (statement.name === 'unlisten') this.#heard = undefined;
    if (statement.name === 'unlisten') return [];
    const reply = this.#server.run(statement);
    if ('rows' in reply) return [...reply.rows];
    const failed = Object.assign(new Error(statement.name), { code: reply.sqlState, severity: 'ERROR' });
    throw databaseFailure(`run ${statement.name}`, failed);
  }

  async listen(_: string, heard: Heard): Promise<boolean> {
    this.#heard = heard;
    return true;
  }

  /** A message for whoever listens. */
  hear(message: string): void {
    this.#heard?.(message);
  }

  async close(): Promise<void> {
    if (this.#lost) return;
    this.#lost = true;
    this.#rest();
    this.#ended();
    this.#heard?.();
  }

  /** As what it stands for: that class has private parts, which no other can have. */
  get face(): Connection {
    return this as unknown as Connection;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function closed(): DatabaseError {
  const facts = { cause: undefined, retriable: true, sqlState: undefined, inDoubt: false };
  return new DatabaseError('the connection to the database was closed', facts);
}
