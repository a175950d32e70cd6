/** What a process does that holds. */
import { lockPeer } from '../peers/locks.ts';
import type { Held } from '../peers/peer.ts';
import type { Places } from '../runner/servers.ts';

/** What is held is kept, as its owner would keep it. */
const all: Held[] = [];
let before = process.cpuUsage();
let lost = 0;

// What is lost while it is held is told by some libraries in this way only.
process.on('unhandledRejection', () => (lost += 1));
process.on('uncaughtException', () => (lost += 1));

export async function hold(
  name: string,
  places: Places,
  count: number,
  ttl: number,
  key = 'held',
): Promise<void> {
  const opened = await lockPeer(name).open(places);
  for (let done = 0; done < count; done += 1_000) {
    const part = Array.from({ length: Math.min(1_000, count - done) }, (_, n) =>
      opened.hold(count === 1 ? key : `${key} ${done + n}`, ttl),
    );
    all.push(...(await Promise.all(part)));
  }
}

export function startCounting(): void {
  before = process.cpuUsage();
  lost = 0;
}

/** Seconds of processor time since it was told to count, and how many errors nobody caught. */
export function counted(): { processor: number; lost: number } {
  const { user, system } = process.cpuUsage(before);
  return { processor: (user + system) / 1e6, lost };
}
