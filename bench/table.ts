import { compare, type Side } from './sides.ts';

/** Measures for each number of callers and prints a table: pairs a second, and how many times the first side beats each. */
export async function printTable(
  title: string,
  numbers: string,
  sidesFor: (callers: number) => Side[],
  { seconds, rounds }: { seconds: number; rounds: number },
): Promise<void> {
  const table: Record<string, Record<string, string>> = {};
  for (const callers of numbers.split(',').map(Number)) {
    const sides = sidesFor(callers);
    const medians = await compare(sides, { callers, seconds, rounds });
    const [ours = 0] = medians;
    table[callers] = Object.fromEntries(
      sides.map(({ name }, place) => {
        const figure = medians[place] ?? 1;
        const ratio = place === 0 ? '' : ` (${sides[0]?.name}: ${(ours / figure).toFixed(2)} times)`;
        return [name, `${Math.round(figure)}${ratio}`];
      }),
    );
  }
  console.log(`${title}: pairs a second by callers, median of ${rounds} rounds`);
  console.table(table);
}
