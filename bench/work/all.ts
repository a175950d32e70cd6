import type { Work } from '../runner/bench.ts';
import { claimBacklog } from './claim-backlog.ts';
import { claimLatency } from './claim-latency.ts';
import { claims } from './claims.ts';
import { footprint } from './footprint.ts';
import { guard } from './guard.ts';
import { handOver } from './hand-over.ts';
import { held } from './held.ts';
import { locks } from './locks.ts';
import { looking } from './looking.ts';
import { takeOver } from './take-over.ts';

export const works: readonly Work[] = [
  locks,
  handOver,
  takeOver,
  held,
  guard,
  claims,
  claimLatency,
  claimBacklog,
  footprint,
  looking,
];
