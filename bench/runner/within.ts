import { setTimeout as delay } from 'node:timers/promises';

/** Rejects when it takes longer. */
export async function within<Answer>(milliseconds: number, answer: Promise<Answer>): Promise<Answer> {
  answer.catch(() => {});
  const end = new AbortController();
  const late = delay(milliseconds, undefined, end).then(() => {
    throw new Error(`not done within ${milliseconds / 1_000} s`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([answer, late]);
  } finally {
    end.abort();
  }
}
