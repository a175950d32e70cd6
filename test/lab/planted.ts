/** A copy of the project with a known bug in it: the only build that can have one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Edit, type KnownBug, knownBugs } from './known-bugs.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));
const parts = ['src', 'sql', 'migrations', 'test', 'vitest.config.ts', 'tsconfig.json', 'package.json'];

/** What a test said when it failed, by its name. */
interface Failure {
  readonly test: string;
  readonly message: string;
}

interface Outcome {
  readonly passed: number;
  readonly failures: readonly Failure[];
}

/** Each test has to pass without a bug, and to fail with the one that it is there for; the exit code. */
export async function plantAll(parts: readonly string[]): Promise<number> {
  const bugs = knownBugs.filter(({ name }) => parts.every((part) => name.includes(part)));
  const sound = await runIn(
    [],
    bugs.map((bug) => bug.test),
  );
  console.log(`without any bug: ${sound.passed} passed, ${sound.failures.length} failed`);
  for (const { test, message } of sound.failures) console.log(`        ${test}: ${message.slice(0, 200)}`);
  let caught = 0;
  for (const { name, edits, test } of bugs) {
    const [failure] = (await runIn(edits, [test])).failures;
    const outcome = failure === undefined ? 'MISSED' : isNoBug.test(failure.message) ? 'NO BUG' : 'caught';
    if (outcome === 'caught') caught += 1;
    console.log(`${outcome}  ${name}`);
    console.log(`        by ${test.file}: ${test.name}`);
    if (failure !== undefined) console.log(`        ${failure.message.split('\n')[0]?.slice(0, 200)}`);
  }
  const rate = bugs.length === 0 ? 0 : (100 * caught) / bugs.length;
  console.log(`\n${caught} of ${bugs.length} known bugs caught: ${rate.toFixed(0)} %`);
  return sound.failures.length === 0 && bugs.length > 0 && caught === bugs.length ? 0 : 1;
}

async function runIn(edits: readonly Edit[], tests: readonly KnownBug['test'][]): Promise<Outcome> {
  const copy = join(project, '.cache', 'lab', `${process.pid}`);
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy, { recursive: true });
  try {
    for (const part of parts) cpSync(join(project, part), join(copy, part), { recursive: true });
    symlinkSync(join(project, 'node_modules'), join(copy, 'node_modules'));
    for (const edit of edits) plantIn(copy, edit);
    const report = join(copy, 'report.json');
    const vitest = spawn(
      join(project, 'node_modules', '.bin', 'vitest'),
      [
        'run',
        ...new Set(tests.map(({ file }) => file)),
        '-t',
        tests.map(({ name }) => patternOf(name)).join('|'),
        '--typecheck=false',
        // With a bug a test may hang, and the first failure is enough.
        ...(edits.length > 0 ? ['--bail=1', '--testTimeout=30000', '--hookTimeout=10000'] : []),
        '--reporter=json',
        `--outputFile=${report}`,
      ],
      {
        cwd: copy,
        stdio: 'ignore',
        env: { ...process.env, FENCEPOST_TEST_SERVER: 'embedded', FENCEPOST_LAB_ROUNDS: '' },
      },
    );
    await once(vitest, 'close');
    return outcomeIn(report);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Statements that Postgres does not understand: what was planted would be noticed by anybody. */
const isNoBug = /could not run \w+: (syntax error|.* does not exist)/;

const patternOf = (name: string): string => name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

function outcomeIn(report: string): Outcome {
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as {
    testResults: { assertionResults: { status: string; fullName: string; failureMessages: string[] }[] }[];
  };
  const results = testResults.flatMap(({ assertionResults }) => assertionResults);
  return {
    passed: results.filter(({ status }) => status === 'passed').length,
    failures: results
      .filter(({ status }) => status === 'failed')
      .map(({ fullName, failureMessages }) => ({ test: fullName, message: failureMessages.join('\n') })),
  };
}

/** Puts the bug in its place, which has to be there; in the copy of a function that a migration has as well. */
export function plantIn(folder: string, { file, from, to }: Edit): void {
  const path = join(folder, file);
  const before = readFileSync(path, 'utf8');
  if (!before.includes(from))
    throw new Error(`${file} has no ${JSON.stringify(from)}: the bug has to be made anew`);
  const after = before.replace(from, () => to);
  writeFileSync(path, after);
  if (!file.startsWith('sql/')) return;
  for (const name of readdirSync(join(folder, 'migrations'))) {
    const migration = join(folder, 'migrations', name);
    writeFileSync(
      migration,
      readFileSync(migration, 'utf8').replace(before.trim(), () => after.trim()),
    );
  }
}
