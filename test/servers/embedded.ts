import { startEmbedded as start } from '../../src/testing/servers/embedded.ts';
import type { Server, ServerOptions } from '../../src/testing/servers/supervise.ts';
import { findBuild } from './build.ts';

/** As the one of the kit; `version`: a major version of Postgres, by default the one that is installed. */
export async function startEmbedded({
  version,
  ...options
}: ServerOptions & { version?: number | undefined } = {}): Promise<Server> {
  return start(version === undefined ? options : { ...options, modules: (await findBuild(version)).modules });
}
