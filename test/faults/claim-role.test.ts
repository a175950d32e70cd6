// @module-tag F40
import { Fencepost } from 'fencepost';
import { migrate } from 'fencepost/migrate';
import pg from 'pg';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createJobs, insertJobs, jobsOf, livingStorages } from '../support/jobs.ts';
import { createRole } from '../support/role.ts';

test.each(livingStorages)(
  'a role that may use its table and our functions claims in storage %s and settles; it cannot touch our tables, nor prepare',
  async (storage) => {
    await using database = await createDatabase();
    const app = await createRole(database, '_app');
    await migrate({ connection: database.url, grant: app.name });
    await createJobs(database);
    await insertJobs(database, 3);
    await database.query(`grant select, update on public.job to ${pg.escapeIdentifier(app.name)}`);
    const pool = new pg.Pool({ connectionString: app.url });
    {
      await using owner = new Fencepost({ connection: database.url });
      await using fencepost = new Fencepost({ connection: app.url });
      const jobs = jobsOf(fencepost, pool, { storage });
      await expect(jobs.ensure()).rejects.toMatchObject({ code: 'DATABASE', sqlState: '42501' });
      await jobsOf(owner, database.pool, { storage }).ensure();
      await jobs.ensure();
      const claims = await jobs.claim({ limit: 3 });
      expect(claims).toHaveLength(3);
      await Promise.all([
        claims[0]?.complete(),
        claims[1]?.complete(async () => {}),
        claims[2]?.release({ error: 'no' }),
      ]);
      expect(await jobs.aside()).toEqual([]);
      const keyed = jobsOf(fencepost, pool, { storage, perKey: { by: 'weight', limit: 1 } });
      expect(await keyed.claim({ limit: 2 })).toHaveLength(1);
      await expect(pool.query('delete from fencepost.claim')).rejects.toMatchObject({ code: '42501' });
      await expect(pool.query('delete from fencepost.holder')).rejects.toMatchObject({ code: '42501' });
      await expect(pool.query('select fencepost.next_token()')).rejects.toMatchObject({ code: '42501' });
    }
    await pool.end();
  },
);
