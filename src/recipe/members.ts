import type { Duration } from '../core/duration.ts';
import { signal as abortSignal, duration, optional, validate, withDefault } from '../core/options.ts';
import { databaseFailure } from '../core/sqlstate.ts';
import type { ObserveOptions } from '../lease/elections.ts';
import { shortestTtl } from '../lease/lease-options.ts';
import { observe } from '../lease/observing.ts';
import type { LeaseKey } from '../lease/resource.ts';
import type { Kind } from '../session/commands.ts';
import type { Resource } from '../sql/lease.ts';
import { type MemberInfo, membersOf, readMember } from '../sql/recipe.ts';
import { leaseOf, type RecipeContext } from './context.ts';
import { Participation } from './participation.ts';

/** How a group is joined. */
export interface JoinOptions {
  /** How long a member that died is still listed. From 50 ms; 30 seconds by default. */
  readonly ttl?: Duration | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Ephemeral membership: who is there, as long as its process lives. */
export class Members {
  readonly #context: RecipeContext;
  readonly #list: Kind<Resource, readonly MemberInfo[]>;

  /** @internal */
  constructor(context: RecipeContext) {
    this.#context = context;
    this.#list = {
      limit: 1,
      statement: ([group]) => membersOf(context.schema, group as Resource),
      read: (rows) => [rows.map(readMember)],
    };
  }

  /**
   * Joins a group; any number may. `metadata` is an object of at most 4,096 bytes as JSON, which whoever may read the
   * views can read.
   *
   * @throws DatabaseError when the database cannot be asked, ArgumentError for wrong arguments
   *
   * @example
   * await using member = await fencepost.members.join('workers', { address: '10.0.0.7:8080' });
   */
  async join(
    group: LeaseKey,
    metadata?: Readonly<Record<string, unknown>>,
    options?: JoinOptions,
  ): Promise<Participation> {
    const { ttl, signal } = validate('options', options, {
      ttl: withDefault(duration({ min: shortestTtl }), 30_000),
      signal: optional(abortSignal()),
    });
    const { key } = leaseOf('member', 'group', group);
    const lease = await this.#context.leases.acquire(key, { ttl, signal, metadata, mode: 'shared' });
    return new Participation(group, lease);
  }

  /** Who is in the group now, the oldest member first. */
  async list(group: LeaseKey): Promise<readonly MemberInfo[]> {
    return this.#ask(leaseOf('member', 'group', group).resource);
  }

  /**
   * The members now, and then each time that somebody has joined, left or died. What comes and goes between two looks is
   * not seen; an outage is silence. Ends with `break`, with `signal`, and with `fencepost.close()`.
   *
   * @example
   * for await (const members of fencepost.members.watch('workers', { poll: '2s', signal })) {
   *   balance(members.map(({ metadata }) => metadata));
   * }
   */
  watch(group: LeaseKey, options?: ObserveOptions): AsyncIterable<readonly MemberInfo[]> {
    const { resource } = leaseOf('member', 'group', group);
    const { poll, signal } = validate('options', options, {
      poll: withDefault(duration({ min: 10 }), 1_000),
      signal: optional(abortSignal()),
    });
    const { clock, closing } = this.#context;
    closing.throwIfAborted();
    return observe<readonly MemberInfo[]>({
      clock,
      poll,
      ended: signal === undefined ? closing : AbortSignal.any([signal, closing]),
      ask: () => this.#ask(resource),
      differs: (last, now) =>
        last.length !== now.length || last.some(({ token }, index) => token !== now[index]?.token),
      passing: () => false,
    });
  }

  async #ask(resource: Resource): Promise<readonly MemberInfo[]> {
    const { commands, schema } = this.#context;
    try {
      return await commands.submit(this.#list, resource);
    } catch (error) {
      throw databaseFailure('list members', error, schema);
    }
  }
}
