import { Bell } from '../core/bell.ts';
import { Entries } from '../core/entries.ts';
import type { Notifications } from '../session/notifications.ts';

/** Who may try at the same time: one, so many, or all readers up to the first writer. */
export type Width = number | 'readers';

/** A call that waits, in the line of its process. */
export interface Place {
  /** Rings when it is its turn to try, and whenever it is worth to try again. */
  readonly bell: Bell;
  readonly mayTry: boolean;
  /** A try begins, and looks at all that was told so far. */
  asks(): void;
  /** From now on the line hears what messages and releases of this process tell of what it waits for. */
  hear(): void;
  /** `granted`: to this process, so that the next has to wait for its release, of which the line will hear. */
  leave(granted: boolean): void;
}

interface Standing {
  readonly width: Width;
  readonly fair: boolean;
  readonly bell: Bell;
  mayTry: boolean;
  /** It was told of something that it has not looked at yet. */
  told: boolean;
}

/** The calls of this process that want one resource, in the order in which they came. */
class Line {
  readonly places: Standing[] = [];
  /** How it stops to hear, once it does. */
  stops: (() => void)[] | undefined;

  get idle(): boolean {
    return this.places.length === 0;
  }
}

/**
 * First come, first served within a process: of the calls that wait for one resource only those at the front ask the
 * server, and only they are woken.
 */
export class Lines {
  readonly #notifications: Notifications;
  readonly #lines = new Entries<string, Line>();

  constructor(notifications: Notifications) {
    this.#notifications = notifications;
  }

  /** `topics`: by what messages name what is wanted, and whatever else may be in its way. */
  enter(name: string, topics: () => readonly string[], width: Width, fair: boolean): Place {
    const line = this.#lines.get(name) ?? this.#lines.add(name, new Line());
    const { places } = line;
    const standing: Standing = { width, fair, bell: new Bell(), mayTry: false, told: false };
    places.push(standing);
    advance(places, true);
    const hear = (): void => {
      line.stops ??= topics().map((topic) => this.#notifications.wait(topic, () => wake(places)));
    };
    // Who stands behind another one is woken by the release of what that one gets.
    if (places.length > 1) hear();
    return {
      bell: standing.bell,
      get mayTry() {
        return standing.mayTry;
      },
      asks: () => {
        standing.told = false;
        standing.bell.reset();
      },
      hear,
      leave: (granted) => {
        places.splice(places.indexOf(standing), 1);
        if (standing.told || !granted) wake(places);
        if (places.length > 0) return advance(places, !granted || width !== 1);
        for (const stop of line.stops ?? []) stop();
        line.stops = undefined;
      },
    };
  }

  /** Everybody is to look again, for whatever reason. */
  wakeAll(): void {
    for (const { places } of this.#lines.values()) for (const { bell } of places) bell.ring();
  }
}

/**
 * One at the front is to look again: what is told of is free for one. All of them where the first may not be the one who
 * can have it: of several limits, or with places in a queue of the server; and readers, who are let in together.
 */
function wake(places: readonly Standing[]): void {
  const front = places.filter(({ mayTry }) => mayTry);
  const [first] = front;
  const alike = front.every(({ width, fair }) => width === first?.width && width !== 'readers' && !fair);
  for (const place of front) {
    if (place.told) continue;
    tell(place);
    if (alike) return;
  }
}

function tell(place: Standing): void {
  place.told = true;
  place.bell.ring();
}

/** Lets those at the front try who may. */
function advance(places: readonly Standing[], ring: boolean): void {
  let readers = true;
  for (const [index, place] of places.entries()) {
    readers &&= place.width === 'readers';
    const turn = place.width === 'readers' ? readers || index === 0 : index < place.width;
    if (!turn) return;
    if (place.mayTry) continue;
    place.mayTry = true;
    if (ring) tell(place);
  }
}
