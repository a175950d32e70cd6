import { DatabaseError } from '../core/errors.ts';
import type { Holder } from '../holder/holder.ts';
import type { Kind } from '../session/commands.ts';
import {
  type Answer,
  type Ask,
  acquireLeases,
  type Claimant,
  type Held,
  readAnswers,
  readFound,
  releaseLeases,
  renewLeases,
} from '../sql/lease.ts';

/** Calls in one statement: enough to share its cost, few enough that nobody waits long for the others. */
const limit = 512;

/** The calls of one claimant that can travel together. */
export interface Kinds {
  readonly acquire: Kind<Ask, Answer>;
  /** Answers whether the lease was still there, with this token. */
  readonly release: Kind<Held, boolean>;
  /** Of leases with a fixed term. Answers whether the lease was still there, with this token, and unexpired. */
  readonly renew: Kind<Held, boolean>;
}

export function kindsOf(schema: string, claimant: Claimant, holder?: Holder): Kinds {
  const { id, term = 0 } = claimant;
  return {
    acquire: {
      limit,
      statement: (asks) => acquireLeases(schema, claimant, asks),
      read: ([row], asks) => readAnswers(row, asks.length),
      failed(_, error) {
        if (error instanceof DatabaseError && error.inDoubt) holder?.distrust();
      },
    },
    release: {
      limit,
      statement: (held) => releaseLeases(schema, id, held),
      read: ([row], held) => readFound(row, held.length),
    },
    renew: {
      limit,
      statement: (held) => renewLeases(schema, id, term, held),
      read: ([row], held) => readFound(row, held.length),
    },
  };
}
