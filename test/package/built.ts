import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const repository = fileURLToPath(new URL('../../', import.meta.url));
const sources = ['src', 'sql', 'migrations', 'page', 'README.md', 'LICENSE'];
const settings = ['package.json', 'tsconfig.json', 'tsconfig.build.json'];

export interface BuiltPackage extends AsyncDisposable {
  readonly folder: string;
}

/**
 * The package, built from its sources in a temporary folder: whatever `dist` holds, and whoever builds there at this
 * moment. A program in `folder` finds `fencepost` by its own name, and everything else in our `node_modules`.
 */
export async function buildPackage(...flags: string[]): Promise<BuiltPackage> {
  const folder = await mkdtemp(join(tmpdir(), 'fencepost-package-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    for (const name of [...sources, ...settings]) {
      await cp(join(repository, name), join(folder, name), { recursive: true });
    }
    await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
    await run(folder, 'tsc', '-p', 'tsconfig.build.json', ...flags);
  } catch (error) {
    await remove();
    throw error;
  }
  return { folder, [Symbol.asyncDispose]: remove };
}

/** Runs a program of ours or of npm, and gives what it printed; a failure shows all of that. */
export async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  return runWith({ cwd }, command, ...args);
}

export async function runWith(
  { cwd, env = {} }: { cwd: string; env?: Record<string, string> },
  command: string,
  ...args: string[]
): Promise<string> {
  const path = `${join(repository, 'node_modules', '.bin')}:${process.env.PATH}`;
  const options = { cwd, env: { ...process.env, PATH: path, NO_COLOR: '1', ...env }, maxBuffer: 2 ** 24 };
  try {
    return (await promisify(execFile)(command, args, options)).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${[command, ...args].join(' ')} failed\n${stdout}${stderr}`, { cause: error });
  }
}
