import { ArgumentError } from '../../core/errors.ts';
import { startContainer } from './container.ts';
import { startEmbedded } from './embedded.ts';
import { useGiven } from './given.ts';
import type { Server, ServerOptions } from './supervise.ts';

/**
 * A PostgreSQL for tests: the one at `FENCEPOST_TEST_URL`; else a container of `FENCEPOST_TEST_IMAGE` when an engine
 * answers; else the embedded one. `FENCEPOST_TEST_SERVER` set to `container` or `embedded` leaves no choice. One line
 * says what was chosen and why.
 */
export async function chooseServer(options: ServerOptions, log: (line: string) => void): Promise<Server> {
  const [server, reason] = await choose(options);
  log(`Test server: ${server.description} (${reason})`);
  return server;
}

async function choose(given: ServerOptions): Promise<[Server, string]> {
  const { FENCEPOST_TEST_URL: url, FENCEPOST_TEST_SERVER: kind, FENCEPOST_TEST_IMAGE: image } = process.env;
  const options = image ? { ...given, image } : given;

  if (url) return [await useGiven(url), 'FENCEPOST_TEST_URL is set'];
  if (kind === 'container') return [await startContainer(options), 'FENCEPOST_TEST_SERVER=container'];
  if (kind === 'embedded') return [await startEmbedded(options), 'FENCEPOST_TEST_SERVER=embedded'];
  if (kind) throw new ArgumentError('FENCEPOST_TEST_SERVER', 'container or embedded', kind);
  try {
    return [await startContainer(options), 'a container engine answers'];
  } catch (error) {
    const reason = firstLine(error);
    try {
      return [await startEmbedded(options), reason];
    } catch (cause) {
      const none = 'no PostgreSQL for the tests';
      throw new Error(`${none}. ${reason}. ${firstLine(cause)}. Or set FENCEPOST_TEST_URL.`, { cause });
    }
  }
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n')[0] ?? '';
}
