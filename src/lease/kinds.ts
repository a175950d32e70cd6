import { DatabaseError } from '../core/errors.ts';
import type { Holder } from '../holder/holder.ts';
import type { Kind } from '../session/commands.ts';
import { UnreplicatedError } from '../session/unreplicated.ts';
import {
  type Answer,
  type Ask,
  acquireLeases,
  type Held,
  readAnswers,
  readFound,
  releaseLeases,
  renewLeases,
  withdraw,
} from '../sql/lease.ts';

/** Calls in one statement: enough to share its cost, few enough that nobody waits long for the others. */
const limit = 512;

/** `unreplicated`: the grant is committed, but a failover may undo it. */
export type Reply =
  | Answer
  | { readonly granted: readonly [Held, ...Held[]]; readonly unreplicated: DatabaseError };

/** The calls of one holder that can travel together. */
export interface Kinds {
  /** Of leases that live as long as the holder. */
  readonly acquire: Kind<Ask, Reply>;
  /** Of leases with a fixed term, which is the ttl of the holder. */
  readonly acquireFixed: Kind<Ask, Reply>;
  /** Of leases with a fixed term. Answers whether the lease was still there, with this token, and unexpired. */
  readonly renewFixed: Kind<Held, boolean>;
  /** Answers whether the lease was still there, with this token. */
  readonly release: Kind<Held, boolean>;
  /** Of the nonces of calls that have stopped to wait: their places in queues. */
  readonly withdraw: Kind<string, undefined>;
}

export function kindsOf(schema: string, holder: Holder): Kinds {
  const acquire = (term: number | undefined): Kind<Ask, Reply> => ({
    limit,
    statement: (asks) => acquireLeases(schema, holder, term, asks),
    read: ([row], asks) => readAnswers(row, asks),
    failed(error, asks) {
      if (error instanceof UnreplicatedError)
        // Those that were refused were refused: only what was granted was to be replicated.
        return readAnswers(error.rows[0], asks).map((answer) =>
          'heldFor' in answer ? answer : { granted: answer, unreplicated: error },
        );
      if (error instanceof DatabaseError && error.inDoubt) holder.distrust();
      return undefined;
    },
  });
  return {
    acquire: acquire(undefined),
    acquireFixed: acquire(holder.ttl),
    renewFixed: {
      limit,
      statement: (held) => renewLeases(schema, holder.id, holder.ttl, held),
      read: ([row], held) => readFound(row, held.length),
    },
    release: {
      limit,
      statement: (held) => releaseLeases(schema, holder.id, held),
      read: ([row], held) => readFound(row, held.length),
      // Done: what a failover brings back belongs to nobody, and ends with this holder.
      failed: (error, held) =>
        error instanceof UnreplicatedError ? readFound(error.rows[0], held.length) : undefined,
    },
    withdraw: {
      limit,
      statement: (nonces) => withdraw(schema, nonces),
      read: (_, nonces) => nonces.map(() => undefined),
    },
  };
}
