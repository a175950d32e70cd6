import { versionOf } from './given.ts';
import { postgresArguments } from './settings.ts';
import { type Request, type Running, type Server, type ServerOptions, supervise } from './supervise.ts';

export const DEFAULT_IMAGE = 'postgres:18-alpine';

/** Starts a container. Rejects when no engine answers, or when the image cannot be had. */
export function startContainer(options: ServerOptions & { image?: string } = {}): Promise<Server> {
  const { image = DEFAULT_IMAGE, ...rest } = options;
  return supervise('container', rest, { image });
}

/** The supervisor's side of {@link startContainer}. */
export async function runContainer({ image = DEFAULT_IMAGE, options }: Request): Promise<Running> {
  const { getContainerRuntimeClient } = await import('testcontainers');
  await withinSeconds(3, getContainerRuntimeClient(), 'no container engine answers');

  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
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

async function withinSeconds<T>(seconds: number, promise: Promise<T>, otherwise: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, seconds * 1_000, new Error('it did not answer in time'));
  });
  try {
    return await Promise.race([promise, late]);
  } catch (cause) {
    throw new Error(otherwise, { cause });
  } finally {
    clearTimeout(timer);
  }
}
