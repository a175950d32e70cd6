import { plainPeers } from '../peers/locks.ts';
import type { Work } from '../runner/bench.ts';
import { Worker } from '../runner/crew.ts';

const module = new URL('holding.ts', import.meta.url).href;
const ttl = 2_000;

/** From the SIGKILL of a holder to the next one. */
export const takeOver: Work = {
  name: 'take-over',
  title: 'Take-over after a crash',
  about:
    'A process holds a key, renewed as its library renews, with a ttl of 2 seconds; another one waits for it. The holder is killed with SIGKILL at a random time of its ttl: counted is the time until the other one has the key.',
  async run({ servers: { postgres, redis, redisAlways }, quick, rounds, log }) {
    const places = { postgres, redis, redisAlways };
    const figures = plainPeers.map((): number[] => []);
    for (let round = 0; round < (quick ? 1 : rounds); round += 1) {
      log(String(round + 1));
      await Promise.all(
        plainPeers.map(async (peer, index) => {
          await using holder = new Worker();
          const key = `taken ${peer.name} ${round}`;
          await holder.call(module, 'hold', peer.name, places, 1, ttl, key);
          await using client = await peer.open(places);
          const waiting = client.acquire(key);
          await new Promise((resolve) => setTimeout(resolve, ttl + Math.random() * ttl));
          const killed = performance.now();
          await holder.kill();
          await (await waiting).release();
          figures[index]?.push(performance.now() - killed);
        }),
      );
    }
    const sides = plainPeers.map(({ name }, index) => ({ name, figures: [figures[index] ?? []] }));
    return [
      {
        id: 'take-over',
        title: 'From SIGKILL to the next holder',
        unit: 'ms',
        better: 'less',
        across: 'ttl',
        points: ['2 s'],
        sides,
      },
    ];
  },
};
