import { Bell } from '../core/bell.ts';
import type { Notifications } from '../session/notifications.ts';

/** Who may try at the same time: one, so many, or all readers up to the first writer. */
export type Width = number | 'readers';

/** A call that waits, in the line of its process. */
export interface Place {
  /** Rings when it is its turn to try, and whenever it is worth to try again. */
  readonly bell: Bell;
  readonly mayTry: boolean;
  /** `granted`: to this process, so that the next has to wait for its release, of which the line will hear. */
  leave(granted: boolean): void;
}

interface Standing {
  readonly width: Width;
  readonly bell: Bell;
  mayTry: boolean;
}

/** The calls of this process that want one resource, in the order in which they came. */
interface Line {
  readonly places: Standing[];
  stop(): void;
}

/**
 * First come, first served within a process: of the calls that wait for one resource only those at the front ask the
 * server, and only they are woken.
 */
export class Lines {
  readonly #notifications: Notifications;
  readonly #lines = new Map<string, Line>();

  constructor(notifications: Notifications) {
    this.#notifications = notifications;
  }

  /** `topics`: by what messages name the resource, and whatever else may be in its way. */
  enter(topics: readonly [string, ...string[]], width: Width): Place {
    const name = topics.join();
    const line = this.#lines.get(name) ?? this.#begin(name, topics);
    const { places } = line;
    const standing: Standing = { width, bell: new Bell(), mayTry: false };
    places.push(standing);
    advance(places, true);
    return {
      bell: standing.bell,
      get mayTry() {
        return standing.mayTry;
      },
      leave: (granted) => {
        places.splice(places.indexOf(standing), 1);
        if (places.length > 0) return advance(places, !granted || width !== 1);
        line.stop();
        this.#lines.delete(name);
      },
    };
  }

  /** Everybody is to look again, for whatever reason. */
  wakeAll(): void {
    for (const { places } of this.#lines.values()) for (const { bell } of places) bell.ring();
  }

  #begin(name: string, topics: readonly string[]): Line {
    const places: Standing[] = [];
    const wake = (): void => {
      for (const place of places) if (place.mayTry) place.bell.ring();
    };
    const stops = topics.map((topic) => this.#notifications.wait(topic, wake));
    const line = {
      places,
      stop: () => {
        for (const stop of stops) stop();
      },
    };
    this.#lines.set(name, line);
    return line;
  }
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
    if (ring) place.bell.ring();
  }
}
