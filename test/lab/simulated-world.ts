import type { Scheduler } from 'fast-check';
import type { Clock, Moment } from '../../src/core/clock.ts';
import { DatabaseError } from '../../src/core/errors.ts';
import { databaseFailure } from '../../src/core/sqlstate.ts';
import type { Connection, Heard } from '../../src/session/connection.ts';
import type { Row, Statement } from '../../src/sql/statement.ts';
import type { Random } from '../support/random.ts';
import type { ProtocolServer, Reply } from './protocol-server.ts';

/** Time, the same for all; clients see it through clocks of their own. */
export class SimulatedTime {
  now = 1_000;
  readonly #timers = new Set<{ readonly due: number; run(): void }>();

  at(due: number, run: () => void): () => void {
    const timer = { due, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get idle(): boolean {
    return this.#timers.size === 0;
  }

  /** Goes on to what is due next, or by this much if nothing is; runs what is due then. */
  pass(most: number): void {
    let next = this.now + most;
    for (const { due } of this.#timers) next = Math.min(next, Math.max(due, this.now));
    this.now = next;
    for (const timer of [...this.#timers].sort((a, b) => a.due - b.due)) {
      if (timer.due > this.now || !this.#timers.delete(timer)) continue;
      timer.run();
    }
  }
}

/** A process: its clock, its timers, and whether it runs at all. */
export class SimulatedProcess implements Clock {
  readonly #time: SimulatedTime;
  /** How fast its monotonic clock is. */
  readonly #rate: number;
  #wallOffset = 0;
  #frozen = false;
  /** What has happened while it was frozen. Node runs timers before what came from the network. */
  readonly #late: { readonly timer: boolean; run(): void }[] = [];

  constructor(time: SimulatedTime, rate: number) {
    this.#time = time;
    this.#rate = rate;
  }

  now(): Moment {
    const monotonic = this.#time.now * this.#rate;
    return { monotonic, wall: monotonic + this.#wallOffset };
  }

  after(milliseconds: number, callback: () => void): () => void {
    if (milliseconds === Infinity) return () => {};
    let cancelled = false;
    const run = (): void => {
      if (!cancelled) callback();
    };
    const cancel = this.#time.at(this.#time.now + Math.max(0, milliseconds) / this.#rate, () =>
      this.happens(run, true),
    );
    return () => {
      cancelled = true;
      cancel();
    };
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  happens(run: () => void, timer = false): void {
    if (this.#frozen) this.#late.push({ timer, run });
    else run();
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    for (const { run } of this.#late.splice(0).sort((a, b) => Number(b.timer) - Number(a.timer))) run();
  }

  setWall(milliseconds: number): void {
    this.#wallOffset += milliseconds;
  }
}

/** What connections of one process go through, and what becomes of their messages. */
export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  readonly #server: ProtocolServer;
  readonly #process: SimulatedProcess;
  readonly #tell: (what: string) => void;
  readonly #connections = new Set<SimulatedConnection>();
  down = false;

  constructor(
    scheduler: Scheduler,
    server: ProtocolServer,
    process: SimulatedProcess,
    tell: (what: string) => void,
  ) {
    this.#tell = tell;
    this.#scheduler = scheduler;
    this.#server = server;
    this.#process = process;
  }

  /** What a Fencepost asks for where it would open a connection of `pg`. */
  readonly open = async (limit?: number): Promise<Connection> => {
    await this.deliver('connect', limit ?? 10_000);
    const connection = new SimulatedConnection(this, this.#server, this.#process);
    this.#connections.add(connection);
    return connection as unknown as Connection;
  };

  /** Ends when the message has arrived, and the process is there to see it; when the network is down it never does. */
  deliver(what: string, limit: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.#process.after(limit, () => reject(failed(`no ${what} within ${limit} ms`, false)));
      void this.#scheduler.schedule(Promise.resolve(), what).then(() => {
        if (this.down) return;
        this.#tell(what);
        this.#process.happens(() => {
          cancel();
          resolve();
        });
      });
    });
  }

  /** Arrives at some time, whatever happens to the process meanwhile. */
  send(what: string, arrived: () => void): void {
    void this.#scheduler.schedule(Promise.resolve(), what).then(() => {
      if (this.down) return;
      this.#tell(what);
      arrived();
    });
  }

  notify(topic: string): void {
    for (const connection of this.#connections) connection.hear(topic);
  }

  cut(random: Random): void {
    for (const connection of this.#connections) if (random.below(2) === 0) connection.cut();
    for (const connection of this.#connections) if (connection.lost) this.#connections.delete(connection);
  }
}

/** Has the face of `Connection`, and loses answers as that one does. */
class SimulatedConnection {
  readonly pid = 1;
  readonly pooled = false;
  readonly #network: SimulatedNetwork;
  readonly #server: ProtocolServer;
  readonly #process: SimulatedProcess;
  #lost = false;
  #fail: ((loss: Error) => void) | undefined;
  #heard: Heard | undefined;
  #before: Promise<unknown> = Promise.resolve();

  constructor(network: SimulatedNetwork, server: ProtocolServer, process: SimulatedProcess) {
    this.#network = network;
    this.#server = server;
    this.#process = process;
  }

  get lost(): boolean {
    return this.#lost;
  }

  query(statement: Statement, limit = 10_000): Promise<Row[]> {
    const answer = this.#before.then(() => this.#run(statement, limit));
    this.#before = answer.catch(() => {});
    return answer;
  }

  async listen(_: string, heard: Heard): Promise<boolean> {
    await this.#run({ name: 'listen', text: '', values: [] }, 10_000);
    this.#heard = heard;
    return true;
  }

  hear(topic: string): void {
    this.#network.send('notification', () => {
      if (!this.#lost) this.#process.happens(() => this.#heard?.(topic));
    });
  }

  async close(): Promise<void> {
    this.#end(new Error('the connection was closed'));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The server notices as little as the client: what was sent may still arrive there. */
  cut(): void {
    this.#process.happens(() => this.#end(new Error('the network was cut')));
  }

  #end(loss: Error): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#fail?.(loss);
    this.#heard?.();
  }

  async #run(statement: Statement, limit: number): Promise<Row[]> {
    if (this.#lost) throw failed(`the connection was lost before ${statement.name}`, false);
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.#fail = reject;
    const cancel = this.#process.after(limit, () => this.#end(new Error(`no answer within ${limit} ms`)));
    this.#network.send(`request ${statement.name}`, () => {
      const quiet = statement.name === 'listen' || statement.name === 'unlisten';
      const reply: Reply = quiet ? { rows: [] } : this.#server.run(statement);
      this.#network.send(`answer ${statement.name}`, () => {
        this.#process.happens(() => {
          if (!this.#lost) resolve(reply);
        });
      });
    });
    let reply: Reply;
    try {
      reply = await promise;
    } catch (loss) {
      throw failed(`the connection was lost while it ran ${statement.name}: ${loss}`, true);
    } finally {
      cancel();
      this.#fail = undefined;
    }
    if ('rows' in reply) return [...reply.rows];
    const refusal = Object.assign(new Error(reply.sqlState), { severity: 'ERROR', code: reply.sqlState });
    throw databaseFailure(`run ${statement.name}`, refusal);
  }
}

function failed(message: string, inDoubt: boolean): DatabaseError {
  return new DatabaseError(message, { cause: undefined, retriable: true, sqlState: undefined, inDoubt });
}
