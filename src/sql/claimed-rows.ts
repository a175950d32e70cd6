import type { ClaimedRow, ClaimedState } from './claim.ts';
import type { Position } from './claim-asked.ts';
import type { Row } from './statement.ts';

type Rest = [tenant: string | null, name: string | null, group: [number, string] | null, ...key: string[]];

const states: Readonly<Record<string, ClaimedState>> = {
  a: 'aside',
  b: 'claimed',
  c: 'claimed',
  r: 'refused',
  o: 'others',
};

const noRest: Rest = [null, null, null];

/** What a claim answered. */
export interface Answer {
  /** The rows that it took, in order; one that is refused stands for any number of them. */
  readonly rows: readonly ClaimedRow[];
  /** Where in the order it ended, if that was asked and it found any. */
  readonly ended: Position | null;
}

export function readClaimed(rows: readonly Row[]): Answer {
  const first = rows[0]?.fencepost;
  if (first == null) return { rows: [], ended: null };
  const own = ownColumns(rows[0]);
  const batch = batchHead.exec(first);
  if (batch !== null) return readBatch(batch as unknown as BatchHead, rows, own);
  const read: Ranked[] = [];
  const token = { text: '0', value: 0n };
  let sorted = true;
  let last = 0;
  let ended: Position | null = null;
  for (const row of rows) {
    const at = endText.exec(row.fencepost ?? '');
    if (at !== null) {
      ended = { values: JSON.parse(String(at[1])) as string[], token: token.value };
      continue;
    }
    const one = readRow(row, own, token);
    sorted &&= last <= one.rank;
    last = one.rank;
    read.push(one);
  }
  return { rows: sorted ? read : read.sort((a, b) => a.rank - b.rank), ended };
}

/** What comes after the rows where it was asked where they end. */
const endText = /^=at (.*)$/s;

/**
 * What stands in front of the rows of a batch, in a row of its own: how many columns their key has, their token, which
 * of them were claimed (`-` is all), and their names with the values of the last one in the columns of the order.
 */
const batchHead = /^=batch (\d+) (\d+) (-|[01]+) (\[.*)$/s;

type BatchHead = [whole: string, columns: string, token: string, mask: string, names: string];

function readBatch(
  [, columns, drawn, mask, list]: BatchHead,
  rows: readonly Row[],
  own: readonly string[],
): Answer {
  const single = columns === '1';
  const token = BigInt(drawn);
  const [names, values] = JSON.parse(list) as [string[], string[] | null];
  const claimed = names.map((name, index): ClaimedRow => {
    return {
      token,
      attempt: 1,
      state: mask[index] === '0' ? 'refused' : 'claimed',
      tenant: null,
      name: single ? null : name,
      place: index + 1,
      group: null,
      key: single ? [name] : (JSON.parse(name) as string[]),
      row: rowOf(own, rows[index + 1] ?? {}),
    };
  });
  return { rows: claimed, ended: values === null ? null : { values, token } };
}

interface Ranked extends ClaimedRow {
  readonly rank: number;
}

/** By hand: a regular expression and its pieces cost as much as all the rest of it. `token`: the last one, most are the same. */
function readRow(row: Row, own: readonly string[], token: { text: string; value: bigint }): Ranked {
  const text = row.fencepost ?? '';
  const first = text.indexOf(' ');
  const second = text.indexOf(' ', first + 1);
  const third = text.indexOf(' ', second + 1);
  const letter = text[third + 1] ?? '';
  const state = states[letter];
  if (text[0] !== '=' || third < 0 || state === undefined)
    throw new Error(`the answer of a claim says ${text}`);
  const drawn = text.slice(first + 1, second);
  if (drawn !== token.text) {
    token.text = drawn;
    token.value = BigInt(drawn);
  }
  const rest = text.slice(third + 2);
  const bare = rest.startsWith('=');
  const parts = bare || rest === '' ? noRest : (JSON.parse(rest) as Rest);
  return {
    rank: Number(text.slice(1, first)),
    token: token.value,
    attempt: Number(text.slice(second + 1, third)),
    state,
    tenant: parts[0],
    name: parts[1],
    place: letter === 'b' ? Number(text.slice(1, first)) : null,
    group: parts[2],
    key: bare ? [rest.slice(1)] : (parts.slice(3) as string[]),
    row: rowOf(own, row),
  };
}

/** The row as its owner knows it. A plugin may have renamed our columns. */
export function withoutOurs(row: Row): Row {
  return rowOf(ownColumns(row), row);
}

function ownColumns(row: Row = {}): string[] {
  return Object.keys(row).filter((name) => !/^fencepost(_|[A-Z]|$)/.test(name));
}

function rowOf(columns: readonly string[], row: Row): Row {
  const own: Record<string, Row[string]> = {};
  for (const column of columns) own[column] = row[column] as Row[string];
  return own;
}
