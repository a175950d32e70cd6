import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { migrate } from '../../src/migrate.ts';
import { startServer } from '../servers/start-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Connection string of a role that may create databases and roles. */
    adminUrl: string;
    /** The database that test databases are cloned from; nobody may connect to it. */
    template: string;
    /** How the names of all databases and roles of this run start. */
    prefix: string;
    /** Where tests put their files; it goes when the run ends, however that ends. */
    folder: string;
  }
}

/** One server a run, with one migrated database that every test clones. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const server = await startServer({ fsync: false });
  try {
    const template = `${server.prefix}_template`;
    await createTemplate(server.url, template);
    project.provide('adminUrl', server.url);
    project.provide('template', template);
    project.provide('prefix', server.prefix);
    project.provide('folder', server.folder);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return () => server.stop();
}

async function createTemplate(adminUrl: string, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const database = pg.escapeIdentifier(name);
    await client.query(`create database ${database} template template0 encoding 'UTF8'`);
    const url = new URL(adminUrl);
    url.pathname = `/${name}`;
    await migrate({ connection: url.href });
    // CREATE DATABASE refuses a template that a session is connected to (55006), so from now on none may be.
    await client.query(`alter database ${database} allow_connections false`);
  } finally {
    await client.end();
  }
}
