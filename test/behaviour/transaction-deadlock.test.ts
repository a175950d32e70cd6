import { afterAll, expect, test } from 'vitest';
import { connect, failure, heldKeys } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { blockedIn } from '../support/sessions.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

test('the victim of a deadlock keeps its session locks, and the other goes on waiting until they are released', async () => {
  await using clients = await connect(database, 2);
  const [victim, other] = clients;
  await victim.query(`set deadlock_timeout = '10ms'; begin; select pg_advisory_lock(1)`);
  await other.query(`set deadlock_timeout = '1h'; begin; select pg_advisory_lock(2)`);
  const waits = other.query('select pg_advisory_lock(1)');
  await blockedIn(database, 'pg_advisory_lock');
  expect(await failure(victim.query('select pg_advisory_lock(2)'))).toMatchObject({ code: '40P01' });
  await victim.query('rollback');
  expect(await heldKeys(victim)).toEqual([1]);
  expect(await blockedIn(database, 'pg_advisory_lock')).toHaveLength(1);
  await victim.query('select pg_advisory_unlock(1)');
  await waits;
});

test('the victim of a deadlock over transaction locks keeps those from before its savepoint', async () => {
  await using clients = await connect(database, 2);
  const [victim, other] = clients;
  await victim.query(`set deadlock_timeout = '10ms'; begin; select pg_advisory_xact_lock(1); savepoint here`);
  await other.query(`set deadlock_timeout = '1h'; begin; select pg_advisory_xact_lock(2)`);
  const waits = other.query('select pg_advisory_xact_lock(1)');
  await blockedIn(database, 'pg_advisory_xact_lock');
  expect(await failure(victim.query('select pg_advisory_xact_lock(2)'))).toMatchObject({ code: '40P01' });
  await victim.query('rollback to here');
  expect(await heldKeys(victim)).toEqual([1]);
  await victim.query('rollback');
  await waits;
  expect(await heldKeys(other)).toEqual([1, 2]);
});
