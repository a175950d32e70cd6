import Table from 'cli-table3';

/** A table for people: one line a row, no frames, numbers to the right. */
export function tableOf(columns: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const nothing = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '' };
  const table = new Table({
    head: [...columns],
    chars: {
      ...nothing,
      ...{ 'bottom-left': '', 'bottom-right': '', left: '', 'left-mid': '', mid: '', 'mid-mid': '' },
      ...{ right: '', 'right-mid': '', middle: '  ' },
    },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map((_, place) =>
      rows.length > 0 && rows.every((row) => typeof row[place] === 'number' || row[place] === '')
        ? 'right'
        : 'left',
    ),
  });
  for (const row of rows) table.push(row.map(cell));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Names come from others: what would move the cursor or break the line is shown, not sent. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  return String(value).replace(/\p{C}/gu, (hidden) => JSON.stringify(hidden).slice(1, -1));
}

/** Milliseconds, as people say it. */
export function timeOf(milliseconds: number): string {
  const seconds = Math.abs(milliseconds) / 1_000;
  const text =
    seconds < 10
      ? `${seconds.toFixed(1)} s`
      : seconds < 120
        ? `${Math.round(seconds)} s`
        : seconds < 7_200
          ? `${Math.round(seconds / 60)} min`
          : seconds < 172_800
            ? `${Math.round(seconds / 3_600)} h`
            : `${Math.round(seconds / 86_400)} d`;
  return milliseconds < 0 ? `-${text}` : text;
}

/** For scripts: one JSON value, with tokens and keys as texts, because they are too large for numbers there. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part), 2);
}

/** Prints rows for people or for scripts, and says when there are more. */
export function print(
  { json, limit }: { readonly json?: true; readonly limit?: number },
  found: readonly object[],
  columns: readonly string[],
  rowOf: (index: number) => readonly unknown[],
  none: string,
): void {
  const shown = limit === undefined ? found : found.slice(0, limit);
  if (json || shown.length === 0) {
    console.log(json ? jsonOf(shown) : none);
    return;
  }
  console.log(
    tableOf(
      columns,
      shown.map((_, index) => rowOf(index)),
    ),
  );
  if (shown.length < found.length) console.error(`There are more: --limit shows more than ${limit}.`);
}
