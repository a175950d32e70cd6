import { nextTick } from 'node:process';
import type { Clock } from '../core/clock.ts';
import { spans } from '../core/events.ts';
import { isCollision } from '../core/sqlstate.ts';
import type { Row, Statement } from '../sql/statement.ts';
import { Link, type Session } from './link.ts';

/** Calls that can travel together: many of them become one statement, its rows become their answers. */
export interface Kind<Call, Answer> {
  /** Most calls in one statement. */
  readonly limit: number;
  /** So many calls are worth a statement of their own; 128 by default. */
  readonly share?: number;
  statement(calls: readonly Call[]): Statement;
  /** One more statement that the answers have to wait for. */
  confirm?(rows: readonly Row[], calls: readonly Call[]): Statement | undefined;
  read(rows: readonly Row[], calls: readonly Call[]): readonly Answer[];
  /** What has to be done about a statement that failed. The calls reject with its error, unless this has answers. */
  failed?(error: unknown, calls: readonly Call[]): Failed<Answer> | Promise<Failed<Answer>>;
}

/** A call, and what is done with its answer: at once, before those of the calls behind it are looked at. */
export interface Pending<Call, Answer> {
  readonly call: Call;
  resolve(answer: Awaited<Answer> | PromiseLike<Awaited<Answer>>): void;
  reject(error: unknown): void;
}

type Failed<Answer> = readonly Answer[] | undefined;

interface Lane {
  readonly link: Link;
  busy: boolean;
}

/** So many calls are worth a statement of their own: at 256 callers 59,000 leases a second, with 64 of them 50,000. */
const share = 128;

/**
 * Group commit: calls that arrive while a round trip is under way travel together in the next one. Nobody waits for
 * company: an idle lane sends as soon as the code that runs at present is done, promises included.
 */
export class Commands {
  readonly #lanes: Lane[];
  /** Queues with something to send, the one that waited longest first. */
  readonly #queues = new Map<object, Sendable>();
  #scheduled = false;

  constructor(open: (limit?: number) => Promise<Session>, clock: Clock, lanes = 2) {
    this.#lanes = Array.from({ length: lanes }, () => ({ link: new Link(open, clock), busy: false }));
  }

  /** Nothing is under way and nothing waits. */
  get idle(): boolean {
    return this.#queues.size === 0 && !this.#lanes.some(({ busy }) => busy);
  }

  /** Sends a call once. A loss of the connection rejects it: only the caller knows whether to repeat it is right. */
  submit<Call, Answer>(kind: Kind<Call, Answer>, call: Call): Promise<Awaited<Answer>> {
    return new Promise((resolve, reject) => this.enqueue(kind, { call, resolve, reject }));
  }

  /** The same for who brings what hears of the answer. It may not throw. */
  enqueue<Call, Answer>(kind: Kind<Call, Answer>, pending: Pending<Call, Answer>): void {
    let queue = this.#queues.get(kind) as Queue<Call, Answer> | undefined;
    if (queue === undefined) {
      queue = new Queue(kind);
      this.#queues.set(kind, queue);
    }
    if (!this.#scheduled) {
      this.#scheduled = true;
      nextTick(() => {
        this.#scheduled = false;
        this.#dispatch();
      });
    }
    queue.add(pending);
  }

  /** A statement that travels alone, and the first row of its answer. */
  run(statement: Statement): Promise<Row | undefined> {
    return this.submit(alone, statement);
  }

  #dispatch(): void {
    let waiting = 0;
    let least = share;
    for (const queue of this.#queues.values()) {
      waiting += queue.size;
      least = Math.max(least, queue.share);
    }
    for (const lane of this.#lanes) {
      if (waiting <= 0) return;
      if (lane.busy) continue;
      this.#start(lane);
      waiting -= least;
    }
  }

  #start(lane: Lane): void {
    lane.busy = true;
    this.#work(lane.link).then(
      () => {
        lane.busy = false;
        this.#dispatch();
      },
      (error: unknown) => {
        lane.busy = false;
        // Another lane at work takes what waits. Without one nobody would.
        if (this.#lanes.some((one) => one.busy)) return;
        for (const queue of this.#queues.values()) queue.fail(error);
        this.#queues.clear();
      },
    );
  }

  async #work(link: Link): Promise<void> {
    const session = link.present ?? (await link.session());
    for (const [kind, queue] of this.#queues) {
      this.#queues.delete(kind);
      // Not all of many: while the server is at work on the rest, this process can be at work on the answers to these.
      const sent = queue.send(session, Math.max(queue.share, Math.ceil(queue.size / this.#lanes.length)));
      if (queue.size > 0) this.#queues.set(kind, queue);
      await sent;
      if (session.lost) return;
    }
  }
}

const alone: Kind<Statement, Row | undefined> = {
  limit: 1,
  statement: ([statement]) => statement as Statement,
  read: ([row]) => [row],
};

/** A queue as its lane sees it. */
interface Sendable {
  readonly size: number;
  readonly share: number;
  /** Sends so many at most. */
  send(session: Session, most: number): Promise<void>;
  fail(error: unknown): void;
}

/** The calls of one kind that have not been sent yet. */
class Queue<Call, Answer> implements Sendable {
  readonly #kind: Kind<Call, Answer>;
  readonly #pending: Pending<Call, Answer>[] = [];

  constructor(kind: Kind<Call, Answer>) {
    this.#kind = kind;
  }

  get size(): number {
    return this.#pending.length;
  }

  get share(): number {
    return this.#kind.share ?? share;
  }

  add(pending: Pending<Call, Answer>): void {
    this.#pending.push(pending);
  }

  fail(error: unknown): void {
    for (const pending of this.#pending.splice(0)) pending.reject(error);
  }

  async send(session: Session, most: number): Promise<void> {
    const batch = this.#pending.splice(0, Math.min(this.#kind.limit, most));
    const calls = batch.map((pending) => pending.call);
    let answers: readonly Answer[];
    try {
      answers = await this.#ask(session, calls);
    } catch (error) {
      for (const pending of batch) pending.reject(error);
      return;
    }
    for (let place = 0; place < batch.length; place += 1)
      batch[place]?.resolve(answers[place] as Awaited<Answer>);
  }

  /** A collision (40001, 40P01, 55P03) did nothing: the statement is sent again. */
  async #ask(session: Session, calls: readonly Call[]): Promise<readonly Answer[]> {
    const kind = this.#kind;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const rows = await run(session, kind.statement(calls), calls.length);
        const more = kind.confirm?.(rows, calls);
        if (more !== undefined) await session.query(more);
        return kind.read(rows, calls);
      } catch (error) {
        if (isCollision(error) && attempt < 10) continue;
        const answers = await kind.failed?.(error, calls);
        if (answers === undefined) throw error;
        return answers;
      }
    }
  }
}

function run(session: Session, statement: Statement, calls: number): Promise<Row[]> {
  if (!spans.batch.hasSubscribers) return session.query(statement);
  return spans.batch.tracePromise(() => session.query(statement), { statement: statement.name, calls });
}
