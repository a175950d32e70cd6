import { Fencepost, SchemaError } from 'fencepost';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createJobs, jobsOf } from '../support/jobs.ts';
import { buryHolders, claimRules } from './claim-rules.ts';

await claimRules({
  storage: 'columns',
  bury: buryHolders,
  kept: {
    written: 'job',
    moveTokens: ({ query }, condition, token = 'fencepost_token + 1') =>
      query(`update job set fencepost_token = ${token} where ${condition}`),
  },
});

test('the columns are missed by their names, and ddl() has them', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = jobsOf(fencepost, database.pool);
  await expect(jobs.claim()).rejects.toThrow(SchemaError);
  await expect(jobs.claim()).rejects.toThrow(/lacks fencepost_token, .*: call ensure\(\)/);
  expect(jobs.ddl()).toMatch(
    /^alter table "public"."job"\n {2}add column if not exists fencepost_token bigint/,
  );
});
