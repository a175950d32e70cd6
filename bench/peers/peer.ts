import type { Places } from '../runner/servers.ts';

export interface Held {
  release(): Promise<unknown>;
}

/** A library that locks, opened. */
export interface LockClient extends AsyncDisposable {
  /** Waits as the library waits by default, for as long as it takes: where it gives up it is asked again. */
  acquire(key: string): Promise<Held>;
  /** Holds a key for as long as the process lives, renewed as the library renews, with such a ttl where it has one. */
  hold(key: string, ttl: number): Promise<Held>;
}

export interface LockPeer {
  readonly name: string;
  /** How it is set up, and who says so. */
  readonly settings: string;
  /** Whose work it is: for the usage of servers. */
  readonly server: 'postgres' | 'redis' | 'redisAlways';
  /** The most locks that it can hold at one time, where that is few, and why. */
  readonly most?: { readonly point: number; readonly why: string };
  /** The most that it can keep renewed, where that is few, and why. */
  readonly holds?: { readonly point: number; readonly why: string };
  open(places: Places): Promise<LockClient>;
}

/** Asks again when a library has given up waiting. */
export async function insist<Answer>(
  once: () => Promise<Answer>,
  gaveUp: (error: unknown) => boolean,
): Promise<Answer> {
  for (;;) {
    try {
      return await once();
    } catch (error) {
      if (!gaveUp(error)) throw error;
    }
  }
}

/** Something that lasts until it is told to end: resolves when it has begun. */
export function lasting(run: (during: () => Promise<void>) => Promise<unknown>): Promise<Held> {
  const begun = Promise.withResolvers<Held>();
  const over = Promise.withResolvers<void>();
  const running = run(async () => {
    begun.resolve({
      release: () => {
        over.resolve();
        return running;
      },
    });
    await over.promise;
  });
  running.catch((error: unknown) => begun.reject(error));
  return begun.promise;
}
