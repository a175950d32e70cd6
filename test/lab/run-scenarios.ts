import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scenarios } from './scenarios.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));

export interface ScenarioOptions {
  /** How often each of them does what it does; as short as in CI without it. */
  readonly rounds?: number | undefined;
  readonly seconds?: number | undefined;
  /** Major version of PostgreSQL. */
  readonly pg?: number | undefined;
}

/** The test files that have a test of some scenario, from `test` on. */
export function filesOf(ids: readonly string[], folder = join(project, 'test')): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }))
    .filter(({ text }) => ids.some((id) => text.includes(`'${id}'`) || text.includes(`@module-tag ${id}`)))
    .map(({ path }) => join(relative(project, folder), path))
    .sort();
}

/** Runs the tests of these scenarios, or of all, and tells about them; the exit code. */
export async function runScenarios(
  asked: readonly string[],
  { rounds, seconds, pg }: ScenarioOptions,
): Promise<number> {
  const ids = asked.length > 0 ? asked : scenarios.map(({ id }) => id);
  const environment: Record<string, string> = {
    // Crashes and stopped servers need servers of its own.
    FENCEPOST_TEST_SERVER: 'embedded',
    FENCEPOST_LAB_SCENARIOS: ids.join(' '),
  };
  if (rounds !== undefined) environment.FENCEPOST_LAB_ROUNDS = String(rounds);
  if (seconds !== undefined) environment.FENCEPOST_LAB_SECONDS = String(seconds);
  if (pg !== undefined) environment.FENCEPOST_TEST_VERSION = String(pg);
  const vitest = spawn(
    join(project, 'node_modules', '.bin', 'vitest'),
    [
      'run',
      ...filesOf(ids),
      '--typecheck=false',
      `--tagsFilter=${ids.join(' || ')}`,
      '--reporter=./test/lab/scenario-reporter.ts',
    ],
    { cwd: project, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...environment } },
  );
  const [code] = await once(vitest, 'close');
  return code ?? 1;
}
