import { bareClaims } from './bare-claims.ts';
import { bareDeletes } from './bare-deletes.ts';
import { claims, fairClaims } from './fencepost-claims.ts';
import { graphile, graphileLocalQueue } from './graphile-worker.ts';
import type { JobPeer } from './job-peer.ts';
import { pgBoss } from './pg-boss.ts';

/** Everybody who works through rows. */
export const jobPeers = [claims, bareClaims, bareDeletes, graphile, graphileLocalQueue, pgBoss] as const;

const all: readonly JobPeer[] = [...jobPeers, fairClaims];

export function jobPeer(name: string): JobPeer {
  const peer = all.find((one) => one.name === name);
  if (peer === undefined) throw new Error(`no peer ${name}`);
  return peer;
}
