import type { Fencepost } from 'fencepost';
import Redlock, {
  type DualLock,
  dualLock,
  type ExecutionError,
  type LegacyLock,
  type Lock,
  type OldLocks,
} from 'fencepost/redlock';
import { expectTypeOf, test } from 'vitest';

declare const client: Fencepost;
declare const from: OldLocks;
const redlock = new Redlock([client]);

test('version 5', () => {
  expectTypeOf(redlock.acquire(['a'], 1)).toEqualTypeOf<Promise<Lock>>();
  expectTypeOf(redlock.acquire(['a'], 1, { retryCount: 0 })).toEqualTypeOf<Promise<Lock>>();
  const using = redlock.using(['a'], 1, { retryCount: 0 }, async (signal) => signal.error);
  expectTypeOf(using).toEqualTypeOf<Promise<Error | undefined>>();
  expectTypeOf(redlock.using(['a'], 1, async () => 7)).toEqualTypeOf<Promise<number>>();
  expectTypeOf<Awaited<ReturnType<Lock['extend']>>>().toEqualTypeOf<Lock>();
  expectTypeOf<ExecutionError['reason']>().toEqualTypeOf<'locked' | 'unreachable' | 'lost'>();
  // @ts-expect-error A client of Redis is none of ours.
  new Redlock([{ eval() {} }]);
  // @ts-expect-error A misspelt setting.
  new Redlock([client], { retrycount: 1 });
});

test('version 4', () => {
  expectTypeOf(redlock.lock('a', 1)).toEqualTypeOf<Promise<LegacyLock>>();
  expectTypeOf(redlock.acquire('a', 1)).toEqualTypeOf<Promise<LegacyLock>>();
  redlock.lock('a', 1, (error, lock) => {
    expectTypeOf(error).toEqualTypeOf<Error | null>();
    expectTypeOf(lock).toEqualTypeOf<LegacyLock | undefined>();
  });
});

test('both together', () => {
  const dual = dualLock({ from, to: redlock });
  expectTypeOf(dual.acquire(['a'], 1)).toEqualTypeOf<Promise<DualLock>>();
  // @ts-expect-error What is gone to is missing.
  dualLock({ from });
});
