import { max, median, min, quantile } from 'simple-statistics';
import type { Figures, Report, Table } from './report.ts';

export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function summary(figures: Figures | undefined): Summary | undefined {
  if (figures === undefined || figures.length === 0) return undefined;
  const all = [...figures];
  return { median: median(all), least: min(all), most: max(all) };
}

/** The value below which so much of them lies; not a number when there are none. */
export function share(part: number, values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : quantile([...values], part);
}

export function tableOf(report: Report, id: string): Table | undefined {
  return report.works.flatMap(({ tables }) => tables).find((table) => table.id === id);
}

/** The median of a side at a point of a table, if it was measured. */
export function figureOf(table: Table | undefined, side: string, point: string): number | undefined {
  const row = table?.sides.find(({ name }) => name === side);
  return summary(row?.figures[table?.points.indexOf(point) ?? -1])?.median;
}

/** Few enough digits to read, enough to compare. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toLocaleString('en-US', { maximumFractionDigits: digits });
}
