export type { AdvisoryLock } from './advisory/advisory-lock.ts';
export type { AdvisoryLockOptions, AdvisoryLocks, LockFor } from './advisory/advisory-locks.ts';
export type { LockInfo } from './advisory/inspect-locks.ts';
export type { TransactionLockOptions, TransactionLocks } from './advisory/transaction-locks.ts';
export type { Claim, ReleaseOptions } from './claim/claim.ts';
export type { Claims } from './claim/claims.ts';
export type {
  ClaimOptions,
  ColumnOf,
  HeldOptions,
  KeptOptions,
  OrderOf,
  RowOptions,
} from './claim/definition.ts';
export type { ClaimFinding } from './claim/findings.ts';
export type { Handler } from './claim/handlers.ts';
export type { PrepareOptions } from './claim/preparing.ts';
export type { ClaimLimits, RowClaims, RowKey } from './claim/row-claims.ts';
export type { AsideRow } from './claim/row-store.ts';
export type { WorkEvent, WorkStats } from './claim/tally.ts';
export type { WorkOptions } from './claim/work-options.ts';
export type { Workers } from './claim/workers.ts';
export type { Duration } from './core/duration.ts';
export {
  ArgumentError,
  DatabaseError,
  type DatabaseFacts,
  FencepostError,
  LimitError,
  LockLostError,
  LockTimeoutError,
  type LossReason,
  PoolerError,
  SchemaError,
  StaleTokenError,
  StandbyError,
  StateError,
} from './core/errors.ts';
export type { Handle, HandleState } from './core/handle.ts';
export type { Key } from './core/key.ts';
export { Fencepost, type FencepostOptions, type Inspect, type SessionOptions } from './fencepost.ts';
export type { CampaignOptions, Elections, ObserveOptions } from './lease/elections.ts';
export { type FencedColumn, fencedColumnSql } from './lease/fenced-column.ts';
export type { HandOverOptions, ResumeOptions } from './lease/hand-over.ts';
export type { HolderInfo, LeaseInfo } from './lease/inspect-leases.ts';
export type { Lease, LeaseState, RenewOptions } from './lease/lease.ts';
export type { LeaseOptions } from './lease/lease-options.ts';
export type { Leases, RevokeOptions } from './lease/leases.ts';
export type { LeaseKey } from './lease/resource.ts';
export type { SweepOptions } from './lease/sweeping.ts';
export type { Term } from './lease/term.ts';
export type { BarrierEntry, BarrierOptions, Barriers, RaiseOptions, WaitOptions } from './recipe/barriers.ts';
export type { Latches, LatchJoinOptions, LatchPart, LatchWaitOptions } from './recipe/latches.ts';
export type { JoinOptions, Members } from './recipe/members.ts';
export type { Participation } from './recipe/participation.ts';
export type { ConnectionSource } from './session/client.ts';
export type {
  CallerTransaction,
  KyselyQuery,
  KyselyTransaction,
  PgTransaction,
  TransactionAdapter,
} from './session/transaction.ts';
export type { Leader } from './sql/leader.ts';
export type { MemberInfo } from './sql/recipe.ts';
