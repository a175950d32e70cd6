import { hash } from 'node:crypto';
import { ArgumentError, SchemaError } from '../core/errors.ts';
import { type Check, validate, withDefault } from '../core/options.ts';
import { hasState } from '../core/sqlstate.ts';
import { columnText, joinedText } from '../sql/claim-names.ts';
import {
  addColumns,
  addIndexes,
  type ClaimShape,
  type ClaimTable,
  claimColumns,
  describeTable,
  type RowNames,
  readTable,
  type TableFacts,
} from '../sql/claim-table.ts';
import { createWakeTrigger, findWakeTrigger } from '../sql/claim-wake.ts';
import { callOf } from '../sql/statement.ts';
import { columnName } from './query-text.ts';
import type { UserDatabase } from './user-database.ts';

const viewKinds: Readonly<Record<string, string>> = {
  v: 'a view',
  m: 'a materialized view',
  f: 'a foreign table',
};

/** What a table is prepared for, besides claims. */
export interface PrepareOptions<Column extends string = string> {
  /**
   * A trigger that wakes the workers of `work({ wake: true })` after each statement that inserts rows; with columns,
   * also after updates of those, at the price of a look by idle workers at each completion that sets one of them.
   * Nothing is sent while all workers are busy, and at most 20 messages a second. A transaction that sends one cannot
   * be prepared for two-phase commit. None by default.
   */
  readonly wake?: boolean | { readonly updateOf: readonly Column[] } | undefined;
}

/** What a table needs for claims, and whether it has that. */
export class Preparing {
  readonly #database: UserDatabase;
  readonly #shape: ClaimShape;
  #found: Promise<ClaimTable> | undefined;

  constructor(database: UserDatabase, shape: ClaimShape) {
    this.#database = database;
    this.#shape = shape;
  }

  /** The statements that make the table ready, for a migration. */
  ddl(options?: PrepareOptions): string {
    const wakeOn = this.#wakeOn(options);
    const columns = this.#columns.length > 0 ? [addColumns(this.#shape)] : [];
    const statements = [...columns, ...Object.values(this.#indexes())];
    if (wakeOn !== undefined) statements.push(createWakeTrigger(this.#shape, wakeOn));
    return statements.map((statement) => `${statement};\n`).join('\n');
  }

  /** Runs those statements whose work is not there yet. */
  async ensure(options?: PrepareOptions): Promise<void> {
    const wakeOn = this.#wakeOn(options);
    const facts = await this.#look();
    if (this.#lacking(facts).length > 0) await this.#run(addColumns(this.#shape));
    for (const statement of Object.values(this.#missing(facts))) await this.#run(statement);
    if (wakeOn !== undefined) {
      const [trigger] = await this.#database.query(findWakeTrigger(this.#shape, wakeOn));
      if (Number(trigger?.answer) === 0) await this.#run(createWakeTrigger(this.#shape, wakeOn));
    }
    await this.table();
  }

  /** The indexes that are not there, or not valid, with the statements that make them. */
  async missingIndexes(): Promise<Record<string, string>> {
    return this.#missing(await this.#look());
  }

  /** The table as it is in the database; rejects with what is wrong with it. */
  table(): Promise<ClaimTable> {
    this.#found ??= this.#find().catch((error: unknown) => {
      this.#found = undefined;
      throw error;
    });
    return this.#found;
  }

  async #find(): Promise<ClaimTable> {
    const facts = await this.#look();
    const lacking = this.#lacking(facts);
    if (lacking.length > 0) {
      throw new SchemaError(
        `table ${this.#shape.table} lacks ${lacking.join(', ')}: call ensure(), or run the statements of ddl()`,
      );
    }
    const types = this.#shape.key.map((name) => facts.columns.get(name)?.type ?? '');
    const orderFacts = this.#shape.order.flatMap(({ name }) => facts.columns.get(name) ?? []);
    const groups = this.#groups(facts);
    const groupTypes = groups.map((name) => facts.columns.get(name)?.type ?? '');
    const { oid, rowType } = facts;
    return {
      ...this.#shape,
      oid,
      rowType,
      types,
      orderFacts,
      groups,
      groupTypes,
      names: await this.#names(facts),
    };
  }

  /** Has the table known for claims beside it, where that is where they are. */
  async #names(facts: TableFacts): Promise<RowNames | undefined> {
    const { schema, storage, table, key, tenant } = this.#shape;
    if (storage !== 'sidecar') return undefined;
    if (Object.keys(claimColumns).some((name) => facts.columns.has(name))) {
      const expected = `'columns' for ${table}, which has columns for claims: both at once would not exclude each other`;
      throw new ArgumentError('options.storage', expected, storage);
    }
    const keys = key.map((name) => this.#text('options.key', name, facts));
    const text = tenant === undefined ? `''::text` : this.#text('options.tenant', tenant, facts);
    const statement = callOf(schema, 'claim_source', [facts.oid, key, tenant ?? null]);
    const [row] = await this.#database.query(statement);
    return {
      source: row?.answer ?? '',
      tenant: `coalesce(${text}, '')`,
      key: joinedText(keys),
      tenantType: tenant === undefined ? undefined : facts.columns.get(tenant)?.type,
    };
  }

  #groups({ columns }: TableFacts): readonly string[] {
    const { fair, perKey, tenant } = this.#shape;
    if (fair && tenant !== undefined) return [tenant];
    const by = perKey?.by ?? [];
    const nullable = by.filter((name) => columns.get(name)?.nullable);
    if (nullable.length === 0) return by;
    const expected = "columns that are not null: a row without a key is in nobody's way";
    throw new ArgumentError('options.perKey.by', expected, nullable);
  }

  #text(option: string, name: string, { columns }: TableFacts): string {
    const facts = columns.get(name);
    const text = facts && columnText(this.#shape.bare, name, facts);
    if (text !== undefined) return text;
    const expected = `columns whose text is the same in every session, for storage 'sidecar'`;
    throw new ArgumentError(option, expected, `${name} ${facts?.type}`);
  }

  /** The columns that claims are kept in. */
  get #columns(): string[] {
    return this.#shape.storage === 'columns' ? Object.keys(claimColumns) : [];
  }

  #lacking({ columns }: TableFacts): string[] {
    return this.#columns.filter((name) => !columns.has(name));
  }

  async #look(): Promise<TableFacts> {
    const { table, key, tenant, order, perKey } = this.#shape;
    const [row] = await this.#database.query(describeTable(table, key));
    if (row === undefined) throw new ArgumentError('options.table', 'a table of the database', table);
    const facts = readTable(row);
    const other = viewKinds[facts.kind];
    if (other !== undefined) {
      throw new ArgumentError('options.table', `a table: a claim locks rows, and ${other} has none`, table);
    }
    for (const name of [
      ...key,
      ...(tenant === undefined ? [] : [tenant]),
      ...order.map((one) => one.name),
      ...(perKey?.by ?? []),
    ]) {
      if (!facts.columns.has(name)) throw new ArgumentError('options', `columns of ${table}`, name);
    }
    if (!facts.keyed)
      throw new ArgumentError('options.key', `the columns of a unique index of ${table}`, key);
    return facts;
  }

  /** The columns whose updates wake, too; undefined when nothing is to wake. */
  #wakeOn(options: unknown): string[] | undefined {
    const { wake } = validate('options', options, { wake: withDefault(wakeOption, false) });
    if (typeof wake === 'boolean') return wake ? [] : undefined;
    return wake.updateOf.map((column) => columnName(this.#database.db, 'any', column));
  }

  #missing({ indexes }: TableFacts): Record<string, string> {
    const missing = Object.entries(this.#indexes()).filter(([index]) => !indexes.includes(index));
    return Object.fromEntries(missing);
  }

  #indexes(): Record<string, string> {
    // The name says what is indexed, so that a changed definition gets a new index and not the old one.
    return addIndexes(
      this.#shape,
      (on) => `fencepost_${hash('sha256', `${this.#shape.table} ${on}`).slice(0, 12)}`,
    );
  }

  /** Processes that start at once do this at once: whoever comes second finds it done. */
  async #run(text: string): Promise<void> {
    try {
      await this.#database.query({ name: 'prepare_table', text, values: [] });
    } catch (error) {
      if (!['23505', '42P07', '42701'].some((state) => hasState(error, state))) throw error;
    }
  }
}

const wakeOption: Check<boolean | { readonly updateOf: readonly string[] }> = (argument, value) => {
  if (typeof value === 'boolean') return value;
  return validate(argument, value, { updateOf: columnNames });
};

const columnNames: Check<readonly string[]> = (argument, value) => {
  const named = (one: unknown): boolean => typeof one === 'string' && one !== '';
  if (Array.isArray(value) && value.length > 0 && value.every(named)) return value as string[];
  throw new ArgumentError(argument, 'an array of columns', value);
};
