export type {
  AcquireEvent,
  BatchEvent,
  ClaimEvent,
  EventKind,
  GrantEvent,
  GuardEvent,
  HoldingSubject,
  LossEvent,
  ReleaseEvent,
  RenewEvent,
  SessionEvent,
  SettleEvent,
  Subject,
  WaitEvent,
} from './core/events.ts';
export { type Listeners, listen } from './core/listening.ts';
