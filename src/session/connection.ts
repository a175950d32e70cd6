import type pg from 'pg';
import type { Clock } from '../core/clock.ts';
import { DatabaseError, StandbyError, StateError } from '../core/errors.ts';
import { points, type SessionEvent } from '../core/events.ts';
import { databaseFailure } from '../core/sqlstate.ts';
import { listen } from '../sql/notification.ts';
import type { Row, Statement } from '../sql/statement.ts';
import { type ConnectionSource, clientConfig, hangUp, newClient } from './client.ts';
import { type Done, type Prepared, Repeated } from './repeated.ts';
import { isSyncRepWarning, UnreplicatedError } from './unreplicated.ts';

/** Longest time to be without an answer, in milliseconds, before a connection is taken for dead. */
const answerLimit = 10_000;

/** Called once, when a connection is lost or closed, with the reason. */
export type Ended = (loss: Error) => void;

/** How a connection is opened. */
export interface OpenOptions {
  /** The longest time that all of it may take, in milliseconds. */
  readonly limit?: number | undefined;
  /** What for; `statements` by default. */
  readonly purpose?: SessionEvent['purpose'];
}

/** Called with each message of a channel, and without one when no more will come. */
export type Heard = (message?: string) => void;

/** One connection of our own. It runs one statement at a time and is `lost` for good once it fails. */
export class Connection implements AsyncDisposable {
  readonly #client: pg.Client;
  readonly #clock: Clock;
  /** The server process behind it, at least for the first statement. */
  readonly pid: number;
  /** A pooler stands between: the next statement may run in another server process. */
  readonly pooled: boolean;
  readonly #ended: Ended;
  readonly #purpose: SessionEvent['purpose'];
  /** The statements that it has run, by name. */
  readonly #prepared = new Map<string, Prepared>();
  #loss: Error | undefined;
  #heard: Heard | undefined;
  /** Ends with the statements that were asked for so far. */
  #under: Promise<void> | undefined;
  /** The statement that runs, and what the server warned of meanwhile. */
  #running: { warning?: object } | undefined;

  private constructor(
    client: pg.Client,
    clock: Clock,
    pid: number,
    pooled: boolean,
    ended: Ended,
    purpose: SessionEvent['purpose'],
  ) {
    this.#purpose = purpose;
    this.#client = client;
    this.#clock = clock;
    this.pid = pid;
    this.pooled = pooled;
    this.#ended = ended;
  }

  static async open(
    source: ConnectionSource,
    clock: Clock,
    ended: Ended,
    { limit, purpose = 'statements' }: OpenOptions = {},
  ): Promise<Connection> {
    const config = clientConfig(source);
    const patience = Math.round(Math.min(limit ?? Infinity, config.connectionTimeoutMillis ?? Infinity));
    const client = newClient(config);
    // Without a listener a lost connection ends the process; what was lost shows in the statement under way.
    let loss: Error | undefined;
    client.on('error', (error) => {
      loss ??= error;
    });
    const cancel = clock.after(patience, () => {
      loss ??= new Error(`no connection within ${patience} ms`);
      hangUp(client);
    });
    try {
      await client.connect();
      const pid = (client as unknown as { processID: number | null }).processID;
      const { rows } = await client.query<Record<'pid' | 'standby', string>>({ text: hello, values: [pid] });
      if (rows[0]?.standby === 't')
        throw new StandbyError('the server is a standby: locks are kept on the primary');
      const backend = Number(rows[0]?.pid);
      const connection = new Connection(client, clock, backend, backend !== pid, ended, purpose);
      if (loss !== undefined) throw loss;
      client.on('error', (error) => connection.#lose(error));
      client.on('notice', (notice) => connection.#notice(notice));
      client.on('end', () => connection.#lose(new Error('the server closed the connection')));
      connection.#tell('opened');
      return connection;
    } catch (thrown) {
      client.end().catch(() => {});
      const error = databaseFailure('connect to the database', loss ?? thrown);
      if (points.session.hasSubscribers)
        points.session.publish({ change: 'failed', purpose, pid: undefined, pooled: false, error });
      throw error;
    } finally {
      cancel();
    }
  }

  get lost(): boolean {
    return this.#loss !== undefined;
  }

  /**
   * One after the other; `limit` is how long it may take once it is its turn. Rejects with a `DatabaseError`, whose
   * `inDoubt` says that the statement may have taken effect nevertheless; with an `UnreplicatedError` when it has, as far
   * as this server goes.
   */
  query(statement: Statement, limit = answerLimit): Promise<Row[]> {
    const before = this.#under;
    const answer =
      before === undefined ? this.#run(statement, limit) : before.then(() => this.#run(statement, limit));
    const under = answer
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        if (this.#under === under) this.#under = undefined;
      });
    this.#under = under;
    return answer;
  }

  async #run(statement: Statement, limit: number): Promise<Row[]> {
    if (this.#loss !== undefined) throw lostBefore(this.#loss);
    const { name } = statement;
    let answered = false;
    const run: { warning?: object } = {};
    this.#running = run;
    const giveUp = (): void => {
      if (!answered) this.#lose(new Error(`no answer within ${Math.round(limit)} ms`));
    };
    // After a pause of the process the timer runs before the answer that has long been there is read: that comes first.
    const cancel = this.#clock.after(limit, () => setImmediate(giveUp));
    try {
      const rows = await this.#ask(statement);
      if (run.warning !== undefined) throw new UnreplicatedError(name, run.warning, rows);
      return rows;
    } catch (error) {
      if (error instanceof UnreplicatedError) throw error;
      if (this.#loss === undefined && sessionGoesOn(error)) throw databaseFailure(`run ${name}`, error);
      this.#lose(error instanceof Error ? error : new Error(String(error)));
      throw lostDuring(name, this.#loss ?? error);
    } finally {
      answered = true;
      cancel();
      this.#running = undefined;
    }
  }

  /**
   * By callback: with pg's own promise the garbage collector's quick runs keep every answer since the last full run
   * (node-postgres 8.23 on Node 24: half of all that was made for rows, and nothing this way).
   */
  #ask(statement: Statement): Promise<Row[]> {
    const { name, text, values } = statement;
    return new Promise((resolve, reject) => {
      const prepared = this.#prepared.get(name);
      if (prepared?.text === text) {
        const done: Done = (error, rows) => (error === null ? resolve(rows) : reject(error));
        const repeated = Repeated.of(statement, prepared, done);
        if (repeated !== undefined) {
          this.#client.query(repeated as unknown as pg.Submittable);
          return;
        }
      }
      // Behind a pooler the next statement may run on another server connection, which has not prepared it.
      const query = this.pooled ? { text, values: [...values] } : { name, text, values: [...values] };
      this.#client.query<Row>(query, (error, { rows, fields } = {} as pg.QueryResult<Row>) => {
        if (error) return reject(error);
        if (!this.pooled) this.#prepared.set(name, { text, columns: fields.map((field) => field.name) });
        resolve(rows);
      });
    });
  }

  /**
   * From now on calls back with the messages of a channel, in place of whoever was called before. False behind a pooler:
   * there they would come to whoever has the server connection.
   */
  async listen(channel: string, heard: Heard): Promise<boolean> {
    if (this.pooled) return false;
    if (this.#heard === undefined)
      this.#client.on('notification', ({ payload }) => this.#heard?.(payload ?? ''));
    this.#heard = heard;
    await this.query(listen(channel));
    return true;
  }

  /** Says goodbye, or hangs up on a statement that is under way, which rejects for this reason. */
  async close(reason: Error = new Error('the connection was closed')): Promise<void> {
    if (this.#loss === undefined) {
      this.#loss = reason;
      this.#tell('closed');
      this.#ended(this.#loss);
    }
    const cancel = this.#clock.after(1_000, () => hangUp(this.#client));
    await this.#client.end().catch(() => {});
    cancel();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #tell(change: SessionEvent['change'], error?: Error): void {
    if (!points.session.hasSubscribers) return;
    const { pid, pooled } = this;
    points.session.publish({ change, purpose: this.#purpose, pid, pooled, error });
  }

  /** Comes before the server is ready for the next statement, and so before the answer is handed out. */
  #notice(notice: object): void {
    if (this.#running !== undefined && isSyncRepWarning(notice)) this.#running.warning = notice;
  }

  #lose(loss: Error): void {
    if (this.#loss !== undefined) return;
    this.#loss = loss;
    this.#tell('lost', loss);
    this.#ended(loss);
    hangUp(this.#client);
    this.#heard?.();
  }
}

/** Direct connections get the isolation our statements are made for; a pooler would hand the setting to others. */
const hello = `select pg_backend_pid() as pid, pg_is_in_recovery() as standby,
  case when pg_backend_pid() = $1::integer
    then set_config('default_transaction_isolation', 'read committed', false) end`;

/** FATAL and PANIC end the session; an error without a severity did not come from the server at all. */
function sessionGoesOn(error: unknown): boolean {
  return error instanceof Error && 'severity' in error && error.severity === 'ERROR';
}

function lostBefore(cause: Error): DatabaseError {
  const message =
    cause instanceof StateError ? cause.message : `the connection to the database was lost: ${cause.message}`;
  return new DatabaseError(message, { cause, retriable: true, sqlState: undefined, inDoubt: false });
}

function lostDuring(name: string, cause: unknown): DatabaseError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const message =
    cause instanceof StateError
      ? `this Fencepost was closed while the database ran ${name}`
      : `the connection to the database was lost while it ran ${name}: ${text}`;
  return new DatabaseError(message, { cause, retriable: true, sqlState: undefined, inDoubt: true });
}
