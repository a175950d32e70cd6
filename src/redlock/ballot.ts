import { within } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import type { Fencepost } from '../fencepost.ts';

/** What the servers said in one attempt. */
export interface ExecutionStats {
  readonly membershipSize: number;
  readonly quorumSize: number;
  readonly votesFor: Set<Fencepost>;
  readonly votesAgainst: Map<Fencepost, Error>;
}

/** The attempts that an operation took. */
export interface ExecutionResult {
  readonly attempts: ReadonlyArray<Promise<ExecutionStats>>;
}

export interface Ballot {
  /** Whether a majority is for it; known as soon as the votes that are missing cannot change it. */
  readonly passed: Promise<boolean>;
  /** The votes so far. */
  readonly tally: ExecutionStats;
  /** The same, once every server has voted or its time is over. */
  readonly stats: Promise<ExecutionStats>;
}

export interface Voting {
  readonly clock: Clock;
  readonly voters: ReadonlySet<Fencepost>;
  /** Milliseconds that each of them has; after that its vote is against. */
  readonly patience: number;
  /** Is told of each vote against. */
  against(error: Error): void;
}

/** Asks all servers at once. A vote for is what resolves, a vote against what rejects. */
export function ballot(voting: Voting, vote: (voter: Fencepost) => Promise<void>): Ballot {
  const { clock, voters, patience, against } = voting;
  const tally: ExecutionStats = {
    membershipSize: voters.size,
    quorumSize: Math.floor(voters.size / 2) + 1,
    votesFor: new Set(),
    votesAgainst: new Map(),
  };
  const { promise: passed, resolve: decide } = Promise.withResolvers<boolean>();
  const all = [...voters].map(async (voter) => {
    try {
      const inTime = await within(
        clock,
        patience,
        vote(voter).then(() => true),
      );
      if (inTime !== true) throw new Error(`no answer within ${Math.round(patience)} ms`);
      tally.votesFor.add(voter);
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      tally.votesAgainst.set(voter, error);
      against(error);
    }
    if (tally.votesFor.size === tally.quorumSize) decide(true);
    // With two of four against, no majority can come any more.
    if (tally.votesAgainst.size > tally.membershipSize - tally.quorumSize) decide(false);
  });
  return { passed, tally, stats: Promise.all(all).then(() => tally) };
}
