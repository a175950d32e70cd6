import { type Key, keyHash, keyText } from '../core/key.ts';
import type { Session } from '../session/link.ts';
import { advisoryLocks, type LockRow, readLock } from '../sql/inspect.ts';

/** An advisory lock of this database that somebody holds or waits for. */
export interface LockInfo extends LockRow {
  /** The key, where this process uses it or was told of it. Postgres knows only the number. */
  readonly key: string | undefined;
}

/** All of them, whoever took them, with names for the numbers that come from the given keys. */
export async function inspectLocks(
  session: Session,
  namespace: string,
  keys: Iterable<Key>,
): Promise<LockInfo[]> {
  const names = new Map<bigint, string>();
  for (const key of keys) names.set(keyHash('keys', key, namespace), keyText('keys', key));
  const rows = await session.query(advisoryLocks);
  return rows.map((row) => {
    const lock = readLock(row);
    return { key: names.get(lock.hash), ...lock };
  });
}
