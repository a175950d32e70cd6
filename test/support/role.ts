import pg from 'pg';
import type { TestDatabase } from './database.ts';

export interface TestRole {
  readonly name: string;
  /** Connects to the test database as this role. */
  readonly url: string;
}

/** Creates a role that may log in and nothing else. It vanishes with the server, or with the run on a given one. */
export async function createRole(database: TestDatabase, suffix: string): Promise<TestRole> {
  const name = `${database.name}${suffix}`;
  await database.query(`create role ${pg.escapeIdentifier(name)} login password 'secret'`);
  const url = new URL(database.url);
  url.username = encodeURIComponent(name);
  url.password = 'secret';
  return { name, url: url.href };
}
