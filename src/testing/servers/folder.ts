import { chmodSync, mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * Makes the one folder that this process and the server keep their files in. Another user may be the server: it can
 * pass through and read what we write.
 */
export function openFolder(): string {
  const folder = mkdtempSync(join(temporaryFolder(), 'fencepost-'));
  process.umask(0o022);
  chmodSync(folder, 0o711);
  process.chdir(folder);
  // The last resort, after an error that nobody caught.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What is just ending may still write here; removal then meets a folder that is not empty, and starts again. */
export async function removeFolder(folder: string): Promise<void> {
  process.chdir('/');
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}

/** Root's own temporary folder may be closed to the user that Postgres runs as. */
function temporaryFolder(): string {
  const places = process.getuid?.() === 0 ? [tmpdir(), '/tmp', '/var/tmp'] : [tmpdir()];
  return places.find(othersMayEnter) ?? tmpdir();
}

/** Whether every user may pass through all folders down to this one. */
export function othersMayEnter(folder: string): boolean {
  const real = realpathSync(folder);
  const parent = dirname(real);
  return (statSync(real).mode & 0o001) !== 0 && (parent === real || othersMayEnter(parent));
}
