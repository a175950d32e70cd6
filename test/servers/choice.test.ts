import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, expect, inject, test, vi } from 'vitest';
import { startServer } from './start-server.ts';

const variables = ['FENCEPOST_TEST_URL', 'FENCEPOST_TEST_SERVER', 'FENCEPOST_TEST_VERSION'] as const;

/** Starts a server with these variables of the choice and no others. */
async function chosen(environment: Partial<Record<string, string>>): Promise<{ kind: string; line: string }> {
  for (const name of variables) vi.stubEnv(name, '');
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  const lines: string[] = [];
  await using server = await startServer({ log: (line) => lines.push(line) });
  return { kind: server.kind, line: lines.join('\n') };
}

afterEach(() => {
  vi.unstubAllEnvs();
});

test('FENCEPOST_TEST_URL comes before everything else', async () => {
  const { kind, line } = await chosen({
    FENCEPOST_TEST_URL: inject('adminUrl'),
    FENCEPOST_TEST_SERVER: 'embedded',
  });
  expect(kind).toBe('given');
  expect(line).toMatch(/^Test server: PostgreSQL \S+ .*at \S+ \(FENCEPOST_TEST_URL is set\)$/);
});

test('FENCEPOST_TEST_SERVER forces a kind', async () => {
  const { kind, line } = await chosen({ FENCEPOST_TEST_SERVER: 'embedded' });
  expect(kind).toBe('embedded');
  expect(line).toMatch(/^Test server: PostgreSQL \S+, embedded, at \S+ \(FENCEPOST_TEST_SERVER=embedded\)$/);
});

test('a container engine that does not answer is given up for the embedded server', async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const { kind, line } = await chosen({ DOCKER_HOST: `tcp://127.0.0.1:${port}` });
  for (const socket of sockets) socket.destroy();
  silent.close();
  expect(sockets).not.toHaveLength(0);
  expect(kind).toBe('embedded');
  expect(line).toContain('(No container server: no container engine answers)');
});

test('a container that cannot be had is an error when it is asked for', async () => {
  const start = chosen({ FENCEPOST_TEST_SERVER: 'container', FENCEPOST_TEST_IMAGE: 'localhost:1/none' });
  await expect(start).rejects.toThrow('No container server: ');
});

test('a wrong variable is refused by name', async () => {
  await expect(chosen({ FENCEPOST_TEST_SERVER: 'docker' })).rejects.toThrow(
    "FENCEPOST_TEST_SERVER: expected container or embedded, got 'docker'",
  );
  await expect(chosen({ FENCEPOST_TEST_SERVER: 'embedded', FENCEPOST_TEST_VERSION: '13' })).rejects.toThrow(
    'version: expected one of 14, 15, 16, 17, 18, got 13',
  );
  await expect(chosen({ FENCEPOST_TEST_URL: 'nonsense' })).rejects.toThrow(
    "FENCEPOST_TEST_URL: expected postgresql://user@host/database, got 'nonsense'",
  );
});
