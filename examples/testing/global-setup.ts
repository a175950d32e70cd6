import { startTestServer, type TestDatabases } from 'fencepost/testing';
import pg from 'pg';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    databases: TestDatabases;
  }
}

/** One server for the whole run. Test files are processes of their own, and clone its database. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const server = await startTestServer({ prepare: createTables });
  project.provide('databases', server.databases);
  return () => server.stop();
}

/** In an application: its migrations. */
async function createTables(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('create table account (id integer primary key, balance integer not null)');
  await client.query('insert into account values (1, 100), (2, 0)');
  await client.end();
}
