import { LockLostError } from '../core/errors.ts';
import type { Ballot, ExecutionStats } from './ballot.ts';
import { ExecutionError, type FailureReason, ResourceLockedError } from './errors.ts';

type Attempts = ReadonlyArray<Promise<ExecutionStats>>;

const meanings = { locked: 'held by somebody else', lost: 'lost' };

/** Why there was no majority. `refusal`: what it means when a server answered and said no. */
export function failure(
  doing: string,
  attempts: Attempts,
  { tally }: Ballot,
  refusal: 'locked' | 'lost',
): ExecutionError {
  const errors = [...tally.votesAgainst.values()];
  const silent = errors.filter((error) => !isRefusal(error));
  const refused = errors.length - silent.length;
  const { membershipSize: all, quorumSize } = tally;
  const enough = all - quorumSize + 1;
  // A vote that is still missing may be like one or the other: where somebody holds it, that is worth saying.
  const locked = refusal === 'locked' && refused > 0 && silent.length < enough;
  const reason: FailureReason = locked || refused >= enough ? refusal : 'unreachable';
  const said = [
    ...(refused > 0 ? [`${meanings[refusal]} on ${refused}`] : []),
    ...(silent.length > 0 ? [`no answer from ${silent.length}`] : []),
    ...(errors.length === 0 ? ['answered too late by the majority'] : []),
  ];
  const times = attempts.length === 1 ? '1 attempt' : `${attempts.length} attempts`;
  const servers = all === 1 ? '1 server' : `${all} servers`;
  const message = `could not ${doing}: ${said.join(', ')} of ${servers}, after ${times}`;
  return new ExecutionError(message, attempts, {
    reason,
    cause: reason === 'unreachable' ? silent[0] : errors[0],
  });
}

export function lostError(doing: string, attempts: Attempts, round: Ballot | undefined): ExecutionError {
  const [cause] = round?.tally.votesAgainst.values() ?? [];
  const message = `could not ${doing}: the lock has ended, because it expired, was taken away, released, or extended already`;
  return new ExecutionError(message, attempts, { reason: 'lost', cause });
}

function isRefusal(error: Error): boolean {
  return error instanceof ResourceLockedError || error instanceof LockLostError;
}
