import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PrismaPg } from '@prisma/adapter-pg';
import type { PrismaTransaction } from 'fencepost/adapters';

const run = promisify(execFile);
const folder = new URL('../../.cache/prisma/', import.meta.url);

/** As much of the client as the tests need: its types are only there once it has been generated. */
export interface PrismaClient {
  $transaction(
    work: (tx: PrismaTransaction) => Promise<void>,
    options: { timeout: number },
  ): Promise<unknown>;
  $queryRawUnsafe(text: string): Promise<unknown>;
  $disconnect(): Promise<void>;
}

const schema = `
generator client {
  provider = "prisma-client"
  output   = "./client"
  generatedFileExtension = "ts"
  importFileExtension    = "ts"
}
datasource db {
  provider = "postgresql"
}
model Note {
  text String @id
}
`;

/** Generates the client, as users of Prisma have to, and connects it. */
export async function connectPrisma(url: string): Promise<PrismaClient> {
  mkdirSync(folder, { recursive: true });
  const schemaFile = fileURLToPath(new URL('schema.prisma', folder));
  writeFileSync(schemaFile, schema);
  const cli = fileURLToPath(new URL('../../node_modules/prisma/build/index.js', import.meta.url));
  // Prisma would download a program for migrations, which generating does not use: any other stands in for it.
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' };
  await run(process.execPath, [cli, 'generate', '--schema', schemaFile], { env });
  const { PrismaClient } = await import(new URL('client/client.ts', folder).href);
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 10 }) });
}
