/** @import { Hello, Snapshot, Trouble } from '../src/dashboard/snapshot.ts' */

/**
 * @typedef {object} Listener
 * @property {(hello: Hello) => void} hello
 * @property {(snapshot: Snapshot) => void} snapshot
 * @property {(trouble: Trouble) => void} trouble the dashboard answers, the database does not
 * @property {() => void} gone the dashboard does not answer
 */

/**
 * Listens to the dashboard for as long as the page is open: when the stream ends, breaks or falls silent, it is asked for
 * again. A fetch and not an EventSource, whose silence nobody notices.
 *
 * @param {Listener} listener
 */
export async function listen(listener) {
  let refresh = 1_000;
  const told = {
    ...listener,
    hello: (/** @type {Hello} */ hello) => {
      refresh = hello.refresh;
      listener.hello(hello);
    },
  };
  for (let attempt = 0; ; attempt += 1) {
    try {
      await once(told, () => {
        attempt = 0;
        return refresh;
      });
    } catch {
      // the same whatever ended it
    }
    listener.gone();
    await rest(Math.min(500 * 2 ** attempt, 3_000));
  }
}

/** A rest that ends early when the network comes back, or somebody looks at the page again. @param {number} milliseconds */
function rest(milliseconds) {
  return new Promise((resolve) => {
    const ended = new AbortController();
    const end = () => {
      ended.abort();
      resolve(undefined);
    };
    const { signal } = ended;
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener('abort', () => clearTimeout(timer));
    addEventListener('online', end, { signal });
    document.addEventListener('visibilitychange', () => document.hidden || end(), { signal });
  });
}

/** @param {Listener} listener @param {() => number} came called with each message; answers the refresh */
async function once(listener, came) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), 10_000);
  try {
    const response = await fetch('/api/stream', { signal: silence.signal, cache: 'no-store' });
    if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
    let text = '';
    for await (const chunk of chunksOf(response.body.pipeThrough(new TextDecoderStream()))) {
      clearTimeout(timer);
      // A look may take as long as the database may be silent, which is ten seconds.
      timer = setTimeout(() => silence.abort(), 15_000 + 2 * came());
      const messages = (text + chunk).split('\n\n');
      text = messages.pop() ?? '';
      for (const message of messages) tell(listener, message);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** @param {ReadableStream<string>} stream */
async function* chunksOf(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** @param {Listener} listener @param {string} message */
function tell(listener, message) {
  const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(message) ?? [];
  if (event === 'hello' || event === 'snapshot' || event === 'trouble')
    listener[event](JSON.parse(data ?? 'null'));
}
