import type { Holder } from '../holder/holder.ts';
import type { Kind } from '../session/commands.ts';
import {
  type Answer,
  type Ask,
  acquireLeases,
  type Claimant,
  type Held,
  readAnswers,
  releaseLeases,
} from '../sql/lease.ts';
import { numbersOf } from '../sql/statement.ts';

/** Calls in one statement: enough to share its cost, few enough that nobody waits long for the others. */
const limit = 512;

/** The calls of one claimant that can travel together. */
export interface Kinds {
  readonly acquire: Kind<Ask, Answer>;
  /** Answers whether the lease was still there, with this token. */
  readonly release: Kind<Held, boolean>;
}

export function kindsOf(schema: string, claimant: Claimant, holder?: Holder): Kinds {
  return {
    acquire: {
      limit,
      statement: (asks) => acquireLeases(schema, claimant, asks),
      read: ([row], asks) => readAnswers(row, asks.length),
      inDoubt: () => holder?.distrust(),
    },
    release: {
      limit,
      statement: (held) => releaseLeases(schema, claimant.id, held),
      read([row], held) {
        const released = new Set(numbersOf(row?.answer));
        return held.map((_, index) => released.has(String(index + 1)));
      },
    },
  };
}
