import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, keepAlive } from '../core/clock.ts';
import { ArgumentError } from '../core/errors.ts';
import type { ConnectionSource } from '../session/client.ts';
import { Database } from '../session/database.ts';
import { waitBounds } from '../sql/survey.ts';
import { isToken, refusalOf, securityHeaders } from './admission.ts';
import { type Asset, readAssets } from './assets.ts';
import { bodyOf, leasesOf, revoke } from './requests.ts';
import { Survey } from './survey.ts';
import { Tabs } from './tabs.ts';

export interface DashboardOptions {
  readonly connection: ConnectionSource;
  readonly schema: string;
  /** A loopback address. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Milliseconds from one look to the next. */
  readonly refresh: number;
  /** Of one core of the database server: how much looking may take. */
  readonly share: number;
  readonly allowRevoke: boolean;
  readonly version: string;
}

/** A page that shows what goes on in a database, served on this machine and to this machine. */
export class Dashboard implements AsyncDisposable {
  readonly #options: DashboardOptions;
  readonly #clock: Clock;
  readonly #database: Database;
  readonly #survey: Survey;
  readonly #tabs: Tabs;
  readonly #server: Server;
  readonly #assets: ReadonlyMap<string, Asset> = readAssets();
  readonly #token: string | undefined;
  readonly #rest = keepAlive();

  private constructor(options: DashboardOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#database = new Database(options.connection, options.schema, clock);
    this.#survey = new Survey(this.#database, clock, options.share);
    this.#tabs = new Tabs(this.#survey, clock, options.refresh);
    this.#token = options.allowRevoke ? randomBytes(24).toString('base64url') : undefined;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** @throws when the database cannot be reached, its schema does not fit, or the port is taken */
  static async start(options: DashboardOptions, clock: Clock): Promise<Dashboard> {
    const dashboard = new Dashboard(options, clock);
    try {
      await dashboard.#survey.connection();
      await dashboard.#survey.rest();
      dashboard.#server.listen(options.port, options.host);
      await once(dashboard.#server, 'listening');
      return dashboard;
    } catch (error) {
      await dashboard.close();
      if (!(error instanceof Error && 'code' in error && 'port' in error)) throw error;
      const taken = error.code === 'EADDRINUSE' ? 'it is in use: choose another with --port' : error.message;
      throw new Error(`cannot listen on port ${options.port} of ${options.host}: ${taken}`, { cause: error });
    }
  }

  /** Where the page is. What stands behind the # stays in the browser: the token that revoking needs. */
  get url(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    const host = family === 'IPv6' ? `[${address}]` : address;
    return `http://${host}:${port}/${this.#token === undefined ? '' : `#token=${this.#token}`}`;
  }

  async close(): Promise<void> {
    await this.#tabs.close();
    const closed = this.#server.listening ? once(this.#server, 'close') : undefined;
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
    await this.#database.close();
    this.#rest();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value);
    try {
      const refusal = refusalOf(request);
      if (refusal !== undefined) return sendJson(response, refusal.status, { error: refusal.message });
      await this.#route(request, response);
    } catch (error) {
      const status = error instanceof ArgumentError ? 400 : 503;
      sendJson(response, status, { error: error instanceof Error ? error.message : String(error) });
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const allowed = pathname === '/api/revoke' ? ['POST'] : ['GET', 'HEAD'];
    if (!allowed.includes(request.method ?? '')) {
      response.setHeader('Allow', allowed.join(', '));
      return sendJson(response, 405, { error: `${pathname} is asked with ${allowed.join(' or ')}` });
    }
    const { schema } = this.#options;
    const asset = this.#assets.get(pathname);
    if (asset !== undefined) return sendAsset(request, response, asset);
    if (pathname === '/api/stream') return this.#stream(request, response);
    if (pathname === '/api/leases') {
      const connection = await this.#survey.connection();
      const now = (): number => this.#clock.now().wall;
      return sendJson(response, 200, await leasesOf(connection, schema, now, searchParams));
    }
    if (pathname === '/api/revoke') return this.#revoke(request, response);
    sendJson(response, 404, { error: 'there is nothing here' });
  }

  #stream(request: IncomingMessage, response: ServerResponse): void {
    const { version, schema, refresh, allowRevoke } = this.#options;
    const hello = { version, schema, refresh, revocable: allowRevoke, bounds: waitBounds };
    if (request.method === 'HEAD') sendJson(response, 200, {});
    else if (!this.#tabs.add(response, hello))
      sendJson(response, 503, { error: 'too many pages of the dashboard are open' });
  }

  async #revoke(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#token === undefined)
      return sendJson(response, 403, { error: 'this dashboard only reads: start it with --allow-revoke' });
    if (!isToken(request.headers['x-fencepost-token'], this.#token)) {
      const error = 'this needs the token of the dashboard: open the address that it printed when it started';
      return sendJson(response, 403, { error });
    }
    if (!/^application\/json\b/.test(request.headers['content-type'] ?? ''))
      return sendJson(response, 415, { error: 'expected a body of type application/json' });
    const body = await bodyOf(request);
    const revoked = await revoke(await this.#survey.connection(), this.#options.schema, body);
    sendJson(response, 200, { revoked });
  }
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) return void response.end();
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(response.req.method === 'HEAD' ? undefined : JSON.stringify(body));
}

function sendAsset(request: IncomingMessage, response: ServerResponse, { type, body, tag }: Asset): void {
  response.setHeader('ETag', tag);
  response.setHeader('Cache-Control', 'no-cache');
  if (request.headers['if-none-match'] === tag) return void response.writeHead(304).end();
  response.writeHead(200, { 'Content-Type': type, 'Content-Length': body.length });
  response.end(request.method === 'HEAD' ? undefined : body);
}
