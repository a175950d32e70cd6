import type { Holder } from '../holder/holder.ts';
import { type ClaimOptions, definitionOf } from './definition.ts';
import { type ClaimContext, Registers } from './register.ts';
import { RowClaims } from './row-claims.ts';

/** Claims on rows of your own tables. */
export class Claims {
  readonly #context: ClaimContext;
  readonly #defined = new Set<{ close(): Promise<void>; moved(holder: Holder): Promise<void> }>();
  #closed = false;

  /** @internal */
  constructor(context: Omit<ClaimContext, 'registers'>) {
    this.#context = { ...context, registers: new Registers() };
  }

  /**
   * Says which rows of which table are claimed, in which order, and what becomes of them. Sends nothing. Make one for
   * each kind of work and keep it.
   *
   * @throws ArgumentError for options that are wrong as far as that shows without the database
   *
   * @example
   * const orders = fencepost.claims.define({
   *   db, table: 'orders', key: 'id', where: (eb) => eb('status', '=', 'new'), orderBy: ['id'], done: { status: 'sent' },
   * });
   */
  define<DB, Table extends keyof DB & string>(options: ClaimOptions<DB, Table>): RowClaims<DB, Table> {
    const definition = definitionOf(this.#context.schema, options);
    const rows = new RowClaims<DB, Table>(this.#context, definition, this.#closed);
    this.#defined.add(rows);
    return rows;
  }

  /** The server has failed over. @internal */
  async moved(holder: Holder): Promise<void> {
    await Promise.all([...this.#defined].map((rows) => rows.moved(holder)));
  }

  /** @internal */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#defined].map((rows) => rows.close()));
  }
}
