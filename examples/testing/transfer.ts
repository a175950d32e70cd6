import type { Lease } from 'fencepost';
import type pg from 'pg';

/** Moves money under a lease: the guard and both updates are one transaction. */
export async function transfer(pool: pg.Pool, lease: Lease, amount: number): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    await lease.guard(client);
    await client.query('update account set balance = balance - $1 where id = 1', [amount]);
    await client.query('update account set balance = balance + $1 where id = 2', [amount]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}
