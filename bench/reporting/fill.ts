import { checksOf } from './checks.ts';
import { checksTable, tableText } from './markdown.ts';
import type { Report } from './report.ts';
import { tableOf } from './statistics.ts';

/** `<!-- bench: ID -->` to `<!-- end -->`: a table by its id, or `checks`, or `machine`. */
export function filled(text: string, report: Report): string {
  return text.replaceAll(/(<!-- bench: (\S+) -->\n)[\s\S]*?(<!-- end -->)/g, (_, start, id, end) => {
    return `${start}\n${content(report, id)}\n\n${end}`;
  });
}

function content(report: Report, id: string): string {
  if (id === 'checks') return checksTable(checksOf(report));
  if (id === 'machine')
    return `${report.command.includes('--quick') ? 'A quick run, less exact than a whole one. ' : ''}Figures of \`${report.command}\`, ${report.at} UTC: ${[report.machine, ...report.versions].join('; ')}.`;
  const table = tableOf(report, id);
  return table === undefined
    ? 'Not measured.'
    : `${table.title}, ${table.unit}:\n\n${tableText(table, false)}`;
}
