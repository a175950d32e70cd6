import { text, validate, withDefault } from '../core/options.ts';
import { schemaName } from '../session/database.ts';
import { identifier } from '../sql/statement.ts';

/** Which column of which table keeps the token of the last write. */
export interface FencedColumn {
  /** The table, with its schema in front where it is not on the search path: `'account'`, `'app.account'`. */
  readonly table: string;
  /** The column that keeps the token. `'fencing_token'` by default. */
  readonly column?: string | undefined;
  /** The schema that `migrate` made. `'fencepost'` by default. */
  readonly schema?: string | undefined;
}

/**
 * The statements that give a table a fenced column, to put into your own migration. From then on an `UPDATE` that sets
 * the column to a smaller token than the row has, or to null, fails with SQLSTATE `FP001`. The check is a condition of
 * a trigger, which costs a comparison; nothing is called unless it fails.
 *
 * It serves where `lease.guard` cannot stand in the transaction: a write from a queue, another language, a session
 * lock acquired with `fence: true`. It is weaker than the guard: it refuses what is older than the row's last write,
 * so an old holder can still write to rows that the new holder has not written yet; and an update that does not set
 * the column passes, as do deletes.
 *
 * @example
 * await client.query(fencedColumnSql({ table: 'account' }));
 * await client.query('update account set balance = 90, fencing_token = $1 where id = 1', [lease.token]);
 */
export function fencedColumnSql(options: FencedColumn): string {
  const name = text({ minBytes: 1, maxBytes: 127 });
  const { table, column, schema } = validate('options', options, {
    table: name,
    column: withDefault(text({ minBytes: 1, maxBytes: 53 }), 'fencing_token'),
    schema: withDefault(schemaName, 'fencepost'),
  });
  const target = table.split('.').map(identifier).join('.');
  const token = identifier(column);
  return `alter table ${target} add column if not exists ${token} bigint;

create or replace trigger ${identifier(`fencepost_${column}`)} before update on ${target} for each row
  when (old.${token} is not null and (new.${token} is null or new.${token} < old.${token}))
  execute function ${identifier(schema)}.stale_write('${column.replaceAll("'", "''")}');
`;
}
