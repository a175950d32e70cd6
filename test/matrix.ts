/**
 * Runs the suite against real servers of every supported major version, one after the other.
 *
 *     node test/matrix.ts                     all of them
 *     node test/matrix.ts 14 16               these
 *     node test/matrix.ts 14 -- test/unit     what follows -- goes to vitest
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { findBuild, majors } from './servers/build.ts';

interface Outcome {
  version: string;
  passed: number;
  failed: number;
  seconds: number;
}

const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));

async function runSuite(major: number, extra: string[]): Promise<Outcome> {
  const started = performance.now();
  const child = spawn(process.execPath, [vitest, 'run', ...extra], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}),
      FENCEPOST_TEST_URL: '',
      FENCEPOST_TEST_SERVER: 'embedded',
      FENCEPOST_TEST_VERSION: String(major),
    },
  });
  const forward = (signal: NodeJS.Signals): boolean => child.kill(signal);
  process.once('SIGTERM', forward);
  const outcome: Outcome = { version: String(major), passed: 0, failed: 0, seconds: 0 };
  createInterface({ input: child.stdout }).on('line', (line) => {
    console.log(line);
    const server = /^Test server: PostgreSQL ([\d.]+)/.exec(line);
    if (server) outcome.version = String(server[1]);
    const counts = /^(\d+) passed, (\d+) failed$/.exec(line);
    if (counts) [outcome.passed, outcome.failed] = [Number(counts[1]), Number(counts[2])];
  });
  const [code] = await once(child, 'close');
  process.off('SIGTERM', forward);
  if (code !== 0) outcome.failed ||= 1;
  outcome.seconds = Math.round((performance.now() - started) / 100) / 10;
  return outcome;
}

const [, , ...given] = process.argv;
const end = given.includes('--') ? given.indexOf('--') : given.length;
const chosen = end > 0 ? given.slice(0, end).map(Number) : majors;
for (const major of chosen) {
  if (!majors.includes(major))
    throw new RangeError(`expected versions out of ${majors.join(', ')}, got ${given}`);
}

const outcomes: Outcome[] = [];
for (const [index, major] of chosen.entries()) {
  console.log(`\n=== PostgreSQL ${major} (${index + 1} of ${chosen.length}) ===`);
  await findBuild(major);
  outcomes.push(await runSuite(major, given.slice(end + 1)));
}
console.table(outcomes);
process.exitCode = outcomes.some(({ failed }) => failed > 0) ? 1 : 0;
