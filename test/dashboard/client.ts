import { once } from 'node:events';
import { get, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import type { Hello, Snapshot, Trouble } from '../../src/dashboard/snapshot.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Asks with exactly these headers: `fetch` would not let a Host or an Origin be what it is not. */
export async function ask(
  url: string,
  path: string,
  {
    method = 'GET',
    headers = {},
    body = '',
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const asking = request(new URL(path, url), { method, headers });
  asking.end(body);
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  return { status: response.statusCode ?? 0, headers: response.headers, text };
}

type Message =
  | { event: 'hello'; data: Hello }
  | { event: 'snapshot'; data: Snapshot }
  | { event: 'trouble'; data: Trouble };

/** What a page hears. */
export interface Listening extends AsyncDisposable {
  readonly status: number;
  /** The next message of this kind that passes the check. Those before it are skipped. */
  next<Event extends Message['event']>(
    event: Event,
    check?: (data: Extract<Message, { event: Event }>['data']) => boolean,
  ): Promise<Extract<Message, { event: Event }>['data']>;
}

export async function listen(url: string): Promise<Listening> {
  const asking = get(new URL('/api/stream', url));
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  const messages = messagesOf(response);
  return {
    status: response.statusCode ?? 0,
    async next(event, check = () => true) {
      for (;;) {
        const { value, done } = await messages.next();
        if (done) throw new Error(`the stream ended before the ${event} that was awaited`);
        if (value.event === event && check(value.data as never)) return value.data as never;
      }
    },
    async [Symbol.asyncDispose]() {
      asking.destroy();
    },
  };
}

async function* messagesOf(response: IncomingMessage): AsyncGenerator<Message, undefined> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const parts = (text + chunk).split('\n\n');
    text = parts.pop() ?? '';
    for (const part of parts) {
      const [, event, data = 'null'] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? [];
      yield { event, data: JSON.parse(data) } as Message;
    }
  }
  return undefined;
}
