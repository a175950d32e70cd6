import { ArgumentError, SchemaError } from '../core/errors.ts';
import { type Check, optional, validate, withDefault } from '../core/options.ts';
import { databaseFailure, migrateCommand } from '../core/sqlstate.ts';
import { adoptSystem, begin, findSchema, lock, searchPath } from '../sql/migration.ts';
import { type ConnectionSource, connectionSource, withClient } from './client.ts';
import { schemaName } from './database.ts';

/** Which schema goes on in the database system that it is in now. */
export interface AdoptOptions {
  /** As the role that owns the schema. */
  readonly connection: ConnectionSource;
  /** The schema that `migrate` made. `'fencepost'` by default. */
  readonly schema?: string | undefined;
  /**
   * The greatest token that is known to have been given out: from a fenced column, a log, another system. Only needed
   * when the old system went on after the copy was made and was promoted more than a thousand times meanwhile, or when
   * a copy of the disks (which is the same database system to Postgres) takes its place. None by default.
   */
  readonly floor?: bigint | undefined;
}

/** What an adoption came to. */
export interface Adoption {
  /** False when there was nothing to adopt: the schema has its tokens from this database system. */
  readonly adopted: boolean;
  /** Every token from now on is greater than this. */
  readonly floor: bigint;
}

/**
 * Lets a schema go on in a database system that it was not made in: a restore of a dump, a logical copy, the outcome of
 * `pg_upgrade`. Clients refuse such a schema, because the old system may have given out greater tokens. From then on
 * all tokens are greater than everything that the old system can have given out, and than `floor`.
 *
 * Run it when nothing uses the old system any more: what it grants afterwards is not known here, and two processes may
 * hold one lease, one in each system. Leases that were held when the copy was made stay so until they expire.
 *
 * Run again it changes nothing, unless `floor` is above the tokens of now.
 *
 * @throws ArgumentError for wrong arguments
 * @throws DatabaseError when the database cannot be reached or refuses; nothing was changed then
 * @throws SchemaError when there is nothing to adopt in the schema
 *
 * @example
 * await adopt({ connection: process.env.DATABASE_URL });
 */
export async function adopt(options: AdoptOptions): Promise<Adoption> {
  const { connection, schema, floor } = validate('options', options, {
    connection: connectionSource,
    schema: withDefault(schemaName, 'fencepost'),
    floor: optional(token),
  });
  return withClient(connection, async (client) => {
    try {
      await client.query(begin);
      await client.query(lock(schema));
      const { rows: found } = await client.query(findSchema, [schema]);
      if (found[0]?.migrated !== 't') {
        throw new SchemaError(`there is no schema "${schema}" to adopt: run "${migrateCommand(schema)}"`);
      }
      await client.query(searchPath(schema));
      const { rows } = await client.query(adoptSystem, [floor === undefined ? null : String(floor)]);
      await client.query('commit');
      return { adopted: rows[0]?.adopted === 't', floor: BigInt(rows[0]?.floor) };
    } catch (cause) {
      throw databaseFailure(`adopt schema "${schema}"`, cause, schema);
    }
  });
}

const token: Check<bigint> = (argument, value) => {
  if (typeof value === 'bigint' && value >= 0n && value < 2n ** 63n) return value;
  throw new ArgumentError(argument, 'a token: a bigint from 0 to 2^63 - 1', value);
};
