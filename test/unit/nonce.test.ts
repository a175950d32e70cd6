import { expect, test } from 'vitest';
import { nextNonce } from '../../src/lease/nonce.ts';

test('each nonce is a uuid, and no other one', () => {
  const nonces = Array.from({ length: 10_000 }, nextNonce);
  expect(new Set(nonces).size).toBe(10_000);
  for (const nonce of nonces)
    expect(nonce).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
