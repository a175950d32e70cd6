import { DatabaseError } from '../core/errors.ts';
import type { Holder } from '../holder/holder.ts';
import type { Kind } from '../session/commands.ts';
import { UnreplicatedError } from '../session/unreplicated.ts';
import { type Resumption, readResumed, resume } from '../sql/hand-over.ts';
import {
  type Answer,
  type Ask,
  acquireLeases,
  flushOf,
  type Held,
  knownLeases,
  readAnswers,
  readFound,
  releaseLeases,
  renewLeases,
  withdraw,
} from '../sql/lease.ts';
import type { Row, Statement } from '../sql/statement.ts';

/** Calls in one statement: enough to share its cost, few enough that nobody waits long for the others. */
const limit = 512;

/** `unreplicated`: the grant is committed, but a failover may undo it. */
export type Reply =
  | Answer
  | { readonly granted: readonly [Held, ...Held[]]; readonly unreplicated: DatabaseError };

/** Calls that get a lease. */
export interface Grants<Call> {
  /** As long as the holder lives. */
  readonly living: Kind<Call, Reply>;
  /** With a fixed term, which is the ttl of the holder. */
  readonly fixed: Kind<Call, Reply>;
}

/** A row that is given back. */
export interface Returned extends Held {
  /** Somebody in this process waits for it: called when it is free, which may not be on the disk yet. */
  readonly free?: (() => void) | undefined;
}

/** The calls of one holder that can travel together. */
export interface Kinds {
  readonly acquire: Grants<Ask>;
  /** What another process has handed over. */
  readonly resume: Grants<Resumption>;
  /**
   * Of leases with a fixed term, for so many milliseconds. Answers whether the lease was still there, with this token, and
   * unexpired. Those with the term that they were acquired with travel together.
   */
  renewFixed(ttl: number): Kind<Held, boolean>;
  /** Whether or not the lease was still there, with this token. */
  readonly release: Kind<Returned, undefined>;
  /** Answers whether the server has it as the holder's, with this token. */
  readonly known: Kind<Held, boolean>;
  /** Of the nonces of calls that have stopped to wait: their places in queues. */
  readonly withdraw: Kind<string, undefined>;
}

export function kindsOf(schema: string, holder: Holder): Kinds {
  const grants = <Call>(
    most: number,
    statement: (calls: readonly Call[], term: number | undefined) => Statement,
    read: (row: Row | undefined, calls: readonly Call[]) => readonly Answer[],
  ): Grants<Call> => {
    const kind = (term: number | undefined): Kind<Call, Reply> => ({
      limit: most,
      statement: (calls) => statement(calls, term),
      read: ([row], calls) => read(row, calls),
      failed(error, calls) {
        if (error instanceof UnreplicatedError)
          // Those that were refused were refused: only what was granted was to be replicated.
          return read(error.rows[0], calls).map((answer) =>
            'heldFor' in answer ? answer : { granted: answer, unreplicated: error },
          );
        if (error instanceof DatabaseError && error.inDoubt) holder.distrust();
        return undefined;
      },
    });
    return { living: kind(undefined), fixed: kind(holder.ttl) };
  };
  const renewFixed = (ttl: number): Kind<Held, boolean> => ({
    limit,
    statement: (held) => renewLeases(schema, holder.id, ttl, held),
    read: ([row], held) => readFound(row, held.length),
  });
  const renewAsBefore = renewFixed(holder.ttl);
  return {
    acquire: grants(limit, (asks, term) => acquireLeases(schema, holder, term, asks), readAnswers),
    resume: grants<Resumption>(
      1,
      ([call], term) => resume(schema, holder, term, call as Resumption),
      (row, [call]) => [readResumed(row, call as Resumption) ?? { heldFor: undefined, queued: false }],
    ),
    renewFixed: (ttl) => (ttl === holder.ttl ? renewAsBefore : renewFixed(ttl)),
    release: {
      limit,
      statement: (returned) => {
        const awaited = returned.some(({ free }) => free !== undefined);
        return releaseLeases(schema, holder.id, returned, awaited);
      },
      confirm([row], returned) {
        const flush = flushOf(schema, row);
        if (flush !== undefined) for (const { free } of returned) free?.();
        return flush;
      },
      read: (_, held) => held.map(() => undefined),
      // Done: what a failover brings back belongs to nobody, and ends with this holder.
      failed: (error, held) => (error instanceof UnreplicatedError ? held.map(() => undefined) : undefined),
    },
    known: {
      limit,
      statement: (held) => knownLeases(schema, holder.id, held),
      read: ([row], held) => readFound(row, held.length),
    },
    withdraw: {
      limit,
      statement: (nonces) => withdraw(schema, nonces),
      read: (_, nonces) => nonces.map(() => undefined),
    },
  };
}
