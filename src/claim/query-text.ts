import type { Expression, ExpressionBuilder, Kysely, OperationNode, SqlBool } from 'kysely';
import { ArgumentError } from '../core/errors.ts';
import { valueLiteral } from '../sql/claim-table.ts';
import { identifier } from '../sql/statement.ts';

/** A Kysely instance whose types were checked where it was given. */
export type AnyTables = Record<string, Record<string, unknown>>;

/** A part of a query as Kysely keeps it. */
type Node = Readonly<Record<string, unknown>>;

const queryId = { queryId: 'fencepost' };

/** The table as the caller's instance calls it: its plugins may put a schema in front, or change the case. */
export function tableName(db: Kysely<AnyTables>, table: string): { table: string; bare: string } {
  const node = transformed(db, db.selectFrom(table).selectAll());
  const {
    from: { froms },
  } = node as unknown as { from: { froms: [{ table?: NamedTable }] } };
  const from = froms[0].table;
  if (from === undefined) throw new ArgumentError('options.table', 'the name of a table', table);
  const bare = identifier(from.identifier.name);
  return { bare, table: from.schema === undefined ? bare : `${identifier(from.schema.name)}.${bare}` };
}

interface NamedTable {
  readonly schema?: { readonly name: string };
  readonly identifier: { readonly name: string };
}

/** The column as the catalog has it. */
export function columnName(db: Kysely<AnyTables>, table: string, column: string): string {
  const node = transformed(db, db.selectFrom(table).select(db.dynamic.ref<string>(column)));
  const { selections } = node as unknown as {
    selections: [{ selection: { column?: { column?: { name?: string } } } }];
  };
  const name = selections[0].selection.column?.column?.name;
  if (name === undefined) throw new ArgumentError('options', 'names of columns', column);
  return name;
}

/** A condition as SQL without parameters. */
export function conditionOf(
  db: Kysely<AnyTables>,
  table: string,
  where: (eb: ExpressionBuilder<AnyTables, string>) => Expression<SqlBool>,
): string {
  const all = db.selectFrom(table).selectAll();
  const start = `${compiled(db, 'options.where', all)} where `;
  return compiled(db, 'options.where', all.where(where)).slice(start.length);
}

/** Assignments as SQL without parameters. */
export function assignmentsOf(db: Kysely<AnyTables>, table: string, done: Record<string, unknown>): string {
  const text = compiled(db, 'options.done', db.updateTable(table).set(done));
  return text.slice(`update ${tableName(db, table).table} set `.length);
}

interface Buildable {
  toOperationNode(): OperationNode;
}

function transformed(db: Kysely<AnyTables>, query: Buildable): Node {
  const node = query.toOperationNode() as Parameters<ReturnType<typeof db.getExecutor>['transformQuery']>[0];
  return db.getExecutor().transformQuery(node, queryId) as unknown as Node;
}

function compiled(db: Kysely<AnyTables>, argument: string, query: Buildable): string {
  const node = withLiterals(argument, transformed(db, query));
  const { sql, parameters } = db
    .getExecutor()
    .compileQuery(
      node as unknown as Parameters<ReturnType<typeof db.getExecutor>['compileQuery']>[0],
      queryId,
    );
  if (parameters.length === 0) return sql;
  throw new ArgumentError(argument, 'values that have a literal', parameters);
}

/** The same part with its values written into it: only a literal can match the condition of a partial index. */
function withLiterals(argument: string, part: unknown): unknown {
  if (Array.isArray(part)) return part.map((one) => withLiterals(argument, one));
  if (typeof part !== 'object' || part === null || Object.getPrototypeOf(part) !== Object.prototype)
    return part;
  const node = part as Node;
  if (node.kind === 'ValueNode') return literalNode(argument, node.value);
  if (node.kind === 'PrimitiveValueListNode') {
    const values = (node.values as unknown[]).map((value) => literalNode(argument, value));
    return { kind: 'ValueListNode', values };
  }
  return Object.fromEntries(
    Object.entries(node).map(([name, value]) => [name, withLiterals(argument, value)]),
  );
}

function literalNode(argument: string, value: unknown): Node {
  const text = valueLiteral(value);
  if (text === undefined) {
    const expected = 'only texts, numbers, booleans, dates and null as values; anything else in sql``';
    throw new ArgumentError(argument, expected, value);
  }
  return { kind: 'RawNode', sqlFragments: [text], parameters: [] };
}
