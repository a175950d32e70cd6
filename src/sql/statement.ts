/** One statement as a value. The name prepares it on connections that can keep prepared statements. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

/** A transaction of several statements of ours. */
export const begin: Statement = {
  name: 'begin',
  text: 'begin isolation level read committed read only',
  values: [],
};
export const commit: Statement = { name: 'commit', text: 'commit', values: [] };

/** A row as the server sent it: every value is text or null. */
export type Row = Readonly<Record<string, string | null>>;

/** The call of one of our functions that answers one value, in the column `answer`. */
export function callOf(schema: string, name: string, values: readonly unknown[]): Statement {
  const parameters = values.map((_, index) => `$${index + 1}`).join(', ');
  return { name, text: `select ${identifier(schema)}.${name}(${parameters}) as answer`, values };
}

/** The call of one of our functions that answers several values, each in its column. */
export function rowOf(schema: string, name: string, values: readonly unknown[]): Statement {
  const parameters = values.map((_, index) => `$${index + 1}`).join(', ');
  return { name, text: `select * from ${identifier(schema)}.${name}(${parameters})`, values };
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as a literal that means the same whatever `standard_conforming_strings` says. */
export function literal(text: string): string {
  return /^[\w :/.,@-]*$/.test(text)
    ? `'${text}'`
    : `convert_from(decode('${Buffer.from(text).toString('hex')}', 'hex'), 'UTF8')`;
}

/** An array as Postgres reads it, of texts that mean nothing in it: numbers, uuids, booleans. */
export function plainArray(values: readonly (string | number | bigint | boolean)[]): string {
  return `{${values.join()}}`;
}

/** An array of any texts as Postgres reads it. */
export function textArray(values: readonly string[]): string {
  if (values.length === 0) return '{}';
  const plain = values.some((text) => /["\\]/.test(text))
    ? values.map((text) => text.replace(/["\\]/g, '\\$&'))
    : values;
  return `{"${plain.join('","')}"}`;
}

/** The elements of a one-dimensional array of numbers as Postgres writes it: `{1,2}`. */
export function numbersOf(array: string | null | undefined): string[] {
  return array == null || array === '{}' ? [] : array.slice(1, -1).split(',');
}

/** An interval of so many milliseconds, as Postgres reads it: in 14 a field of it has to fit into 32 bits. */
export function interval(milliseconds: number): string {
  return `${milliseconds / 1_000} seconds`;
}
