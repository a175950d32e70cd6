/** The lab, for people: `npm run lab -- --help`. */
import { parseArgs } from 'node:util';
import { plantAll } from './planted.ts';
import { runModel } from './run-model.ts';
import { runScenarios } from './run-scenarios.ts';
import { replay, runSimulation } from './run-simulation.ts';
import { scenarios } from './scenarios.ts';

const help = `npm run lab                        all scenarios, as short as in CI
npm run lab -- F30 F31             these
npm run lab -- F11 --rounds 100000 as long as you like; --seconds 600 as well
npm run lab -- F30 --pg 15         on another major version of PostgreSQL, 14 to 18
npm run lab -- --list              what there is
npm run lab -- --planted [part]    known bugs, each planted in a copy of the project: caught there, or not
npm run lab -- model               every state of the protocol; --horizon, --ttl and --grants make it larger
npm run lab -- simulate            the client in simulated time: --seeds 100000, --from 1, --no-guard for the twin
npm run lab -- simulate --seed 42  one of them again, with all that happens`;

const numbers = ['rounds', 'seconds', 'pg', 'seed', 'seeds', 'from', 'horizon', 'ttl', 'grants'] as const;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: 'boolean' },
    list: { type: 'boolean' },
    planted: { type: 'boolean' },
    'no-guard': { type: 'boolean' },
    ...(Object.fromEntries(numbers.map((name) => [name, { type: 'string' }])) as Record<
      (typeof numbers)[number],
      { type: 'string' }
    >),
  },
});

function numberOf(name: (typeof numbers)[number]): number | undefined {
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

function list(): number {
  for (const { id, fault, promise } of scenarios) console.log(`${id}  ${fault}\n     ${promise}`);
  return 0;
}

async function run(): Promise<number> {
  const [command, ...rest] = positionals;
  if (values.list) return list();
  if (values.planted) return plantAll(positionals);
  if (command === 'model' && rest.length === 0) {
    const [horizon = 3, ttl = 2, grants = 2] = [numberOf('horizon'), numberOf('ttl'), numberOf('grants')];
    return runModel({ horizon, ttl, grants });
  }
  if (command === 'simulate' && rest.length === 0) {
    const seed = numberOf('seed');
    if (seed !== undefined) return replay(seed);
    return runSimulation(numberOf('seeds') ?? 10_000, numberOf('from') ?? 1, values['no-guard'] !== true);
  }
  const options = { rounds: numberOf('rounds'), seconds: numberOf('seconds'), pg: numberOf('pg') };
  return runScenarios(positionals.map(scenarioOf), options);
}

try {
  if (values.help) console.log(help);
  else process.exitCode = await run();
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
