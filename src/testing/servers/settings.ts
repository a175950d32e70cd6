import type { ServerOptions } from './supervise.ts';

/** The arguments of `postgres` that every server started here gets, whatever it runs in. */
export function postgresArguments({
  fsync = true,
  maxConnections = 200,
  postgresFlags = [],
}: ServerOptions): string[] {
  const settings: Record<string, string | number> = {
    max_connections: maxConnections,
    // Without fsync a torn page cannot be repaired anyhow, so writing whole pages to the WAL serves nothing.
    ...(fsync ? {} : { fsync: 'off', full_page_writes: 'off' }),
  };
  return [
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ...postgresFlags,
  ];
}
