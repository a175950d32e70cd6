import { Chain, type Place } from '../core/chain.ts';
import type { Clock } from '../core/clock.ts';
import type { Holder } from '../holder/holder.ts';
import type { Holders } from '../holder/holders.ts';
import type { Commands } from '../session/commands.ts';
import type { Notifications } from '../session/notifications.ts';
import type { ClaimedKey } from '../sql/claim.ts';

/** What claims need of their surroundings. */
export interface ClaimContext {
  readonly schema: string;
  readonly clock: Clock;
  readonly holders: Holders;
  readonly commands: Commands;
  readonly notifications: Notifications;
  readonly registers: Registers;
}

/** One register for each table, by its oid, whatever a definition calls it. */
export class Registers {
  readonly #registers = new Map<string, Register>();

  of(table: string): Register {
    const register = this.#registers.get(table) ?? new Register();
    this.#registers.set(table, register);
    return register;
  }
}

/** Rows that one claim took, each until the process has nothing to do with it any more. */
export class RegisteredRows {
  readonly #rows: (ClaimedKey | undefined)[];
  readonly #place: Place<RegisteredRows> | undefined;
  #left: number;

  constructor(rows: readonly ClaimedKey[], among: Chain<RegisteredRows>) {
    this.#rows = [...rows];
    this.#left = rows.length;
    this.#place = rows.length === 0 ? undefined : among.add(this);
  }

  get list(): ClaimedKey[] {
    return this.#rows.filter((row) => row !== undefined);
  }

  /** Strikes out the row at this index. */
  strike(index: number): void {
    if (this.#rows[index] === undefined) return;
    this.#rows[index] = undefined;
    this.#left -= 1;
    if (this.#left === 0) this.#place?.leave(this);
  }
}

/** What this process has claimed of one table, in all definitions, and the calls that are about to claim more. */
export class Register {
  readonly #rows = new Map<Holder, Chain<RegisteredRows>>();
  readonly #underWay = new Set<Promise<unknown>>();
  #recovering: Promise<void> | undefined;

  /** Until they are struck out. */
  add(holder: Holder, added: readonly ClaimedKey[]): RegisteredRows {
    let rows = this.#rows.get(holder);
    if (rows === undefined) {
      for (const [other, chain] of this.#rows) if (chain.empty) this.#rows.delete(other);
      rows = new Chain();
      this.#rows.set(holder, rows);
    }
    return new RegisteredRows(added, rows);
  }

  known(holder: Holder): ClaimedKey[] {
    return (
      this.#rows
        .get(holder)
        ?.list()
        .flatMap((rows) => rows.list) ?? []
    );
  }

  /** Runs a claim, not while a lost answer is being looked for. */
  async run<Result>(claim: () => Promise<Result>): Promise<Result> {
    while (this.#recovering !== undefined) await this.#recovering;
    const running = claim();
    this.#underWay.add(running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(running);
    }
  }

  /** Runs `work` once no claim is under way and before another begins. */
  async recover(work: () => Promise<void>): Promise<void> {
    while (this.#recovering !== undefined) await this.#recovering;
    const recovering = Promise.allSettled(this.#underWay)
      .then(work)
      .finally(() => {
        this.#recovering = undefined;
      });
    this.#recovering = recovering;
    await recovering;
  }
}
