import type { TestProject } from 'vitest/node';
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
  const server = await startServer();
  project.provide('adminUrl', server.url);
  project.provide('template', server.databases.template);
  project.provide('prefix', server.prefix);
  project.provide('folder', server.folder);
  return () => server.stop();
}
