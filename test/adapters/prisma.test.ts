import { fromPrisma, type PrismaTransaction } from 'fencepost/adapters';
import { transactionLockRules } from '../contract/transaction-lock-rules.ts';
import { heldOpen } from './held-open.ts';
import { connectPrisma } from './prisma-client.ts';

await transactionLockRules('an interactive transaction of Prisma', async ({ url }) => {
  const prisma = await connectPrisma(url);
  return {
    open: () =>
      heldOpen<PrismaTransaction>(
        (work) => prisma.$transaction(work, { timeout: 20_000 }),
        fromPrisma,
        (tx, statement) => tx.$queryRawUnsafe(statement),
      ),
    outside: fromPrisma(prisma),
    [Symbol.asyncDispose]: () => prisma.$disconnect(),
  };
});
