/** A step that a state allows: what it is called, and the state after it. */
export interface Step<State> {
  readonly name: string;
  readonly state: State;
}

/** Something to explore: everything that can happen, and what must be true of each state. */
export interface Machine<State> {
  readonly initial: State;
  steps(state: State): Iterable<Step<State>>;
  /** What is broken in this state, if anything. */
  broken(state: State): string | undefined;
  /** The same for states between which nothing can tell a difference. */
  identity(state: State): string;
}

export interface Exploration {
  readonly states: number;
  readonly steps: number;
  /** Longest of the shortest ways to a state. */
  readonly depth: number;
  /** The shortest way to a broken state: what happened, and last what is broken. */
  readonly counterexample: readonly string[] | undefined;
}

/** Visits every state that can be reached, the nearest ones first, until one is broken or none is left. */
export function explore<State>(
  { initial, steps, broken, identity }: Machine<State>,
  progress: (states: number) => void = () => {},
): Exploration {
  /** How each state was reached first: from which one, and by what. */
  const parents = [-1];
  const causes = [-1];
  const names: string[] = [];
  const places = new Map<string, number>();
  const placeOf = (name: string): number => {
    const place = places.get(name) ?? names.push(name) - 1;
    places.set(name, place);
    return place;
  };
  const known = new Set([identity(initial)]);
  let front: { readonly place: number; readonly state: State }[] = [{ place: 0, state: initial }];
  let taken = 0;
  let depth = 0;
  while (front.length > 0) {
    const next: typeof front = [];
    for (const { place, state } of front) {
      progress(known.size);
      const fault = broken(state);
      if (fault !== undefined) {
        const counterexample = [fault];
        for (let at = place; at > 0; at = parents[at] as number)
          counterexample.unshift(names[causes[at] as number] as string);
        return { states: known.size, steps: taken, depth, counterexample };
      }
      for (const step of steps(state)) {
        taken += 1;
        const name = identity(step.state);
        if (known.has(name)) continue;
        known.add(name);
        next.push({ place: parents.length, state: step.state });
        parents.push(place);
        causes.push(placeOf(step.name));
      }
    }
    if (next.length > 0) depth += 1;
    front = next;
  }
  return { states: known.size, steps: taken, depth, counterexample: undefined };
}
