import { sql } from 'drizzle-orm';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import type { Knex } from 'knex';
import type { Sql, TransactionSql } from 'postgres';
import { it } from 'vitest';
import { fromDrizzle, fromKnex, fromPostgresJs } from '../../src/adapters.ts';
import type { Fencepost } from '../../src/index.ts';

declare const fencepost: Fencepost;

it('takes the transactions of postgres.js, and not the client they come from', () => {
  const trx = {} as TransactionSql;
  const client = {} as Sql;
  fencepost.transaction(fromPostgresJs(trx));
  client.begin(async (begun) => {
    await fencepost.transaction(fromPostgresJs(begun)).acquire('a');
    await begun.savepoint((inner) => fencepost.transaction(fromPostgresJs(inner)).acquire('a'));
  });
  // @ts-expect-error no transaction
  fromPostgresJs(client);
});

it('takes the transactions of Knex, and not the instance they come from', () => {
  const db = {} as Knex;
  db.transaction((trx) => fencepost.transaction(fromKnex(trx)).acquire('a'));
  db.transaction(async (trx) => {
    await trx.transaction((inner) => fencepost.transaction(fromKnex(inner)).acquire('a'));
  });
  // @ts-expect-error no transaction
  fromKnex(db);
});

it('takes the transactions of Drizzle on both drivers, and not the database they come from', () => {
  const nodePostgres = {} as NodePgDatabase;
  const postgresJs = {} as PostgresJsDatabase;
  nodePostgres.transaction((tx) => fencepost.transaction(fromDrizzle(tx, sql)).acquire('a'));
  postgresJs.transaction((tx) => fencepost.transaction(fromDrizzle(tx, sql)).acquire('a'));
  // @ts-expect-error no transaction
  fromDrizzle(nodePostgres, sql);
  // @ts-expect-error without the sql of drizzle-orm
  nodePostgres.transaction((tx) => fencepost.transaction(fromDrizzle(tx)).acquire('a'));
});
