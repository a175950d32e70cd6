import type { Acquisition } from '../core/acquisition.ts';
import type { Ask, Refusal, Resource } from '../sql/lease.ts';
import { totalOf } from '../sql/lease.ts';
import type { Lease } from './lease.ts';
import type { LeaseTerms } from './lease-options.ts';
import type { Aim, Width } from './lines.ts';
import { nextNonce } from './nonce.ts';
import { type Sort, topicOf } from './resource.ts';

/** What is waited for. */
export interface Wanted extends Aim {
  /** One try. */
  attempt(): Promise<Lease | Refusal>;
  /** It ends without the lease, and has a place in a queue. */
  inVain?(): void;
}

/** Who sends what a call asks for. */
export interface Sender {
  try(call: Call, ttl: number, renew: boolean, keep: boolean): Promise<Lease | Refusal>;
  withdraw(nonce: string, ttl: number): Promise<void>;
}

/** A call that wants a lease: one object, field by field, for its line, all its tries and the statement. */
export class Call implements Ask, Wanted {
  readonly resource: Resource;
  readonly nonce: string = nextNonce();
  readonly waits: boolean;
  readonly metadata: string | undefined;
  readonly slots: number;
  readonly total: number | undefined;
  readonly shared: boolean;
  readonly fair: boolean;
  readonly width: Width;
  readonly ttl: number;
  readonly sort: Sort;
  readonly acquisition: Acquisition | undefined;
  readonly #sender: Sender;
  readonly #renew: boolean;
  readonly #keep: boolean;

  constructor(
    sender: Sender,
    resource: Resource,
    terms: LeaseTerms,
    sort: Sort,
    acquisition: Acquisition | undefined,
  ) {
    this.#sender = sender;
    this.resource = resource;
    this.waits = terms.wait > 0;
    this.metadata = terms.metadata;
    this.slots = terms.slots;
    this.total = terms.total;
    this.shared = terms.shared;
    this.fair = terms.fair;
    this.width = terms.width;
    this.ttl = terms.ttl;
    this.#renew = terms.renew;
    this.#keep = terms.keep;
    this.sort = sort;
    this.acquisition = acquisition;
  }

  /** No name has a NUL in it. */
  get name(): string {
    const { tenant, name } = this.resource;
    if (tenant === '') return name;
    return this.total === undefined ? `${tenant}\0${name}` : `${tenant}\0${name}\0`;
  }

  topics(): readonly string[] {
    const { resource } = this;
    return (this.total === undefined ? [resource] : [resource, totalOf(resource)]).map(topicOf);
  }

  attempt(): Promise<Lease | Refusal> {
    return this.#sender.try(this, this.ttl, this.#renew, this.#keep);
  }

  inVain(): void {
    void this.#sender.withdraw(this.nonce, this.ttl).catch(() => {});
  }
}
