/**
 * Measures Fencepost next to others that do the same, and writes report.md, with charts and the raw figures in report/.
 *
 *   npm run bench                      everything, about half an hour
 *   npm run bench -- --quick           everything, less exactly, under 3 minutes
 *   npm run bench -- --only NAME       one work (may be given several times); the others keep their last figures
 *   npm run bench -- --write-docs      measures nothing: puts the last figures into docs/performance.md
 */
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { writeDocs } from './reporting/docs.ts';
import { writeReport } from './reporting/files.ts';
import { measure } from './runner/measure.ts';
import { MissingServer } from './runner/servers.ts';
import { works } from './work/all.ts';

const names = works.map(({ name }) => name);
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    'write-docs': { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
  },
});
const unknown = values.only.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`--only has to be one of ${names.join(', ')}, not ${unknown.join(', ')}`);
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => process.exit(128 + constants.signals[signal]));

if (values['write-docs']) {
  await writeDocs();
} else {
  const effort = values.quick
    ? { quick: true, rounds: 2, seconds: 0.1 }
    : { quick: false, rounds: 5, seconds: 1 };
  const chosen = works.filter(({ name }) => values.only.length === 0 || values.only.includes(name));
  const command = ['npm run bench', ...process.argv.slice(2)].join(' ').replace(/ (?=-)/, ' -- ');
  try {
    const report = await measure(
      chosen,
      {
        ...effort,
        ...(values.rounds === undefined ? {} : { rounds: count('--rounds', values.rounds) }),
        ...(values.seconds === undefined ? {} : { seconds: count('--seconds', values.seconds) }),
      },
      command,
      works.filter((work) => !chosen.includes(work)),
    );
    await writeReport({
      ...report,
      works: works.flatMap(({ name }) => report.works.filter((one) => one.name === name)),
    });
    if (report.works.some(({ failed }) => failed !== undefined)) process.exitCode = 1;
  } catch (error) {
    if (!(error instanceof MissingServer)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (value > 0) return value;
  console.error(`${name} has to be a number above 0, not ${text}`);
  process.exit(2);
}
