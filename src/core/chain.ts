/** Where a value stands in a chain. */
export interface Place {
  /** Takes it out; the second time nothing happens. */
  leave(): void;
}

/** A value that is its own place: for one chain, and nothing has to be made to put it there. */
export interface Linked extends Place {
  before: Linked | undefined;
  after: Linked | undefined;
}

class Node<Value> implements Linked {
  readonly value: Value | undefined;
  before: Linked | undefined = undefined;
  after: Linked | undefined = undefined;

  constructor(value?: Value) {
    this.value = value;
  }

  leave(): void {
    unlink(this);
  }
}

/** Takes it out of its chain; the second time nothing happens. */
export function unlink(link: Linked): void {
  const { before, after } = link;
  if (before === undefined || after === undefined) return;
  before.after = after;
  after.before = before;
  link.before = undefined;
  link.after = undefined;
}

/**
 * Values that come and go, in the order in which they came.
 *
 * A Set builds new tables while values come and go, and a table that is dead but old keeps all that stood in it from the
 * garbage collector's quick runs: these took 4 to 5 milliseconds each under 200,000 locks a second, and 1 without.
 */
export class Chain<Value> {
  readonly #ends: Linked = new Node<Value>();

  constructor() {
    this.#ends.before = this.#ends;
    this.#ends.after = this.#ends;
  }

  get empty(): boolean {
    return this.#ends.after === this.#ends;
  }

  add(value: Value): Place {
    return this.#link(new Node(value));
  }

  /** One that is its own place, and stands in no chain yet. */
  join(value: Value & Linked): Place {
    return this.#link(value);
  }

  /** All that are in it now. */
  list(): Value[] {
    const values: Value[] = [];
    for (let link = this.#ends.after; link !== this.#ends && link !== undefined; link = link.after)
      values.push((link instanceof Node ? link.value : link) as Value);
    return values;
  }

  #link(link: Linked): Place {
    const ends = this.#ends;
    const last = ends.before ?? ends;
    link.before = last;
    link.after = ends;
    last.after = link;
    ends.before = link;
    return link;
  }
}
