/** What can go wrong, and what is promised all the same. Tests name the ones they make in their tags. */
export interface Scenario {
  readonly id: string;
  readonly fault: string;
  readonly promise: string;
}

export const scenarios: readonly Scenario[] = [
  {
    id: 'F01',
    fault: 'SIGKILL an idle holder',
    promise: 'Session lock free < 1 s; lease free at its expiry',
  },
  { id: 'F02', fault: 'SIGKILL a waiter', promise: 'The queue moves on within the check interval + 0.5 s' },
  {
    id: 'F03',
    fault: 'SIGKILL between acquire and its answer',
    promise: 'Freed by ttl; the next token is larger',
  },
  {
    id: 'F04',
    fault: 'SIGSTOP past the ttl, lease stolen, SIGCONT',
    promise: 'Every guarded write of the old holder is refused; assertHeld throws before its first step',
  },
  {
    id: 'F05',
    fault: 'SIGSTOP a session-lock holder',
    promise: 'Freed by the idle timeout when set; else documented as held',
  },
  {
    id: 'F06',
    fault: 'Event loop blocked past the ttl',
    promise: 'Signal aborted before any further step that asks; a lost lease is never renewed',
  },
  { id: 'F07', fault: 'Freeze plus server-side close', promise: 'No unguarded step after resume' },
  {
    id: 'F08',
    fault: 'Monotonic clock stops, wall clock jumps',
    promise: 'The lease counts as lost (injected clocks)',
  },
  {
    id: 'F09',
    fault: 'pg_terminate_backend of a holder',
    promise: 'Signal aborted, process alive, other locks intact',
  },
  { id: 'F10', fault: 'pg_terminate_backend while acquiring', promise: 'Rejects; nothing left in pg_locks' },
  { id: 'F11', fault: 'Lock timeout racing the grant', promise: '>= 100,000 trials, 0 locks left' },
  { id: 'F12', fault: 'AbortSignal racing the grant', promise: '>= 100,000 trials, 0 locks left' },
  { id: 'F13', fault: 'Client-side timeout', promise: 'No lock granted to nobody later' },
  { id: 'F14', fault: "Error in the caller's transaction", promise: 'Release still works' },
  {
    id: 'F15',
    fault: 'Fast restart',
    promise: 'All session locks reported lost; re-acquired after back-off',
  },
  {
    id: 'F16',
    fault: 'Immediate stop at a random point',
    promise: 'No acknowledged lease lost; tokens increase',
  },
  {
    id: 'F17',
    fault: 'SIGKILL another backend',
    promise: 'All session locks reported lost; re-acquired after back-off',
  },
  {
    id: 'F18',
    fault: 'Immediate stop at a random point where the database default is synchronous_commit = off',
    promise: 'No acknowledged lease lost; tokens increase',
  },
  { id: 'F19', fault: 'Half-open, idle', promise: 'The server frees within the configured bound' },
  {
    id: 'F20',
    fault: 'Half-open, answer not acknowledged',
    promise: 'The server frees within the configured bound',
  },
  { id: 'F21', fault: 'Half-open, client side', promise: 'Lost at the deadline without any socket event' },
  {
    id: 'F22',
    fault: 'Cut after COMMIT was sent',
    promise: 'Acquire resolves to the truth by nonce; never two tokens for one call',
  },
  { id: 'F23', fault: 'Answer slower than the ttl', promise: 'Acquire rejects and releases' },
  { id: 'F24', fault: 'Heartbeat under way while releasing', promise: 'Never resurrected' },
  {
    id: 'F25',
    fault: 'Eight or more clients on one key',
    promise: '0 token inversions in 1,000,000 acquisitions',
  },
  {
    id: 'F26',
    fault: 'Row blocked 1.5 x ttl by another transaction',
    promise: 'The lease returned has >= 0.9 ttl left',
  },
  { id: 'F27', fault: 'Sequence altered to CACHE 20', promise: 'Refused at start' },
  { id: 'F28', fault: 'Lease row deleted by an administrator', promise: 'The next token is still larger' },
  { id: 'F29', fault: 'Database created from a template, then crash', promise: 'Tokens not reused' },
  {
    id: 'F30',
    fault: 'Promotion of a lagging standby',
    promise: "Tokens increase; old holders' writes refused",
  },
  { id: 'F31', fault: 'Both primaries alive', promise: 'A fenced resource accepts only the newer timeline' },
  { id: 'F32', fault: 'Cancel during the wait for a synchronous standby', promise: 'Acquire rejects' },
  { id: 'F33', fault: 'Restore or logical copy (other system identifier)', promise: 'Refused until adopted' },
  { id: 'F34', fault: 'Connected to a standby', promise: 'Typed error, never a local lock' },
  {
    id: 'F35',
    fault: 'PgBouncer, transaction mode',
    promise: 'Session API refuses; everything else passes its whole suite through it',
  },
  {
    id: 'F36',
    fault: 'Two keys, two orders',
    promise: 'AcquireAll never deadlocks; after 40P01 nothing is left held',
  },
  { id: 'F37', fault: 'Lock table full', promise: 'Typed error; recovers' },
  {
    id: 'F38',
    fault: 'Hostile planner settings, REPEATABLE READ by default',
    promise: 'Never more rows than asked',
  },
  {
    id: 'F39',
    fault: 'Worker SIGKILLed at random steps',
    promise: 'Every job done at least once; never two accepted completions',
  },
  { id: 'F40', fault: 'Hostile role, foreign tenant, 10 kB key, identifier injection', promise: 'Refused' },
  { id: 'F41', fault: 'Server clock steps by an hour either way', promise: 'Never two accepted writers' },
  { id: 'F42', fault: 'Two tasks of one process on one key; names with one hash', promise: 'Exclusive' },
];
