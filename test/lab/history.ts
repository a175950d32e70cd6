/**
 * What happened, as those said who took part: clients write what they asked and what they were told, the resource
 * writes what it accepted. `checkHistory` proves from that alone whether the promises held, whoever ran it and however.
 */

/** One grant, by the client that got it. Times are of one clock that all clients share, in whatever unit. */
export interface Acquisition {
  readonly key: string;
  readonly slot: number;
  readonly token: bigint;
  readonly client: string;
  /** When it was asked for: the call can have been granted from then on. */
  readonly asked: number;
  /** When the client was told: from then on it believes. */
  readonly told: number;
  /** When it stopped to believe: gave it back, or was told of its loss. Undefined when nobody knows, as of a killed one. */
  readonly ended: number | undefined;
}

/** A write that the resource accepted. They stand in the order in which the resource accepted them. */
export interface Write {
  readonly key: string;
  readonly slot: number;
  readonly token: bigint;
}

/** The end of a job that the resource accepted. */
export interface Completion {
  readonly key: string;
  readonly token: bigint;
}

export interface History {
  readonly acquisitions: readonly Acquisition[];
  readonly writes: readonly Write[];
  readonly completions: readonly Completion[];
}

export type Entry = Acquisition | Write | Completion;

/** A promise that was broken, and the shortest part of the history that shows it: without any of it, it does not. */
export interface Refutation {
  readonly promise: PromiseName;
  readonly entries: readonly Entry[];
}

type PromiseName = (typeof promises)[number];

/** What a history is held against. */
export const promises = [
  'tokens are unique',
  'tokens rise in the order of real time',
  'one holder at a time',
  'no write is accepted after a newer one',
  'at most as many holders as there are slots',
  'at most one completion is accepted',
] as const;

/** How many may hold a key at a time, over all its slots; without an answer there is no limit but the slots. */
export type Limit = (key: string) => number | undefined;

/**
 * The first breach of each promise; none proves that all were kept. Tokens put the grants of one slot in an order, so
 * that each has to be compared with what came before it only: a million take seconds.
 */
export function checkHistory(
  { acquisitions, writes, completions }: History,
  limit: Limit = () => undefined,
): Refutation[] {
  const found = new Map<PromiseName, readonly Entry[]>();
  const refute = (promise: PromiseName, ...entries: readonly Entry[]): void => {
    if (!found.has(promise)) found.set(promise, entries);
  };
  for (const grants of partsOf(acquisitions, placeOf).values()) checkGrants(grants, refute);
  for (const accepted of partsOf(writes, placeOf).values()) checkWrites(accepted, refute);
  for (const [key, grants] of partsOf(acquisitions, ({ key }) => key)) {
    const most = limit(key);
    if (most !== undefined) checkLimit(grants, most, refute);
  }
  for (const [first, second] of partsOf(completions, ({ key }) => key).values()) {
    if (first !== undefined && second !== undefined)
      refute('at most one completion is accepted', first, second);
  }
  return promises.flatMap((promise) => {
    const entries = found.get(promise);
    return entries === undefined ? [] : [{ promise, entries }];
  });
}

/** As lines for people, one for the promise and one for each entry. */
export function refutationText({ promise, entries }: Refutation): string {
  const lines = entries.map((entry) =>
    Object.entries(entry)
      .map(([name, value]) => `${name} ${value}`)
      .join(', '),
  );
  return [`broken: ${promise}`, ...lines.map((line) => `  ${line}`)].join('\n');
}

type Refute = (promise: PromiseName, ...entries: readonly Entry[]) => void;

function checkGrants(grants: Acquisition[], refute: Refute): void {
  sortUnlessSorted(grants, (a, b) => (a.token < b.token ? -1 : a.token > b.token ? 1 : 0));
  let last: Acquisition | undefined;
  /** Of what has a smaller token: who was asked for last, and who believed longest. */
  let latest: Acquisition | undefined;
  let longest: (Acquisition & { ended: number }) | undefined;
  for (const grant of grants) {
    if (last?.token === grant.token) refute('tokens are unique', last, grant);
    if (latest !== undefined && grant.told < latest.asked)
      refute('tokens rise in the order of real time', grant, latest);
    if (longest !== undefined && grant.told < longest.ended && longest.told < (grant.ended ?? Infinity))
      refute('one holder at a time', longest, grant);
    if (latest === undefined || grant.asked > latest.asked) latest = grant;
    if (hasEnded(grant) && (longest === undefined || grant.ended > longest.ended)) longest = grant;
    last = grant;
  }
}

function checkWrites(writes: readonly Write[], refute: Refute): void {
  let newest: Write | undefined;
  for (const write of writes) {
    if (newest !== undefined && write.token < newest.token)
      refute('no write is accepted after a newer one', newest, write);
    else newest = write;
  }
}

/** Who believes at the same time: those who began, less those who have stopped. */
function checkLimit(grants: readonly Acquisition[], most: number, refute: Refute): void {
  const ended = grants.filter(hasEnded);
  const begun = ended.toSorted((a, b) => a.told - b.told);
  const stopped = ended.toSorted((a, b) => a.ended - b.ended);
  let over = 0;
  for (const [index, grant] of begun.entries()) {
    while ((stopped[over]?.ended ?? Infinity) <= grant.told) over += 1;
    if (index + 1 - over <= most) continue;
    const together = begun.slice(0, index + 1).filter((other) => other.ended > grant.told);
    refute('at most as many holders as there are slots', ...together.slice(-most - 1));
    return;
  }
}

function hasEnded(grant: Acquisition): grant is Acquisition & { ended: number } {
  return grant.ended !== undefined;
}

const placeOf = ({ key, slot }: { key: string; slot: number }): string => `${slot} ${key}`;

function partsOf<T>(entries: readonly T[], partOf: (entry: T) => string): Map<string, T[]> {
  return Map.groupBy(entries, partOf);
}

/** Histories mostly come in order; a sort that finds that out costs more than the check itself. */
function sortUnlessSorted<T>(entries: T[], compare: (a: T, b: T) => number): void {
  for (let index = 1; index < entries.length; index += 1) {
    if (compare(entries[index - 1] as T, entries[index] as T) > 0) {
      entries.sort(compare);
      return;
    }
  }
}
