import type pg from 'pg';

/** How often the invoices of a tenant stand in the ledger. */
interface Line {
  readonly tenant: string;
  readonly invoices: number;
  readonly once: number;
  readonly twice: number;
  readonly missing: number;
}

const audit = `
  select tenant, count(*)::integer as invoices,
    count(*) filter (where sent = 1)::integer as once,
    count(*) filter (where sent > 1)::integer as twice,
    count(*) filter (where sent = 0)::integer as missing
  from (select i.tenant, i.id, count(l.invoice) as sent
        from invoice i left join ledger l on l.invoice = i.id group by i.id) counted
  group by tenant order by invoices desc, tenant`;

/** Prints what the ledger and the gateway say, and answers whether each invoice was sent once as far as the ledger goes. */
export async function report(pool: pg.Pool): Promise<boolean> {
  const { rows } = await pool.query<Line>(audit);
  const [flood, ...others] = rows;
  if (flood === undefined) throw new Error('there are no invoices');
  const sum = (name: Exclude<keyof Line, 'tenant'>, lines: readonly Line[]): number =>
    lines.reduce((total, line) => total + line[name], 0);
  const row = (name: string, lines: readonly Line[]): string =>
    [
      name.padEnd(24),
      ...(['invoices', 'once', 'twice', 'missing'] as const).map((column) =>
        String(sum(column, lines)).padStart(9),
      ),
    ].join('');
  console.log(`\n${'In the ledger'.padEnd(24)} invoices     once    twice  missing`);
  console.log(row(flood.tenant, [flood]));
  console.log(row(`${others.length} other tenants`, others));
  console.log(row('all', rows));

  const { rows: calls } = await pool.query<{ calls: number; again: number }>(
    'select count(*)::integer as calls, (count(*) - count(distinct invoice))::integer as again from gateway_call',
  );
  console.log(
    `\nThe mail gateway was called ${calls[0]?.calls} times, ${calls[0]?.again} of them for an invoice again.`,
  );
  console.log(
    'That is outside of the database: it happens at least once, and needs a key that the gateway knows.',
  );
  return sum('once', rows) === sum('invoices', rows);
}
