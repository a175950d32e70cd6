export type { Pool, PoolRow } from './testing/servers/client.ts';
export {
  createTestDatabase,
  type TestDatabase,
  type TestDatabaseOptions,
  type TestDatabases,
} from './testing/servers/database.ts';
export type { Server, ServerKind, ServerOptions } from './testing/servers/supervise.ts';
export { startTestServer, type TestServer, type TestServerOptions } from './testing/servers/test-server.ts';
