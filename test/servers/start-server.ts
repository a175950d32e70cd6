import { startContainer } from './container.ts';
import { startEmbedded } from './embedded.ts';
import { useGiven } from './given.ts';
import type { Server, ServerOptions } from './supervise.ts';

export type { Server, ServerOptions } from './supervise.ts';

/**
 * Gives tests a PostgreSQL: the one at `FENCEPOST_TEST_URL`; else a container of `FENCEPOST_TEST_IMAGE` when an engine
 * answers; else the embedded one, of the major version `FENCEPOST_TEST_VERSION`. `FENCEPOST_TEST_SERVER` set to
 * `container` or `embedded` leaves no choice. One line says what was chosen and why.
 */
export async function startServer(
  options: ServerOptions & { log?: (line: string) => void } = {},
): Promise<Server> {
  const { log = console.info, ...rest } = options;
  const [server, reason] = await choose(rest);
  log(`Test server: ${server.description} (${reason})`);
  return server;
}

async function choose(options: ServerOptions): Promise<[Server, string]> {
  const {
    FENCEPOST_TEST_URL: url,
    FENCEPOST_TEST_SERVER: kind,
    FENCEPOST_TEST_IMAGE: image,
    FENCEPOST_TEST_VERSION: version,
  } = process.env;
  const container = { ...options, ...(image ? { image } : {}) };
  const embedded = { ...options, ...(version ? { version: Number(version) } : {}) };

  if (url) return [await useGiven(url), 'FENCEPOST_TEST_URL is set'];
  if (kind === 'container') return [await startContainer(container), 'FENCEPOST_TEST_SERVER=container'];
  if (kind === 'embedded') return [await startEmbedded(embedded), 'FENCEPOST_TEST_SERVER=embedded'];
  if (kind)
    throw new TypeError(`FENCEPOST_TEST_SERVER: expected container or embedded, got ${JSON.stringify(kind)}`);
  try {
    return [await startContainer(container), 'a container engine answers'];
  } catch (error) {
    const [reason] = String(error instanceof Error ? error.message : error).split('\n');
    return [await startEmbedded(embedded), String(reason)];
  }
}
