import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type Direction = 'request' | 'answer';

/** Bytes on their way, before they are passed on. */
export interface Packet {
  readonly link: Link;
  readonly direction: Direction;
  readonly bytes: Buffer;
  /** Whether the last request on this connection, perhaps in these bytes, mentions this name. */
  about(name: string): boolean;
}

/**
 * - `pass`: goes on its way.
 * - `cut`: is dropped, and the connection ends on both sides.
 * - `freeze`: nothing passes on this connection any more, in neither direction, nor does the end of either side. What
 *   was under way arrives after a thaw.
 */
export type Verdict = 'pass' | 'cut' | 'freeze';

/** One connection through the proxy. */
export interface Link {
  /** Whether the last request on it mentions this name. */
  about(name: string): boolean;
  /** The server's process, as it told the client. Its port would not tell: the server of a container sees another. */
  readonly pid: number | undefined;
  freeze(): void;
  thaw(): void;
  /** Ends on the client's side only: what is frozen can still reach the server. */
  hangUp(): void;
  cut(): void;
}

/** The network between a client and its server, as bad as a test wants it. */
export interface FaultyNetwork extends AsyncDisposable {
  /** The server's URL, by way of the proxy. */
  readonly url: string;
  /** Decides about all that passes. Everything passes by default. */
  tap: (packet: Packet) => Verdict;
  /** Milliseconds that each packet is late. */
  delay: { request: number; answer: number };
  readonly links: ReadonlySet<Link>;
  /** How many connections were made so far. */
  readonly opened: number;
  cut(): void;
  /** The network is gone, for new connections as well, and nobody is told. */
  freeze(): void;
  thaw(): void;
}

/** `present`: where the server is now, when that changes; new connections go there. */
export async function startProxy(target: string, present = (): string => target): Promise<FaultyNetwork> {
  const links = new Set<Tunnel>();
  let frozen = false;
  let opened = 0;
  const server = createServer((client) => {
    opened += 1;
    const tunnel = new Tunnel(
      proxy,
      client,
      () => {
        const { hostname, port } = new URL(present());
        return connect(Number(port || 5432), hostname);
      },
      () => links.delete(tunnel),
    );
    links.add(tunnel);
    frozen ? tunnel.freeze() : tunnel.thaw();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(target);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;

  const proxy: FaultyNetwork = {
    url: url.href,
    tap: () => 'pass',
    delay: { request: 0, answer: 0 },
    links,
    get opened() {
      return opened;
    },
    cut() {
      for (const link of [...links]) link.cut();
    },
    freeze() {
      frozen = true;
      for (const link of links) link.freeze();
    },
    thaw() {
      frozen = false;
      for (const link of [...links]) link.thaw();
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const link of [...links]) link.cut();
      await closed;
    },
  };
  return proxy;
}

/** Both halves of one connection, and what waits in between. An `end` in a queue is the end of the stream. */
class Tunnel implements Link {
  readonly #proxy: FaultyNetwork;
  readonly #client: Socket;
  readonly #connect: () => Socket;
  readonly #gone: () => void;
  readonly #waiting: Record<Direction, (Buffer | 'end')[]> = { request: [], answer: [] };
  #server: Socket | undefined;
  #frozen = true;
  #request = '';
  #pid: number | undefined;

  constructor(proxy: FaultyNetwork, client: Socket, connectToServer: () => Socket, gone: () => void) {
    this.#proxy = proxy;
    this.#client = client;
    this.#connect = connectToServer;
    this.#gone = gone;
    this.#pump('request', client);
  }

  about(name: string): boolean {
    return this.#request.includes(name);
  }

  get pid(): number | undefined {
    return this.#pid;
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    if (this.#server === undefined) {
      this.#server = this.#connect();
      this.#pump('answer', this.#server);
    }
    this.#flush('request');
    this.#flush('answer');
  }

  hangUp(): void {
    this.#client.destroy();
  }

  cut(): void {
    this.#gone();
    this.#client.destroy();
    this.#server?.destroy();
  }

  #pump(direction: Direction, from: Socket): void {
    from.setNoDelay(true);
    from.on('data', (bytes) => this.#take(direction, bytes));
    from.on('error', () => {});
    from.on('close', () => this.#send(direction, 'end'));
  }

  #take(direction: Direction, bytes: Buffer): void {
    if (direction === 'request') this.#request = bytes.toString('latin1');
    else this.#pid ??= pidIn(bytes);
    const about = (name: string): boolean => this.about(name);
    const verdict = this.#proxy.tap({ link: this, direction, bytes, about });
    if (verdict === 'cut') {
      this.cut();
      return;
    }
    if (verdict === 'freeze') this.freeze();
    const delay = this.#proxy.delay[direction];
    if (delay === 0) this.#send(direction, bytes);
    else setTimeout(() => this.#send(direction, bytes), delay);
  }

  #send(direction: Direction, what: Buffer | 'end'): void {
    this.#waiting[direction].push(what);
    this.#flush(direction);
  }

  #flush(direction: Direction): void {
    if (this.#frozen) return;
    const to = direction === 'request' ? this.#server : this.#client;
    for (const what of this.#waiting[direction].splice(0)) {
      if (what !== 'end') to?.write(what);
      else {
        this.#gone();
        to?.end();
      }
    }
  }
}

/** What BackendKeyData says, a message of twelve bytes that the server sends once, when the session is open. */
function pidIn(bytes: Buffer): number | undefined {
  const at = bytes.indexOf(Buffer.from([0x4b, 0, 0, 0, 12]));
  return at === -1 ? undefined : bytes.readInt32BE(at + 5);
}
