/** The lab, for people: `npm run lab -- --help`. */
import { parseArgs } from 'node:util';
import { runScenarios } from './run-scenarios.ts';
import { scenarios } from './scenarios.ts';

const help = `npm run lab                        all scenarios, as short as in CI
npm run lab -- F30 F31             these
npm run lab -- F11 --rounds 100000 as long as you like; --seconds 600 as well
npm run lab -- F30 --pg 15         on another major version of PostgreSQL, 14 to 18
npm run lab -- --list              what there is`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: 'boolean' },
    list: { type: 'boolean' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    pg: { type: 'string' },
  },
});

function numberOf(name: 'rounds' | 'seconds' | 'pg'): number | undefined {
  const given = values[name];
  if (given === undefined) return undefined;
  const number = Number(given);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new TypeError(`--${name}: expected a whole number above 0, got ${JSON.stringify(given)}`);
}

function scenarioOf(given: string): string {
  const id = given.toUpperCase();
  if (scenarios.some((scenario) => scenario.id === id)) return id;
  throw new TypeError(`expected a scenario from F01 to F42, got ${JSON.stringify(given)}\n${help}`);
}

async function run(): Promise<number> {
  if (values.help) console.log(help);
  else if (values.list)
    for (const { id, fault, promise } of scenarios) console.log(`${id}  ${fault}\n     ${promise}`);
  else {
    const [rounds, seconds, pg] = [numberOf('rounds'), numberOf('seconds'), numberOf('pg')];
    return runScenarios(positionals.map(scenarioOf), { rounds, seconds, pg });
  }
  return 0;
}

try {
  process.exitCode = await run();
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
