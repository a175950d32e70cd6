import { type Check, checksOf, holds } from './checks.ts';
import type { Figures, Report, Table } from './report.ts';
import { numberText, summary } from './statistics.ts';

/** The whole report as a page. */
export function markdownOf(report: Report): string {
  const { command, at, machine, versions, settings, works } = report;
  return [
    '# Report',
    '',
    `Written by \`${command}\`, ${at} UTC. Do not edit: run it again.`,
    '',
    `- Machine: ${machine}; servers and clients share it.`,
    ...versions.map((version) => `- ${version}`),
    `- Each figure is the median of its rounds, with the least and the most in brackets; how many rounds, and how long, follows from the command. In a round the sides take turns: A B C, A B C. A shorter round comes first and does not count. Nothing is subtracted.`,
    '- Peers are measured through their public API. Rows called limit, and notify, are bare statements: what ours can reach at most.',
    '',
    '## What must hold',
    '',
    checksTable(checksOf(report)),
    '',
    ...works.flatMap(({ title, about, command: measured, at: when, took, tables, failed }) => [
      `## ${title}`,
      '',
      about,
      '',
      `Measured by \`${measured}\`, ${when} UTC, in ${took} s.`,
      '',
      ...(failed === undefined ? [] : [`**It failed:** ${failed.split('\n')[0]}`, '']),
      ...tables.flatMap((table) => [
        `### ${table.title}`,
        '',
        `${table.unit[0]?.toUpperCase()}${table.unit.slice(1)} by ${table.across}; ${table.better === 'more' ? 'more' : 'less'} is better.`,
        '',
        tableText(table),
        '',
        ...notes(table),
        `![${table.title}](report/${table.id}.svg)`,
        '',
      ]),
    ]),
    '## How each is set up',
    '',
    ...Object.entries(settings).map(([name, text]) => `- **${name}**: ${text}.`),
    '',
  ].join('\n');
}

/** A table of medians, a row for each side. */
export function tableText({ across, points, sides }: Table, spread = true): string {
  return rowsText([
    [across, ...points],
    ...sides.map(({ name, limit, figures }) => [
      limit ? `*${name}*` : name,
      ...points.map((_, place) => figureText(figures[place], spread)),
    ]),
  ]);
}

export function checksTable(checks: readonly Check[]): string {
  return rowsText([
    ['what', 'wanted', 'measured', 'holds'],
    ...checks.map((check) => [
      check.promise,
      `${check.at === 'least' ? 'at least' : 'at most'} ${check.wanted}`,
      check.value === undefined ? 'not measured' : numberText(check.value),
      { true: 'yes', false: '**no**', undefined: '-' }[`${holds(check)}`] ?? '-',
    ]),
  ]);
}

function figureText(figures: Figures | undefined, spread: boolean): string {
  const found = summary(figures);
  if (found === undefined) return '-';
  const { median, least, most } = found;
  const text = numberText(median);
  return spread && (figures?.length ?? 0) > 1 ? `${text} (${numberText(least)}-${numberText(most)})` : text;
}

function notes({ sides }: Table): string[] {
  const all = sides.flatMap(({ name, note }) => (note ? [`${name}: ${note}.`] : []));
  return all.length === 0 ? [] : [all.join(' '), ''];
}

/** Columns as wide as their widest cell, so that the page reads as it is. */
function rowsText(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${widths.map((width, column) => (row[column] ?? '').padEnd(width)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [line(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body.map(line)].join(
    '\n',
  );
}
