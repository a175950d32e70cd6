export {
  type LeaseContractOptions,
  type LockContractOptions,
  leaseContract,
  lockContract,
  type Runner,
} from './testing/contract/contracts.ts';
export type { LockFeature } from './testing/contract/lock-rules.ts';
export type {
  ContractLock,
  ContractLocks,
  ContractOptions,
  ContractTransaction,
  LeaseProcess,
  LeaseSubject,
  LockSubject,
} from './testing/contract/subject.ts';
export {
  expire,
  type Freezable,
  type FrozenClock,
  freezeClock,
  type Held,
  killHolder,
} from './testing/faults.ts';
export {
  createMemoryFencepost,
  type MemoryFencepost,
  type MemoryFencepostOptions,
} from './testing/memory/memory-fencepost.ts';
export type { MemoryTransaction } from './testing/memory/memory-transaction.ts';
export type { MemoryTransactionLocks } from './testing/memory/memory-transaction-locks.ts';
export type { Pool, PoolRow } from './testing/servers/client.ts';
export {
  createTestDatabase,
  type TestDatabase,
  type TestDatabaseOptions,
  type TestDatabases,
} from './testing/servers/database.ts';
export type { Server, ServerKind, ServerOptions } from './testing/servers/supervise.ts';
export { startTestServer, type TestServer, type TestServerOptions } from './testing/servers/test-server.ts';
