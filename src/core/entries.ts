/**
 * A map to what is in use now and then. An entry that is idle stays for a while: entries that come and go make a Map
 * build new tables all the time, and a table that is dead but old keeps all that it led to from the garbage collector's
 * quick runs (210,000 against 254,000 session locks a second).
 */
export class Entries<Key, Entry extends { readonly idle: boolean }> {
  readonly #map = new Map<Key, Entry>();
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
    for (const [key, { idle }] of this.#map) if (idle) this.#map.delete(key);
    this.#limit = 2 * this.#map.size + fewest;
  }
}

/** So many are kept, whether they are idle or not. */
const fewest = 5_000;
