import pg from 'pg';

/** Plain connections to the server of a script, which has no test database. */
export interface ServerPool extends AsyncDisposable {
  /** One of them, until the end of the block. */
  connect(): Promise<pg.PoolClient & AsyncDisposable>;
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
}

export function openPool(url: string, max = 4): ServerPool {
  const pool = new pg.Pool({ connectionString: url, max, application_name: 'plain' });
  pool.on('error', () => {});
  return {
    async connect() {
      const client = await pool.connect();
      return Object.assign(client, { [Symbol.asyncDispose]: async () => client.release() });
    },
    query: async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) =>
      (await pool.query<Row>(text, values)).rows,
    [Symbol.asyncDispose]: () => pool.end(),
  };
}
