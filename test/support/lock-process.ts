import { Fencepost, type FencepostError } from '../../src/index.ts';
import { argumentOfChild, type Child, type Launch, startChild, tellParent } from './child.ts';

/** What a process is asked to do, in this order. */
interface Order {
  readonly connection: string;
  readonly key: string;
  readonly ttl: number;
}

/** What it tells: that it waits, that it was granted, or how its handle looks when it is asked. */
export type Report =
  | { kind: 'waiting' }
  | { kind: 'granted' }
  | { kind: 'refused'; code: string }
  | { kind: 'looked'; threw: string | undefined; state: string };

/** A process that acquires one session lock and keeps it, and looks at its handle whenever it gets a message. */
export function startLockProcess(order: Order, launch?: Launch): Child {
  return startChild(new URL(import.meta.url), order, launch);
}

/** Is run by `startLockProcess`. */
async function live({ connection, key, ttl }: Order): Promise<void> {
  const fencepost = new Fencepost({ connection, sessions: { ttl } });
  tellParent({ kind: 'waiting' });
  const lock = await fencepost.advisory.acquire(key).catch((error: FencepostError) => {
    tellParent({ kind: 'refused', code: error.code });
  });
  if (lock === undefined) return await fencepost.close();
  const look = (): void => {
    let threw: string | undefined;
    try {
      lock.assertHeld();
    } catch (error) {
      threw = error instanceof Error && 'reason' in error ? String(error.reason) : String(error);
    }
    tellParent({ kind: 'looked', threw, state: lock.state });
  };
  process.on('message', look);
  tellParent({ kind: 'granted' });
}

if (process.argv[1] === import.meta.filename) await live(argumentOfChild<Order>());
