import { inject } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../src/testing/servers/database.ts';

export type { TestDatabase } from '../../src/testing/servers/database.ts';

/**
 * Creates a database for one test or one test file: a clone of the migrated template, or an empty one with
 * `template: false`.
 *
 * ```ts
 * await using database = await createDatabase();
 * await using fencepost = new Fencepost({ connection: database.url });
 * ```
 */
export function createDatabase({ template = true }: { template?: boolean } = {}): Promise<TestDatabase> {
  const databases = { url: inject('adminUrl'), prefix: inject('prefix'), template: inject('template') };
  return createTestDatabase(databases, { empty: !template });
}
