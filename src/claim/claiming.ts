import { pause } from '../core/abort.ts';
import { DatabaseError, LockLostError } from '../core/errors.ts';
import { hasState, holderFenced, isCollision } from '../core/sqlstate.ts';
import type { Holder } from '../holder/holder.ts';
import type { ClaimedRow, ClaimedState } from '../sql/claim.ts';
import type { Position } from '../sql/claim-asked.ts';
import { statementsOf } from '../sql/claim-statements.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import { readClaimed } from '../sql/claimed-rows.ts';
import type { Statement } from '../sql/statement.ts';
import type { ClaimContext, RegisteredRows } from './register.ts';
import type { UserDatabase } from './user-database.ts';

/** What a claim came to. */
export interface Taken {
  readonly holder: Holder;
  readonly claimed: readonly ClaimedRow[];
  /** The same, in the register. */
  readonly registered: RegisteredRows;
  /** How many rows were set aside on the way. */
  readonly aside: number;
  /** How many rows somebody else got meanwhile. */
  readonly refused: number;
  /** There are others to look at than fresh rows. */
  readonly others: boolean;
  /** Where in the order it ended, if that was asked. */
  readonly ended: Position | null;
}

/** One claim for the living holder of the process, and what happens when its answer is lost. */
export class Claiming {
  readonly #context: ClaimContext;
  readonly #database: UserDatabase;
  readonly #ttl: number;

  constructor(context: ClaimContext, database: UserDatabase, ttl: number) {
    this.#context = context;
    this.#database = database;
    this.#ttl = ttl;
  }

  /** What a claim came to, with the holder that has what was claimed. */
  claim(table: ClaimTable, statement: (holder: Holder) => Statement): Promise<Taken> {
    return this.#context.holders.living(
      this.#ttl,
      () => table.table,
      async (holder) => {
        const taken = await this.#ask(table, holder, statement);
        if (taken.claimed.length > 0) await holder.freshen();
        if (!holder.live) throw new LockLostError(table.table, 'expired');
        return taken;
      },
    );
  }

  async #ask(table: ClaimTable, holder: Holder, statement: (holder: Holder) => Statement): Promise<Taken> {
    for (let collisions = 0; ; ) {
      let answered = false;
      try {
        const register = this.#context.registers.of(table.oid);
        return await register.run(async () => {
          const answer = await this.#database.query(statement(holder));
          answered = true;
          const { rows, ended } = readClaimed(answer);
          const claimed = rows.every(isClaimed) ? rows : rows.filter(isClaimed);
          const registered = register.add(holder, claimed);
          const count = (state: ClaimedState): number =>
            rows.length === claimed.length ? 0 : rows.filter((row) => row.state === state).length;
          const others = count('others') > 0;
          const aside = count('aside');
          return { holder, claimed, registered, aside, refused: count('refused'), others, ended };
        });
      } catch (error) {
        if (answered || (error instanceof DatabaseError && error.inDoubt)) {
          // Rows may have been claimed that nobody here knows of. The process lives on, so they would stay claimed.
          this.recover(table, holder).catch(() => {});
          throw error;
        }
        if (isCollision(error)) {
          collisions += 1;
          if (collisions < 10) continue;
        }
        // A doubt of somebody else was settled meanwhile: this statement came too late, and did nothing.
        if (!hasState(error, holderFenced)) throw error;
        await holder.settled();
        if (!holder.live) throw error;
      }
    }
  }

  /** Once the server has let older claims end and refuses those that have not begun, what is not known here is freed. */
  async recover(table: ClaimTable, holder: Holder): Promise<void> {
    const { clock } = this.#context;
    await this.#context.registers.of(table.oid).recover(async () => {
      holder.distrust();
      await holder.settled();
      while (holder.live) {
        try {
          await this.#database.query(
            statementsOf(table).freeUnknown(
              table,
              holder.id,
              this.#context.registers.of(table.oid).known(holder),
            ),
          );
          return;
        } catch (error) {
          if (!(error instanceof DatabaseError) || !error.retriable) throw error;
          await pause(clock, Math.min(holder.ttl / 20, 500));
        }
      }
    });
  }
}

function isClaimed({ state }: ClaimedRow): boolean {
  return state === 'claimed';
}
