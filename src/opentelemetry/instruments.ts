import type { Meter } from '@opentelemetry/api';

/** Bounds of buckets in seconds: from a round trip to a job of an hour. */
const seconds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600,
];
/** Bounds in calls: up to the most that travel in one statement. */
const sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/** What is measured. docs/observability.md lists them, and a test holds the two together. */
export function instrumentsOf(meter: Meter) {
  const time = (name: string, description: string) =>
    meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries: seconds } });
  const size = (name: string, description: string, unit: string) =>
    meter.createHistogram(name, { description, unit, advice: { explicitBucketBoundaries: sizes } });
  const counter = (name: string, description: string, unit: string) =>
    meter.createCounter(name, { description, unit });
  const level = (name: string, description: string, unit: string) =>
    meter.createUpDownCounter(name, { description, unit });
  return {
    wait: time('fencepost.lock.wait.duration', 'How long calls waited for a lock that was not free.'),
    hold: time('fencepost.lock.hold.duration', 'How long locks were held.'),
    contentions: counter(
      'fencepost.lock.contentions',
      'Calls that found a lock taken: they waited, or were refused.',
      '{call}',
    ),
    grants: counter('fencepost.lock.grants', 'Locks that were granted.', '{grant}'),
    timeouts: counter('fencepost.lock.timeouts', 'Calls whose wait ran out.', '{call}'),
    failures: counter('fencepost.lock.failures', 'Calls for a lock that ended with an error.', '{call}'),
    losses: counter('fencepost.lock.losses', 'Locks that were lost while they were held.', '{loss}'),
    held: level('fencepost.lock.held', 'Locks that this process holds.', '{lock}'),
    guards: counter(
      'fencepost.guard.checks',
      'Fencing tokens that were checked in a transaction.',
      '{check}',
    ),
    renewLag: time('fencepost.renew.lag', 'How much later than planned heartbeats were sent.'),
    renewDuration: time('fencepost.renew.duration', 'How long heartbeats took to be answered.'),
    renewFailures: counter('fencepost.renew.failures', 'Heartbeats that were not answered.', '{heartbeat}'),
    inFlight: level('fencepost.claim.in_flight', 'Rows that are claimed and not settled.', '{row}'),
    claimed: size('fencepost.claim.size', 'Rows that one call claimed.', '{row}'),
    settlements: counter('fencepost.claim.settlements', 'Claims that were settled, by outcome.', '{row}'),
    batch: size('fencepost.batch.size', 'Calls that shared a statement.', '{call}'),
    connections: level('fencepost.connections', 'Connections that Fencepost has open.', '{connection}'),
  };
}

export type Instruments = ReturnType<typeof instrumentsOf>;
