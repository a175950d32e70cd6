export type {
  AcquireEvent,
  BatchEvent,
  ClaimEvent,
  EventKind,
  Failing,
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
export { type Listeners, listen, type SpanListener } from './core/listening.ts';
