import type { Row } from '../../sql/statement.ts';

/** What the server answers a statement with, or the SQLSTATE that it fails with. */
export type Reply = { readonly rows: readonly Row[] } | { readonly sqlState: string };

/** A parameter as our statements write it. */
export type Value = unknown;

export const answer = (value: string | null): Reply => ({ rows: [{ answer: value }] });

/** An array of numbers as Postgres writes it. */
export const list = (values: readonly unknown[]): string =>
  `{${values.map((one) => one ?? 'NULL').join(',')}}`;

/** Milliseconds of an interval as our statements write it. */
export const milliseconds = (interval: Value): number => Number(String(interval).split(' ')[0]) * 1_000;

/** The texts of an array: one that Postgres would read, or one of JavaScript. */
export function texts(array: Value): string[] {
  if (Array.isArray(array)) return array.map(String);
  const elements = String(array ?? '{}').matchAll(/"((?:[^"\\]|\\[\s\S])*)"|([^",{}]+)/g);
  return Array.from(elements, ([, quoted, plain]) => quoted?.replace(/\\([\s\S])/g, '$1') ?? plain ?? '');
}

/** Of columns that go together the element at one place; undefined where there is no such column. */
export function at<Element>(column: Value, place: number): Element | undefined {
  return Array.isArray(column) ? ((column[place] ?? undefined) as Element | undefined) : undefined;
}
