import { lockPeers } from '../peers/locks.ts';
import type { Work } from '../runner/bench.ts';
import { Worker } from '../runner/crew.ts';
import { clientsOf } from './footprint-worker.ts';

const module = new URL('footprint-worker.ts', import.meta.url).href;

/** What each needs while it does the same work. */
export const footprint: Work = {
  name: 'footprint',
  title: 'Connections and memory',
  about:
    'A fresh process of its own acquires and releases with 256 callers for a while. Counted at the end of it: connections to the server, and the resident memory of the process above that of one that has loaded the same modules and done nothing.',
  async run({ servers, quick, log }) {
    const { postgres, redis, redisAlways } = servers;
    const places = { postgres, redis, redisAlways };
    const peers = lockPeers.filter(({ name }) => !/always|pipelined/.test(name));
    const [connections, memory]: [number[][][], number[][][]] = [[], []];
    for (const { name } of peers) {
      log(`${name},`);
      const before = Number((await servers.pool.query(clientsOf)).rows[0].count);
      await using worker = new Worker();
      const idle = await worker.call<number>(module, 'resident');
      const { most, resident } = await worker.call<{ most: number; resident: number }>(
        module,
        'work',
        name,
        places,
        quick ? 0.3 : 3,
        before,
      );
      connections.push([[most]]);
      memory.push([[(resident - idle) / 2 ** 20]]);
    }
    const common = { better: 'less', across: 'callers', points: ['256'] } as const;
    const sides = (figures: number[][][]) =>
      peers.map(({ name }, index) => ({ name, figures: figures[index] ?? [] }));
    return [
      { id: 'connections', title: 'Connections', unit: 'connections', ...common, sides: sides(connections) },
      {
        id: 'memory',
        title: 'Memory of the client',
        unit: 'MB more than idle',
        ...common,
        sides: sides(memory),
      },
    ];
  },
};
