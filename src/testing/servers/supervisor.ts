/**
 * The process that owns a server: starts it, answers where it is, and stops it when the IPC channel to its parent ends.
 * Run by `supervise`, never by hand.
 */
import { once } from 'node:events';
import { runContainer } from './container.ts';
import { runEmbedded } from './embedded.ts';
import { openFolder, removeFolder } from './folder.ts';
import { runGiven } from './given.ts';
import type { Answer, Request, Running, ServerKind } from './supervise.ts';

const run: Record<ServerKind, (request: Request, folder: string) => Promise<Running>> = {
  given: runGiven,
  container: runContainer,
  embedded: runEmbedded,
};

const left = new Promise<void>((resolve) => {
  process.once('disconnect', resolve);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve());
});

const answer = (message: Answer): void => {
  // The parent may die between the check and the send; the error then only says what `left` says as well.
  if (process.connected) process.send?.(message, () => {});
};

const [request] = (await Promise.race([once(process, 'message'), left.then(() => [])])) as [Request?];
if (request !== undefined) {
  const folder = openFolder();
  const server = await run[request.kind](request, folder).catch((error: Error & { code?: string }) => {
    // A refused connection to several addresses is an AggregateError with an empty message.
    answer({ failed: error.message || error.code || String(error) });
  });
  if (server !== undefined) {
    answer({ url: server.url, description: server.description, folder });
    await left;
    await server.stop();
  }
  await removeFolder(folder);
}
if (process.connected) process.disconnect();
process.exit();
