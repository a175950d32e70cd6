import type { Clock } from '../core/clock.ts';
import { unlisten } from '../sql/notification.ts';
import type { Connection } from './connection.ts';
import type { Link } from './link.ts';

/** How long it goes on listening after the last one has stopped to wait, in milliseconds. */
const afterglow = 5_000;

/**
 * What other processes tell of leases. It listens only while somebody waits, on a connection that is there anyway.
 * Messages are hints: who waits looks again by itself, too.
 */
export class Notifications {
  readonly #link: Link<Connection>;
  readonly #channel: string;
  readonly #clock: Clock;
  readonly #topics = new Map<string, Set<() => void>>();
  #connection: Connection | undefined;
  #beginning: Promise<boolean> | undefined;
  #waiting = 0;
  #cancelEnd = (): void => {};

  constructor(link: Link<Connection>, channel: string, clock: Clock) {
    this.#link = link;
    this.#channel = channel;
    this.#clock = clock;
  }

  /** Whether messages arrive at present. */
  get listening(): boolean {
    return this.#connection !== undefined && !this.#connection.lost;
  }

  /** Somebody waits. */
  get awaited(): boolean {
    return this.#waiting > 0;
  }

  /** Somebody wants to be told of a topic. */
  awaits(topic: string): boolean {
    return this.#topics.has(topic);
  }

  /** Sees to it that messages arrive; false where that cannot be had now. Never rejects. */
  listen(): Promise<boolean> {
    if (this.listening) return Promise.resolve(true);
    this.#beginning ??= this.#begin().finally(() => {
      this.#beginning = undefined;
    });
    return this.#beginning;
  }

  /** Whether a pooler stands between, which swallows messages. */
  async pooled(): Promise<boolean> {
    return (await this.#link.session()).pooled;
  }

  /** Calls back for messages of a topic, as long as it is listening. The answer ends that. */
  hear(topic: string, wake: () => void): () => void {
    let wakes = this.#topics.get(topic);
    if (wakes === undefined) {
      wakes = new Set();
      this.#topics.set(topic, wakes);
    }
    wakes.add(wake);
    return () => {
      wakes.delete(wake);
      if (wakes.size === 0) this.#topics.delete(topic);
    };
  }

  /** What this process knows by itself: it has released something. */
  tell(topic: string): void {
    for (const wake of this.#topics.get(topic) ?? []) wake();
  }

  /** As `hear`, for somebody who waits for it. */
  wait(topic: string, wake: () => void): () => void {
    const stop = this.hear(topic, wake);
    this.#waiting += 1;
    this.#cancelEnd();
    return () => {
      stop();
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#cancelEnd = this.#clock.after(afterglow, () => this.#end());
    };
  }

  async #begin(): Promise<boolean> {
    try {
      const connection = await this.#link.session();
      if (!(await connection.listen(this.#channel, (message) => this.#heard(message)))) return false;
      this.#connection = connection;
      return !connection.lost;
    } catch {
      return false;
    }
  }

  #heard(message: string | undefined): void {
    // After a loss nobody knows what was missed.
    const topics = message === undefined ? [...this.#topics.keys()] : message.split(',');
    if (message === undefined) this.#connection = undefined;
    for (const topic of topics) this.tell(topic);
  }

  #end(): void {
    const connection = this.#connection;
    if (this.#waiting > 0 || connection === undefined) return;
    this.#connection = undefined;
    connection.query(unlisten).catch(() => {});
  }
}
