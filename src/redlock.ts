export type { ExecutionResult, ExecutionStats } from './redlock/ballot.ts';
export {
  DualLock,
  type DualLockOptions,
  DualLocks,
  dualLock,
  type OldLock,
  type OldLocks,
  type Refusal,
} from './redlock/dual-lock.ts';
export {
  ExecutionError,
  type ExecutionFacts,
  type FailureReason,
  LockError,
  ResourceLockedError,
} from './redlock/errors.ts';
export { type Callback, LegacyLock } from './redlock/legacy-lock.ts';
export { Lock, type LockKeeper } from './redlock/lock.ts';
export { Redlock, Redlock as default, Redlock as 'module.exports' } from './redlock/redlock.ts';
export type { Settings } from './redlock/settings.ts';
export type { RedlockAbortSignal } from './redlock/using.ts';
