import { createRequire } from 'node:module';
import { within } from '../../core/abort.ts';
import { systemClock } from '../../core/clock.ts';
import { versionOf } from './client.ts';
import { isMissing, missing } from './packages.ts';
import { postgresArguments } from './settings.ts';
import { type Request, type Running, type Server, type ServerOptions, supervise } from './supervise.ts';

const defaultImage = 'postgres:18-alpine';
const library = '@testcontainers/postgresql';

/** How long a container engine has to answer, in milliseconds. */
const engineLimit = 3_000;

/** Starts a container. Rejects when no engine answers, or when the image cannot be had. */
export function startContainer(options: ServerOptions = {}): Promise<Server> {
  return supervise('container', options);
}

/** The supervisor's side of {@link startContainer}. */
export async function runContainer({ options }: Request): Promise<Running> {
  const { image = defaultImage } = options;
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql').catch((error: unknown) => {
    throw isMissing(error) ? missing(library, error) : error;
  });
  await findEngine();

  let log = '';
  const definition = new PostgreSqlContainer(image)
    .withDatabase('postgres')
    .withUsername('postgres')
    .withCommand(['postgres', ...postgresArguments(options)])
    .withLogConsumer((stream) => {
      stream.on('data', (chunk) => {
        log = (log + chunk).slice(-4_000);
      });
    });
  const container = await definition.start().catch((cause: Error) => {
    throw new Error(`${cause.message.trim()}\n${log}`, { cause });
  });
  const stop = async (): Promise<void> => {
    await container.stop({ remove: true, removeVolumes: true });
  };
  try {
    const url = container.getConnectionUri();
    return { url, description: `PostgreSQL ${await versionOf(url)} in a container of ${image}`, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The library looks for an engine by itself, but has more patience with one that does not answer. */
async function findEngine(): Promise<void> {
  // It is a dependency of the library, and so perhaps not to be found from here.
  const require = createRequire(import.meta.resolve(library));
  const { getContainerRuntimeClient } = require('testcontainers') as typeof import('testcontainers');
  const found = await within(systemClock, engineLimit, getContainerRuntimeClient()).catch(
    (cause: unknown) => {
      throw new Error('no container engine answers', { cause });
    },
  );
  if (found === undefined) throw new Error('no container engine answers');
}
