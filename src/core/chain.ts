/** Where a value stands in a chain. */
export interface Place {
  /** Takes it out; the second time nothing happens. */
  leave(): void;
}

class Node<Value> implements Place {
  readonly value: Value;
  before: Node<Value> | undefined;
  after: Node<Value> | undefined;

  constructor(value: Value) {
    this.value = value;
  }

  leave(): void {
    const { before, after } = this;
    if (before === undefined || after === undefined) return;
    before.after = after;
    after.before = before;
    this.before = undefined;
    this.after = undefined;
  }
}

/**
 * Values that come and go, in the order in which they came.
 *
 * A Set builds new tables while values come and go, and a table that is dead but old keeps all that stood in it from the
 * garbage collector's quick runs: these took 4 to 5 milliseconds each under 200,000 locks a second, and 1 without.
 */
export class Chain<Value> {
  readonly #ends = new Node<Value | undefined>(undefined);

  constructor() {
    this.#ends.before = this.#ends;
    this.#ends.after = this.#ends;
  }

  get empty(): boolean {
    return this.#ends.after === this.#ends;
  }

  add(value: Value): Place {
    const ends = this.#ends;
    const last = ends.before ?? ends;
    const node = new Node<Value | undefined>(value);
    node.before = last;
    node.after = ends;
    last.after = node;
    ends.before = node;
    return node;
  }

  /** All that are in it now. */
  list(): Value[] {
    const values: Value[] = [];
    for (let node = this.#ends.after; node !== this.#ends && node !== undefined; node = node.after)
      values.push(node.value as Value);
    return values;
  }
}
