import { afterAll } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { contractsOf, twoProcesses } from '../testing/pairs.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

contractsOf('on Postgres', () => twoProcesses(database));
