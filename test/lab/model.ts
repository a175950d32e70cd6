/**
 * The lease protocol on one resource, small enough to visit every state: three clients, of which one can be frozen, a
 * clock that ends, messages that are under way for as long as they like, and one failover to a standby that lags.
 *
 * A client that was granted the lease looks at its clock before a write and may do it any time later: that is the gap
 * which only the guard closes. Its own clock may run slower than the server's by `drift`.
 */
import { type Exploration, explore, type Machine, type Step } from './explore.ts';

export interface Protocol {
  /** Ticks of the clock until everything ends, and those that a holder lives without a heartbeat. */
  readonly horizon: number;
  readonly ttl: number;
  /** How much earlier the client stops to believe, and how late its clock can be. */
  readonly margin: number;
  readonly drift: number;
  readonly grants: number;
  readonly failover: boolean;
  /** What is planted: all true in the protocol as it is. */
  readonly guard: boolean;
  readonly guardLocks: boolean;
  readonly eras: boolean;
  readonly releaseByToken: boolean;
}

export const protocol: Protocol = {
  horizon: 5,
  ttl: 3,
  margin: 1,
  drift: 1,
  grants: 3,
  failover: true,
  guard: true,
  guardLocks: true,
  eras: true,
  releaseByToken: true,
};

/** told: the answer is under way. decided: to write, however long ago. writing: the transaction is open. */
const phases = ['idle', 'asking', 'told', 'holding', 'decided', 'writing', 'releasing'] as const;
type Phase = (typeof phases)[number];

/** A heartbeat: under way to the server, or back from it. */
const beats = ['none', 'sent', 'confirmed', 'dead'] as const;

interface Client {
  readonly phase: Phase;
  readonly token: number;
  /** When the request was sent that the server confirmed last: trust counts from there. */
  readonly since: number;
  readonly beat: (typeof beats)[number];
  readonly beatSent: number;
  readonly frozen: boolean;
}

/** What the database keeps, and its standby a copy of. */
interface Rows {
  readonly token: number;
  /** Which client holds the lease; -1: nobody. */
  readonly holder: number;
  /** When each client's holder expires; 0: it is not there. */
  readonly expiry: readonly number[];
  readonly counter: number;
  /** The greatest token that an accepted write had. */
  readonly written: number;
}

interface State {
  readonly now: number;
  readonly era: number;
  readonly primary: Rows;
  /** The rows that the standby has, once it has stopped to follow; undefined before. */
  readonly standby: Rows | undefined;
  readonly clients: readonly Client[];
  readonly granted: number;
  /** The greatest token that was ever handed out. */
  readonly newest: number;
  readonly broken: string | undefined;
}

const names = ['A', 'B', 'C'];
const eraSize = 20;
const nothing = { phase: 'idle', token: 0, since: 0, beat: 'none', beatSent: 0 } as const;
const idle: Client = { ...nothing, frozen: false };
const empty: Rows = { token: 0, holder: -1, expiry: names.map(() => 0), counter: 0, written: 0 };

export function exploreLeases(
  options: Partial<Protocol> = {},
  progress?: (states: number) => void,
): Exploration {
  return explore(machineOf({ ...protocol, ...options }), progress);
}

function machineOf(rules: Protocol): Machine<State> {
  const { horizon, ttl, margin, drift } = rules;
  const believes = ({ phase, since }: Client, now: number): boolean =>
    ['holding', 'decided', 'writing'].includes(phase) && now - since < ttl - margin + drift;
  const eraOf = (token: number): number => Math.floor(token / eraSize);

  function* steps(state: State): Iterable<Step<State>> {
    const { now, clients, primary } = state;
    if (now < horizon) yield { name: `the clock says ${now + 1}`, state: { ...state, now: now + 1 } };
    if (rules.failover && state.era === 1) {
      if (state.standby === undefined)
        yield { name: 'the standby stops to follow', state: { ...state, standby: primary } };
      else yield { name: 'the primary is lost, its standby is promoted', state: promoted(state) };
    }
    for (const [index, client] of clients.entries()) {
      const name = names[index] as string;
      const to = (change: Partial<Client>, more: Partial<State> = {}): State => ({
        ...state,
        ...more,
        clients: clients.with(index, { ...client, ...change }),
      });
      yield* serverSteps(state, index, name, to);
      if (index === 0 && !client.frozen && client.phase !== 'idle')
        yield { name: `${name} freezes`, state: to({ frozen: true }) };
      if (client.frozen) yield { name: `${name} goes on`, state: to({ frozen: false }) };
      else yield* clientSteps(state, client, name, to);
    }
  }

  type To = (change: Partial<Client>, more?: Partial<State>) => State;

  /** What a client does by itself. */
  function* clientSteps(
    { now, granted }: State,
    client: Client,
    name: string,
    to: To,
  ): Iterable<Step<State>> {
    const { phase, beat } = client;
    if (phase === 'idle' && granted < rules.grants)
      yield { name: `${name} asks for the lease`, state: to({ phase: 'asking', since: now }) };
    if (phase === 'told')
      yield {
        name: `${name} is told of token ${client.token}`,
        state: to(now - client.since < ttl - margin + drift ? { phase: 'holding' } : nothing),
      };
    if (phase === 'holding' && believes(client, now)) {
      yield { name: `${name} looks at its clock and decides to write`, state: to({ phase: 'decided' }) };
      yield { name: `${name} sends a release`, state: to({ phase: 'releasing' }) };
      if (beat === 'none')
        yield { name: `${name} sends a heartbeat`, state: to({ beat: 'sent', beatSent: now }) };
    }
    if (phase === 'holding' && !believes(client, now))
      yield { name: `${name} gives the lease up as lost`, state: to(nothing) };
    if (beat === 'confirmed' && believes(client, now))
      yield {
        name: `${name} is told that its heartbeat counts`,
        state: to({ beat: 'none', beatSent: 0, since: client.beatSent }),
      };
    if (beat === 'dead' && phase === 'holding')
      yield { name: `${name} is told that it is dead`, state: to(nothing) };
  }

  /** What the database does with what is under way to it, whoever is frozen. */
  function* serverSteps(state: State, index: number, name: string, to: To): Iterable<Step<State>> {
    const { now, primary } = state;
    const client = state.clients[index] as Client;
    const { phase, token, beat } = client;
    const rows = (change: Partial<Rows>): Partial<State> => ({ primary: { ...primary, ...change } });
    const expiryOf = (value: number): readonly number[] => primary.expiry.with(index, value);
    if (phase === 'asking') {
      const held =
        primary.holder >= 0 && (primary.expiry[primary.holder] as number) > now && primary.holder !== index;
      const locked =
        rules.guard && rules.guardLocks && state.clients.some((other) => other.phase === 'writing');
      if (held || locked || state.granted >= rules.grants)
        yield { name: `${name} is refused`, state: to(nothing) };
      else {
        const counter = primary.counter + 1;
        const drawn = Math.max((rules.eras ? state.era : 1) * eraSize + counter, primary.token + 1);
        const buried = primary.holder >= 0 ? primary.expiry.with(primary.holder, 0) : primary.expiry;
        yield {
          name: `the database grants ${name} token ${drawn}`,
          state: to(
            { phase: 'told', token: drawn },
            {
              ...rows({ token: drawn, holder: index, counter, expiry: buried.with(index, now + ttl) }),
              granted: state.granted + 1,
              newest: Math.max(state.newest, drawn),
              broken:
                drawn <= state.newest ? `token ${drawn} was handed out after ${state.newest}` : state.broken,
            },
          ),
        };
      }
    }
    if (beat === 'sent') {
      const alive = (primary.expiry[index] as number) > now;
      yield {
        name: `the database ${alive ? 'counts' : 'refuses'} the heartbeat of ${name}`,
        state: to({ beat: alive ? 'confirmed' : 'dead' }, alive ? rows({ expiry: expiryOf(now + ttl) }) : {}),
      };
    }
    if (phase === 'releasing') {
      const own = rules.releaseByToken ? primary.token === token && primary.holder === index : true;
      yield {
        name: `the database handles the release of ${name}`,
        state: to(nothing, own ? rows({ holder: -1 }) : {}),
      };
    }
    // Of a frozen client too: what it decided may be under way already.
    if (phase === 'decided') {
      const current = primary.token === token && primary.holder === index;
      if (rules.guard && !current)
        yield { name: `the guard refuses ${name}, token ${token}`, state: to(nothing) };
      else yield { name: `${name} opens its transaction, token ${token}`, state: to({ phase: 'writing' }) };
    }
    if (phase === 'writing') {
      const older = token < primary.written;
      yield {
        name: `${name} commits its write, token ${token}`,
        state: to(
          { phase: 'holding' },
          {
            ...rows({ written: Math.max(primary.written, token) }),
            broken: older
              ? `two writers: ${name} wrote with token ${token} after a write with ${primary.written}`
              : state.broken,
          },
        ),
      };
    }
  }

  /** Connections end, and with them what was under way and every open transaction. */
  function promoted(state: State): State {
    const clients = state.clients.map((client): Client => {
      if (['asking', 'releasing', 'told'].includes(client.phase)) return { ...client, ...nothing };
      const phase = client.phase === 'writing' ? 'holding' : client.phase;
      return { ...client, phase, beat: 'none', beatSent: 0 };
    });
    return { ...state, era: 2, primary: state.standby ?? state.primary, standby: undefined, clients };
  }

  return {
    initial: {
      now: 0,
      era: 1,
      primary: empty,
      standby: undefined,
      clients: names.map(() => idle),
      granted: 0,
      newest: 0,
      broken: undefined,
    },
    steps,
    broken({ broken, clients, now }) {
      if (broken !== undefined) return broken;
      const believing = clients.filter((client) => believes(client, now));
      const [one, other] = believing;
      // A failover forgets grants that the standby never had: then only the guard and the order of tokens hold.
      if (one === undefined || other === undefined || eraOf(one.token) !== eraOf(other.token))
        return undefined;
      return `two believe at ${now}: with tokens ${one.token} and ${other.token}`;
    },
    identity: textOf,
  };

  /** What makes a difference for what can still happen, one character each. */
  function textOf(state: State): string {
    const { now, era, primary, standby, clients, granted, newest, broken } = state;
    // What is older than a life is over, however old it is.
    const age = (since: number): number => Math.min(now - since, ttl);
    const rows = ({ token, counter, written }: Rows): number[] => [token, counter, written];
    const ofRows = ({ holder, expiry }: Rows, index: number): number =>
      Number(holder === index) * 64 + Math.max(0, (expiry[index] as number) - now);
    const ofClient = (index: number): string => {
      const { phase, token, since, beat, beatSent, frozen } = clients[index] as Client;
      return String.fromCharCode(
        phases.indexOf(phase) * 8 + beats.indexOf(beat) * 2 + Number(frozen),
        token,
        phase === 'idle' ? 0 : age(since),
        beat === 'sent' || beat === 'confirmed' ? age(beatSent) : 0,
        ofRows(primary, index),
        standby === undefined ? 0 : ofRows(standby, index),
      );
    };
    const common = String.fromCharCode(
      now,
      era,
      granted,
      newest,
      Number(broken !== undefined),
      ...rows(primary),
      ...(standby === undefined ? [] : rows(standby)),
    );
    const [a, b, c] = [ofClient(0), ofClient(1), ofClient(2)];
    // B and C are alike: a state stands for the one with both exchanged, too.
    return b < c ? common + a + b + c : common + a + c + b;
  }
}
