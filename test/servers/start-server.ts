import { startTestServer, type TestServer, type TestServerOptions } from '../../src/testing.ts';
import { findBuild } from './build.ts';

/** As the one of the kit; `FENCEPOST_TEST_VERSION` says which major version of Postgres an embedded server has. */
export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { FENCEPOST_TEST_VERSION: version } = process.env;
  const build = version ? { modules: (await findBuild(Number(version))).modules } : {};
  return startTestServer({ ...options, ...build });
}
