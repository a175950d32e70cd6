import { unlessAborted, within } from '../core/abort.ts';
import { Bell } from '../core/bell.ts';
import { type Clock, elapsed, keepAlive } from '../core/clock.ts';
import { isRetriable } from '../core/errors.ts';
import type { Leases } from '../lease/leases.ts';
import { type LeaseKey, resourceOf, topicOf } from '../lease/resource.ts';
import type { Commands } from '../session/commands.ts';
import type { Notifications } from '../session/notifications.ts';
import type { Resource } from '../sql/lease.ts';

/** What recipes need of their surroundings. */
export interface RecipeContext {
  readonly schema: string;
  readonly clock: Clock;
  readonly commands: Commands;
  readonly notifications: Notifications;
  readonly leases: Leases;
  /** Aborts when all is closed. */
  readonly closing: AbortSignal;
}

/** The lease of a recipe. It has a name that no lease of a user has by accident. */
export function leaseOf(recipe: string, argument: string, name: LeaseKey): RecipeLease {
  const { tenant, name: text } = resourceOf(argument, name);
  const key = { tenant, name: ['fencepost', recipe, text] };
  return { key, resource: resourceOf(argument, key) };
}

/** A lease as `leases` want it, and as SQL does. */
export interface RecipeLease {
  readonly key: LeaseKey;
  readonly resource: Resource;
}

/** How long to wait for something, and what ends that early. */
export interface Waiting {
  /** What is told of by messages. */
  readonly resource: Resource;
  /** Milliseconds, or Infinity. */
  readonly wait: number;
  readonly signal: AbortSignal;
}

/** How often it looks again, told or not: the dead tell nobody. Without messages more often. */
const floor = 500;
const poll = 100;

/** Asks until the answer is something; undefined when `wait` has run out. Outages are waited out. */
export async function untilSo<Answer>(
  { clock, notifications }: RecipeContext,
  { resource, wait, signal }: Waiting,
  ask: () => Promise<Answer | undefined>,
): Promise<Answer | undefined> {
  const started = clock.now();
  const left = (): number => (wait === Infinity ? Infinity : wait - elapsed(started, clock.now()));
  const bell = new Bell();
  const stop = notifications.wait(topicOf(resource), () => bell.ring());
  const letGo = keepAlive();
  try {
    for (;;) {
      signal.throwIfAborted();
      bell.reset();
      const { listening } = notifications;
      const answer = await unlessAborted(signal, ask()).catch((error: unknown) => {
        if (signal.aborted || !isRetriable(error)) throw error;
        return undefined;
      });
      if (answer !== undefined || left() <= 0) return answer;
      // Only what is asked after the beginning of listening cannot miss a message.
      if (!listening && (await within(clock, poll, notifications.listen()))) continue;
      const pausing = (listening ? floor : poll) * (0.8 + Math.random() / 5);
      await bell.heard(clock, Math.max(1, Math.min(pausing, left())), signal);
    }
  } finally {
    letGo();
    stop();
  }
}
