/**
 * Measures Fencepost next to others that do the same, and writes report.md, with charts and the raw figures in report/.
 *
 *   npm run bench                      everything, about 25 minutes
 *   npm run bench -- --quick           everything, less exactly, under 3 minutes
 *   npm run bench -- --only NAME       one work (may be given several times); the others keep their last figures
 *   npm run bench -- --write-docs      measures nothing: puts the last figures into docs/performance.md
 */
import { parseArgs } from 'node:util';
import { writeDocs } from './reporting/docs.ts';
import { writeReport } from './reporting/files.ts';
import { measure } from './runner/measure.ts';
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
if (values['write-docs']) {
  await writeDocs();
} else {
  const effort = values.quick
    ? { quick: true, rounds: 2, seconds: 0.15 }
    : { quick: false, rounds: 5, seconds: 1 };
  const report = await measure(
    works.filter(({ name }) => values.only.length === 0 || values.only.includes(name)),
    {
      ...effort,
      ...(values.rounds === undefined ? {} : { rounds: count('--rounds', values.rounds) }),
      ...(values.seconds === undefined ? {} : { seconds: count('--seconds', values.seconds) }),
    },
    values.only.length > 0,
  );
  await writeReport(report);
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (value > 0) return value;
  console.error(`${name} has to be a number above 0, not ${text}`);
  process.exit(2);
}
