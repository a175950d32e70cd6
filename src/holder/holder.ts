import { pause, within } from '../core/abort.ts';
import { Chain, type Place } from '../core/chain.ts';
import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import { ArgumentError, DatabaseError, type LossReason } from '../core/errors.ts';
import { type RenewEvent, spans } from '../core/events.ts';
import { type Holding, marginOf, type Tenure } from '../core/handle.ts';
import { holderExpired } from '../core/sqlstate.ts';
import type { Connection } from '../session/connection.ts';
import type { Link } from '../session/link.ts';
import {
  beatHolder,
  closeHolder,
  fenceHolder,
  openHolder,
  readRevoked,
  revokedOf,
  settleHolder,
} from '../sql/holder.ts';
import type { Held } from '../sql/lease.ts';

/** What keeps a lease alive: the process's heartbeat, or a fixed term of its own. */
export interface LeaseTenure extends Tenure {
  /** Who acquired it, and alone may release or renew it. */
  readonly holder: Holder;
  readonly ttl: number;
  /**
   * Ends when the server has confirmed it, or with the tenure; rejects when the server could not be asked. `ttl`: that
   * of the next term, where each has one of its own.
   */
  renew(held: readonly Held[], ttl?: number): Promise<void>;
}

/** What a holder needs of its surroundings. */
export interface HolderContext {
  /** For heartbeats, and nothing that can wait for a lock. */
  readonly link: Link;
  open(): Promise<Connection>;
  readonly clock: Clock;
  readonly schema: string;
  readonly application: string;
  /** Is told what an operator has taken away from a holder of this process. */
  revoked(taken: readonly Held[]): void;
  /** The server has failed over: what the process holds under this holder is to be compared with what is there now. */
  moved(holder: Holder): Promise<void>;
}

/**
 * A living process as the database knows it: one row, one heartbeat, whatever hangs on it.
 *
 * live -> lost (it could not renew in time, or the server says it is dead) or closed. There is no way back: the
 * process goes on with a new holder.
 */
export class Holder implements LeaseTenure {
  readonly id: string;
  readonly ttl: number;
  readonly #context: HolderContext;
  readonly #holdings = new Chain<Holding>();
  #state: 'live' | 'lost' | 'closed' = 'live';
  /** When the last heartbeat was sent that the server confirmed: the trust window counts from there. */
  #confirmed: Moment;
  #epoch = 0;
  #doubtful = false;
  #calls = 0;
  #idleBeats = 0;
  #beating: Promise<void> | undefined;
  #fencing: Promise<void> | undefined;
  #settling: Promise<unknown> | undefined;
  #cancelBeat = (): void => {};
  #cancelDeadline = (): void => {};

  private constructor(context: HolderContext, id: string, ttl: number, sent: Moment) {
    this.#context = context;
    this.id = id;
    this.ttl = ttl;
    this.#confirmed = sent;
    this.#watchDeadline();
    this.#planBeat(ttl / 3);
  }

  static async open(context: HolderContext, ttl: number): Promise<Holder> {
    for (let tries = 1; ; tries += 1) {
      const sent = context.clock.now();
      try {
        const [row] = await context.link.query(openHolder(context.schema, ttl, context.application));
        return new Holder(context, row?.answer ?? '', ttl, sent);
      } catch (error) {
        // A heartbeat of another holder may have given the connection up. One holder too many just expires.
        if (!(error instanceof DatabaseError && error.inDoubt) || tries === 2) throw error;
      }
    }
  }

  get holder(): this {
    return this;
  }

  /** Acquires carry it; those that were sent before a doubt was settled are refused by it. */
  get epoch(): number {
    return this.#epoch;
  }

  get live(): boolean {
    return this.remaining() > 0;
  }

  get doubtful(): boolean {
    return this.#doubtful;
  }

  remaining(): number {
    if (this.#state !== 'live') return 0;
    const left = this.ttl - marginOf(this.ttl) - elapsed(this.#confirmed, this.#context.clock.now());
    if (left <= 0) this.#end('lost', 'expired');
    return left;
  }

  add(holding: Holding): Place<Holding> {
    return this.#holdings.add(holding);
  }

  /** A call begins that wants something of it: it is not closed for want of use before that has ended. */
  begin(): void {
    this.#calls += 1;
  }

  end(): void {
    this.#calls -= 1;
  }

  /** One heartbeat renews all that is held: sends it now, or joins the one under way. */
  renew(_held?: readonly Held[], ttl = this.ttl): Promise<void> {
    if (ttl !== this.ttl)
      throw new ArgumentError('options.ttl', 'nothing, as the lease lives on a heartbeat (renew: true)', ttl);
    this.#beating ??= this.#tellBeat().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  /** It lives, and at least nine tenths of the ttl are left. */
  get fresh(): boolean {
    return this.#state === 'live' && elapsed(this.#confirmed, this.#context.clock.now()) < this.ttl / 20;
  }

  /** Sees to it that it is fresh, as far as that can be had quickly. */
  async freshen(): Promise<void> {
    if (this.fresh) return;
    await within(this.#context.clock, this.ttl / 3, this.renew()).catch(() => {});
  }

  /**
   * A connection was lost with acquires of this holder under way. Before anything is asked again the server has to
   * let them end and to refuse those that have not begun.
   */
  distrust(): void {
    this.#fencing ??= this.#fence().finally(() => {
      this.#fencing = undefined;
    });
  }

  /** Ends when no doubt is left, or with the holder. */
  async settled(): Promise<void> {
    await this.#fencing;
  }

  /** Ends the holder on the server too; what it still held is free at once. */
  async close(): Promise<void> {
    if (this.#state !== 'live') return;
    this.#end('closed', 'closed');
    await this.#context.link.query(closeHolder(this.#context.schema, this.id), this.ttl);
  }

  async die(): Promise<void> {
    await this.#context.link.query(closeHolder(this.#context.schema, this.id), this.ttl);
    this.buried();
  }

  /** The server says that this holder is dead. */
  buried(): void {
    this.#end('lost', 'expired');
  }

  #tellBeat(): Promise<void> {
    if (!spans.renew.hasSubscribers) return this.#beat();
    const { id, ttl } = this;
    const since = elapsed(this.#confirmed, this.#context.clock.now());
    const lag = Math.max(0, since - ttl / 3);
    const event: RenewEvent = { of: 'holder', holder: id, key: undefined, ttl, since, lag };
    return spans.renew.tracePromise(async () => {
      await this.#beat();
      event.alive = this.live;
    }, event);
  }

  async #beat(): Promise<void> {
    const { clock, link, schema } = this.#context;
    if (!this.live) return;
    const sent = clock.now();
    // Short enough that a second try, on another connection, can still come in time.
    const [row] = await link.query(beatHolder(schema, this.id), Math.max(this.ttl / 5, 50));
    // The answer may have come too late: then what it says about the server is not what others were told here.
    if (!this.live) return;
    if (row?.alive !== 't') return this.buried();
    if (elapsed(this.#confirmed, sent) > 0) this.#confirmed = sent;
    this.#doubtful = false;
    // When that fails, the next heartbeat says it again.
    if (row.revoked === 't') this.#learn().catch(() => {});
    if (row.moved === 't') this.#settle();
  }

  /** Asks what was revoked, and again with what it has been told, until the server knows that it knows. */
  async #learn(): Promise<void> {
    const { link, revoked, schema } = this.#context;
    for (let told: Held[] = [], first = true; first || told.length > 0; first = false) {
      const [row] = await link.query(revokedOf(schema, this.id, told), this.ttl / 5);
      told = readRevoked(row);
      revoked(told);
    }
  }

  /** After a failover to a standby that may have lacked grants, and releases. When it fails, the next heartbeat says it again. */
  #settle(): void {
    const { link, moved, schema } = this.#context;
    this.#settling ??= moved(this)
      .then(() => link.query(settleHolder(schema, this.id), this.ttl / 5))
      .catch(() => {})
      .finally(() => {
        this.#settling = undefined;
      });
  }

  #planBeat(delay: number): void {
    this.#cancelBeat();
    if (this.#state === 'live') this.#cancelBeat = this.#context.clock.after(delay, () => this.#beatOrRest());
  }

  #beatOrRest(): void {
    // The deadline comes first: a process that slept past it must not renew.
    if (!this.live) return;
    const early = this.ttl / 3 - elapsed(this.#confirmed, this.#context.clock.now());
    if (early > 1) {
      this.#planBeat(early);
      return;
    }
    this.#idleBeats = this.#holdings.empty && this.#calls === 0 ? this.#idleBeats + 1 : 0;
    if (this.#idleBeats > 3) {
      this.close().catch(() => {});
      return;
    }
    this.renew().then(
      () => this.#planBeat(this.ttl / 3),
      () => {
        this.#doubtful = true;
        this.#planBeat(Math.min(this.ttl / 20, 500));
      },
    );
  }

  #watchDeadline(): void {
    this.#cancelDeadline = this.#context.clock.after(Math.max(1, this.remaining()), () => {
      if (this.live) this.#watchDeadline();
    });
  }

  async #fence(): Promise<void> {
    const { clock, open, schema } = this.#context;
    while (this.live) {
      try {
        const connection = await open();
        const [row] = await connection
          .query(fenceHolder(schema, this.id), this.remaining())
          .finally(() => connection.close());
        this.#epoch = Number(row?.answer);
        return;
      } catch (error) {
        if (error instanceof DatabaseError && error.sqlState === holderExpired) return this.buried();
        await pause(clock, Math.min(this.ttl / 20, 500));
      }
    }
  }

  #end(state: 'lost' | 'closed', reason: LossReason): void {
    if (this.#state !== 'live') return;
    this.#state = state;
    this.#cancelBeat();
    this.#cancelDeadline();
    for (const holding of this.#holdings.list()) holding.lose(reason);
  }
}
