import { pause } from '../core/abort.ts';
import { isRetriable } from '../core/errors.ts';
import type { Holder, LeaseTenure } from '../holder/holder.ts';
import type { Kind, Pending } from '../session/commands.ts';
import type { Held } from '../sql/lease.ts';
import type { LeaseContext } from './context.ts';
import type { Kinds, Returned } from './kinds.ts';
import type { Lease } from './lease.ts';
import { topicOf } from './resource.ts';

/** The way back: what this process gives up, until the server knows of it. */
export class Returning {
  readonly #context: LeaseContext;
  readonly #kindsOf: (holder: Holder) => Kinds;
  /** Those that are free, and of which this process knows it. */
  readonly #told = new WeakSet<Lease>();

  constructor(context: LeaseContext, kindsOf: (holder: Holder) => Kinds) {
    this.#context = context;
    this.#kindsOf = kindsOf;
  }

  /** Who waits in this process for the lease that is given back is told as soon as it is free, before it is on the disk. */
  async giveBack(tenure: LeaseTenure, held: readonly Held[], lease?: Lease): Promise<void> {
    const { notifications } = this.#context;
    const { release } = this.#kindsOf(tenure.holder);
    const awaited =
      notifications.awaited && held.some(({ resource }) => notifications.awaits(topicOf(resource)));
    const tell = (told: Lease) => (): void => {
      this.#told.add(told);
      this.#tell(told);
    };
    const free = lease !== undefined && held.length === 1 && awaited ? tell(lease) : undefined;
    const [first, ...rest] = held.map(({ resource, slot, token }) =>
      this.#insist(release, { resource, slot, token, free }, tenure),
    );
    await (rest.length === 0 ? first : Promise.all([first, ...rest]));
  }

  /** A lease of one row for which nobody waits in this process, and then it has ended; undefined for any other. */
  takeBack(tenure: LeaseTenure, lease: Lease): Promise<void> | undefined {
    if (lease.total !== undefined || this.#context.notifications.awaited) return undefined;
    const { release } = this.#kindsOf(tenure.holder);
    return new Promise((settle) => {
      this.#context.commands.enqueue(release, new TakingBack(this, tenure, lease, settle));
    });
  }

  /** A release whose first try has failed. */
  async goOn(tenure: LeaseTenure, lease: Lease, first: Promise<undefined>): Promise<void> {
    try {
      await this.#insist(this.#kindsOf(tenure.holder).release, lease, tenure, first);
    } finally {
      this.ended(lease);
    }
  }

  /** A call has stopped to wait: it must not stand in the way of those behind it. */
  async withdraw(nonce: string, ttl: number): Promise<void> {
    const holder = await this.#context.holders.use(ttl);
    await this.#insist(this.#kindsOf(holder).withdraw, nonce, holder);
  }

  ended(lease: Lease): void {
    lease.place?.leave(lease);
    if (!this.#told.delete(lease)) this.#tell(lease);
  }

  #tell(lease: Lease): void {
    const { notifications } = this.#context;
    if (!notifications.awaited) return;
    for (const { resource } of lease.held) notifications.tell(topicOf(resource));
  }

  /** Sends it until the server has answered, or until nothing is left to tell because the tenure is over. `first` is sent. */
  async #insist<Sent, Answered>(
    kind: Kind<Sent, Answered>,
    call: Sent,
    tenure: LeaseTenure,
    first?: Promise<Awaited<Answered>>,
  ): Promise<void> {
    const { clock, commands } = this.#context;
    let sent = first;
    for (let pausing = 0; ; pausing = Math.min(tenure.ttl / 20, 500)) {
      try {
        await (sent ?? commands.submit(kind, call));
        return;
      } catch (error) {
        sent = undefined;
        if (tenure.remaining() <= 0) return;
        if (!isRetriable(error)) throw error;
        if (pausing > 0) await pause(clock, pausing);
      }
    }
  }
}

/** A release that is sent once, as most are: this and one promise is all that it costs. */
class TakingBack implements Pending<Returned, undefined> {
  readonly call: Lease;
  readonly #returning: Returning;
  readonly #tenure: LeaseTenure;
  readonly #settle: (outcome: Promise<void> | undefined) => void;

  constructor(
    returning: Returning,
    tenure: LeaseTenure,
    lease: Lease,
    settle: (outcome: Promise<void> | undefined) => void,
  ) {
    this.call = lease;
    this.#returning = returning;
    this.#tenure = tenure;
    this.#settle = settle;
  }

  resolve(): void {
    this.#returning.ended(this.call);
    this.#settle(undefined);
  }

  reject(error: unknown): void {
    this.#settle(this.#returning.goOn(this.#tenure, this.call, Promise.reject(error)));
  }
}
