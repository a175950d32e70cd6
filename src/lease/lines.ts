import { within } from '../core/abort.ts';
import { Bell } from '../core/bell.ts';
import type { Clock } from '../core/clock.ts';
import { Entries } from '../core/entries.ts';
import type { Notifications } from '../session/notifications.ts';

/** Who may try at the same time: one, so many, or all readers up to the first writer. */
export type Width = number | 'readers';

/** What calls stand in line for. */
export interface Aim {
  /** By which the calls of this process stand in one line. */
  readonly name: string;
  readonly width: Width;
  /** In the order of the calls, across processes. */
  readonly fair: boolean;
  /** By what messages and releases of this process name it, and whatever else may be in its way. */
  topics(): readonly string[];
}

/** The calls of this process that want one resource, in the order in which they came. */
class Line {
  readonly places: Place[];
  /** How it stops to hear, once it does. */
  stops: (() => void)[] | undefined = undefined;
  /** The server has answered one of its calls. */
  answered = false;
  /** Made when somebody waits for that, which is rare. */
  #answer: PromiseWithResolvers<void> | undefined;

  constructor(first: Place) {
    this.places = [first];
  }

  get idle(): boolean {
    return this.places.length === 0;
  }

  /** Ends with an answer, or when nobody stands here any more. */
  answer(): Promise<void> {
    this.#answer ??= Promise.withResolvers();
    return this.#answer.promise;
  }

  endAnswer(): void {
    this.#answer?.resolve();
    this.#answer = undefined;
  }
}

/** A call that waits, in the line of its process. It rings when it is its turn to try, and whenever it is worth to try again. */
export class Place extends Bell {
  readonly aim: Aim;
  readonly #notifications: Notifications;
  #line: Line | undefined = undefined;
  mayTry = false;
  /** It was told of something that it has not looked at yet. */
  told = false;

  constructor(aim: Aim, notifications: Notifications) {
    super();
    this.aim = aim;
    this.#notifications = notifications;
  }

  /** Takes its place at the end. */
  enter(line: Line): void {
    this.#line = line;
    const { places } = line;
    if (places[0] !== this) places.push(this);
    advance(places, true);
    // Who stands behind another one is woken by the release of what that one gets.
    if (places.length > 1) this.hear();
  }

  /** A try begins, and looks at all that was told so far. */
  asks(): void {
    // It was told of a release: what the server said before that is not so any more.
    if (this.told && this.#line !== undefined) this.#line.answered = false;
    this.told = false;
    this.reset();
  }

  /** From now on the line hears what messages and releases of this process tell of what it waits for. */
  hear(): void {
    const line = this.#line;
    if (line === undefined || line.stops !== undefined) return;
    line.stops = this.aim.topics().map((topic) => this.#notifications.wait(topic, () => wake(line.places)));
  }

  /** The server has said who has it. */
  answered(): void {
    const line = this.#line;
    if (line === undefined || line.answered) return;
    line.answered = true;
    line.endAnswer();
  }

  /** Whether the server has not answered anybody in this line, and does not within so many milliseconds. */
  async unanswered(clock: Clock, milliseconds: number): Promise<boolean> {
    const line = this.#line;
    if (line === undefined || line.answered) return false;
    await within(clock, milliseconds, line.answer());
    return !line.answered;
  }

  /** `granted`: to this process, so that the next has to wait for its release, of which the line will hear. */
  leave(granted: boolean): void {
    const line = this.#line;
    if (line === undefined) return;
    const { places } = line;
    if (granted) this.answered();
    if (places.length > 1) places.splice(places.indexOf(this), 1);
    else places.pop();
    if (this.told || !granted) wake(places);
    advance(places, !granted || this.aim.width !== 1);
    if (places.length > 0) return;
    for (const stop of line.stops ?? []) stop();
    line.stops = undefined;
    line.answered = false;
    line.endAnswer();
  }

  tell(): void {
    this.told = true;
    this.ring();
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

  enter(aim: Aim): Place {
    const place = new Place(aim, this.#notifications);
    const { name } = aim;
    place.enter(this.#lines.get(name) ?? this.#lines.add(name, new Line(place)));
    return place;
  }

  /** Everybody is to look again, for whatever reason. */
  wakeAll(): void {
    for (const { places } of this.#lines.values()) for (const place of places) place.ring();
  }
}

/**
 * One at the front is to look again: what is told of is free for one. All of them where the first may not be the one who
 * can have it: of several limits, or with places in a queue of the server; and readers, who are let in together.
 */
function wake(places: readonly Place[]): void {
  if (places.length === 0) return;
  const front = places.filter(({ mayTry }) => mayTry);
  const width = front[0]?.aim.width;
  const alike = front.every(({ aim }) => aim.width === width && width !== 'readers' && !aim.fair);
  for (const place of front) {
    if (place.told) continue;
    place.tell();
    if (alike) return;
  }
}

/** Lets those at the front try who may. */
function advance(places: readonly Place[], ring: boolean): void {
  let readers = true;
  for (let index = 0; index < places.length; index += 1) {
    const place = places[index] as Place;
    const { width } = place.aim;
    readers &&= width === 'readers';
    const turn = width === 'readers' ? readers || index === 0 : index < width;
    if (!turn) return;
    if (place.mayTry) continue;
    place.mayTry = true;
    if (ring) place.tell();
  }
}
