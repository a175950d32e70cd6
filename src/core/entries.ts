/**
 * A map to what is in use now and then. An entry that is idle stays for a while: entries that come and go make a Map
 * build new tables all the time, and a table that is dead but old keeps all that it led to from the garbage collector's
 * quick runs (210,000 against 254,000 session locks a second). It leads to the next table of its Map, too, and by that to
 * all that ever stood in one: so the idle are left behind with their Map (of 100,000 leases that were acquired, up to 11 MB
 * were moved at a time, and 8 since; Node 24).
 */
export class Entries<Key, Entry extends { readonly idle: boolean }> {
  #map = new Map<Key, Entry>();
  #limit = fewest;

  get(key: Key): Entry | undefined {
    return this.#map.get(key);
  }

  add(key: Key, entry: Entry): Entry {
    if (this.#map.size >= this.#limit) this.#sweep();
    this.#map.set(key, entry);
    return entry;
  }

  /** With the idle ones. */
  values(): IterableIterator<Entry> {
    return this.#map.values();
  }

  #sweep(): void {
    const used = new Map<Key, Entry>();
    for (const [key, entry] of this.#map) if (!entry.idle) used.set(key, entry);
    this.#map = used;
    this.#limit = 2 * used.size + fewest;
  }
}

/** So many are kept, whether they are idle or not. */
const fewest = 2_500;
