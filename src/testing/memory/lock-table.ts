import type { LockSet } from '../../sql/session-lock.ts';

/** Whoever has locks: a session or a transaction. */
export type Owner = object;

interface Waiter {
  readonly owner: Owner;
  readonly set: LockSet;
  start(): void;
}

/** Who has a key: one exclusive owner, or shared ones, each as often as it was granted to them. */
class LockRow {
  readonly owners = new Map<Owner, { exclusive: number; shared: number }>();

  conflicts(owner: Owner, shared: boolean): boolean {
    return [...this.owners].some(([other, has]) => other !== owner && (!shared || has.exclusive > 0));
  }
}

/** Advisory locks, as the server keeps them: whoever waits is served in the order of the calls. */
export class LockTable {
  readonly #rows = new Map<string, LockRow>();
  readonly #waiting = new Set<Waiter>();

  /** All keys of the set, or none. */
  take(owner: Owner, set: LockSet): boolean {
    if (!this.#isFree(owner, set, this.#waiting)) return false;
    this.#give(owner, set);
    return true;
  }

  /** Calls back once it has all of them; the answer gives that up. */
  wait(owner: Owner, set: LockSet, granted: () => void): () => void {
    const waiter: Waiter = { owner, set, start: granted };
    this.#waiting.add(waiter);
    this.#advance();
    return () => {
      this.#waiting.delete(waiter);
      this.#advance();
    };
  }

  free(owner: Owner, { hashes, shared }: LockSet): void {
    const mode = shared ? 'shared' : 'exclusive';
    for (const hash of hashes) {
      const row = this.#rows.get(hash);
      const has = row?.owners.get(owner);
      if (row === undefined || has === undefined) continue;
      has[mode] = Math.max(0, has[mode] - 1);
      if (has.exclusive + has.shared === 0) row.owners.delete(owner);
      if (row.owners.size === 0) this.#rows.delete(hash);
    }
    this.#advance();
  }

  /** The owner is gone. */
  freeAll(owner: Owner): void {
    for (const [hash, row] of this.#rows) {
      row.owners.delete(owner);
      if (row.owners.size === 0) this.#rows.delete(hash);
    }
    for (const waiter of this.#waiting) if (waiter.owner === owner) this.#waiting.delete(waiter);
    this.#advance();
  }

  /** Those that are held, and by whom. */
  list(): { readonly hash: bigint; readonly mode: 'exclusive' | 'shared'; readonly owner: Owner }[] {
    return [...this.#rows].flatMap(([hash, { owners }]) =>
      [...owners].map(([owner, { exclusive }]) => ({
        hash: BigInt(hash),
        mode: exclusive > 0 ? ('exclusive' as const) : ('shared' as const),
        owner,
      })),
    );
  }

  #isFree(owner: Owner, { hashes, shared }: LockSet, before: Iterable<Waiter>): boolean {
    const wanted = [...before].filter((waiter) => waiter.owner !== owner && !(shared && waiter.set.shared));
    return hashes.every((hash) => {
      const row = this.#rows.get(hash);
      // Who has a key already does not stand behind those who wait for it.
      if (row?.owners.has(owner) === true) return !row.conflicts(owner, shared);
      const overtakes = wanted.some(({ set }) => set.hashes.includes(hash));
      return !overtakes && row?.conflicts(owner, shared) !== true;
    });
  }

  #give(owner: Owner, { hashes, shared }: LockSet): void {
    for (const hash of hashes) {
      const row = this.#rows.get(hash) ?? new LockRow();
      this.#rows.set(hash, row);
      const has = row.owners.get(owner) ?? { exclusive: 0, shared: 0 };
      row.owners.set(owner, has);
      has[shared ? 'shared' : 'exclusive'] += 1;
    }
  }

  #advance(): void {
    const before: Waiter[] = [];
    for (const waiter of [...this.#waiting]) {
      if (this.#isFree(waiter.owner, waiter.set, before)) {
        this.#waiting.delete(waiter);
        this.#give(waiter.owner, waiter.set);
        waiter.start();
      } else before.push(waiter);
    }
  }
}
