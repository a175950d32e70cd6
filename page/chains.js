/** @import { Blocked, Way } from '../src/dashboard/snapshot.ts' */
import { count, counted, time, visible } from './words.js';

const size = { width: 190, height: 40, across: 110, down: 14, edge: 12 };
/** Boxes that are drawn; what more there is stands in the table. */
const most = 30;

/**
 * @typedef {object} Box
 * @property {string} name
 * @property {number} layer how many are before it, in the longest way
 * @property {number} place
 * @property {number} behind how many wait right behind it
 * @property {number} before how many ways lead to it
 */

/**
 * Draws who waits for whom: at the left those who have something and wait for nobody, behind each of them who waits for
 * it. Where processes wait for each other in a circle the way back is marked.
 *
 * @param {HTMLElement} host
 * @param {Blocked} blocked
 */
export function drawChains(host, { ways, total }) {
  if (ways.length === 0) {
    const empty = document.createElement('p');
    empty.className = 'empty';
    empty.textContent = 'Nobody is in anybody’s way.';
    host.replaceChildren(empty);
    return;
  }
  const { shown, left } = choose(ways);
  const circles = circlesOf(shown);
  const boxes = layers(shown, circles);
  const columns = Math.max(...[...boxes.values()].map(({ layer }) => layer)) + 1;
  const rows = Math.max(...[...boxes.values()].map(({ place }) => place)) + 1;
  const width = columns * size.width + (columns - 1) * size.across + 2 * size.edge;
  const height = rows * (size.height + size.down) - size.down + 2 * size.edge + (circles.size > 0 ? 30 : 0);
  // Ways back go round the outside.
  const round = circles.size > 0 ? 60 : 0;
  const all = { width: width + 2 * round, height };
  const picture = svg('svg', { ...all, viewBox: `${-round} 0 ${all.width} ${height}`, role: 'img' });
  picture.setAttribute('aria-label', summary(shown, boxes, circles));
  const lines = shown.map((way) => drawWay(way, boxes, circles.has(way), height));
  picture.append(...lines.flatMap(([line]) => (line === undefined ? [] : [line])));
  for (const box of boxes.values()) picture.append(drawBox(box));
  picture.append(...lines.flatMap(([, label]) => (label === undefined ? [] : [label])));
  const more = total - shown.length;
  const note = document.createElement('p');
  note.className = 'empty';
  note.textContent = `${counted(more, 'more way')} of ${count(total)} not drawn.`;
  const { scrollLeft, scrollTop } = host;
  host.replaceChildren(picture, ...(more > 0 || left > 0 ? [note] : []));
  host.scrollTo(scrollLeft, scrollTop);
}

/** The ways with most behind them, as long as their boxes have room. @param {readonly Way[]} ways */
function choose(ways) {
  /** @type {Set<string>} */
  const names = new Set();
  const shown = ways.filter((way) => {
    const added = [whoOf(way), way.by].filter((name) => !names.has(name));
    if (names.size + added.length > most) return false;
    for (const name of added) names.add(name);
    return true;
  });
  return { shown, left: ways.length - shown.length };
}

/** @param {Way} way */
const whoOf = ({ who, by }) => who ?? `others, behind ${by}`;

/** The ways that close a circle: those that lead back to where a walk is. @param {readonly Way[]} ways */
function circlesOf(ways) {
  const from = Map.groupBy(ways, ({ by }) => by);
  /** @type {Set<Way>} */
  const circles = new Set();
  /** @type {Map<string, 'under way' | 'done'>} */
  const walked = new Map();
  /** @param {string} name */
  const walk = (name) => {
    walked.set(name, 'under way');
    for (const way of from.get(name) ?? []) {
      const next = walked.get(whoOf(way));
      if (next === 'under way') circles.add(way);
      else if (next === undefined) walk(whoOf(way));
    }
    walked.set(name, 'done');
  };
  const waiting = new Set(ways.map(whoOf));
  const roots = [...from.keys()].sort((one, other) => Number(waiting.has(one)) - Number(waiting.has(other)));
  for (const root of roots) if (!walked.has(root)) walk(root);
  return circles;
}

/** @param {readonly Way[]} ways @param {ReadonlySet<Way>} circles */
function layers(ways, circles) {
  const forward = ways.filter((way) => !circles.has(way));
  const from = Map.groupBy(forward, ({ by }) => by);
  /** @type {Map<string, number>} */
  const layerOf = new Map();
  /** @param {string} name @param {number} layer */
  const push = (name, layer) => {
    if ((layerOf.get(name) ?? -1) >= layer) return;
    layerOf.set(name, layer);
    for (const way of from.get(name) ?? []) push(whoOf(way), layer + 1);
  };
  const waiting = new Set(forward.map(whoOf));
  const names = new Set(ways.flatMap((way) => [way.by, whoOf(way)]));
  for (const name of names) if (!waiting.has(name)) push(name, 0);
  const behind = Map.groupBy(ways, ({ by }) => by);
  const before = Map.groupBy(ways, whoOf);
  /** @type {Map<string, Box>} */
  const boxes = new Map();
  /** @type {number[]} */
  const filled = [];
  // Each stands near those that it waits for: in the order in which a walk from the left comes by.
  const place = (/** @type {string} */ name) => {
    const layer = layerOf.get(name) ?? 0;
    if (boxes.has(name)) return;
    const free = filled[layer] ?? 0;
    filled[layer] = free + 1;
    const waits = (behind.get(name) ?? []).reduce((sum, way) => sum + way.count, 0);
    boxes.set(name, { name, layer, place: free, behind: waits, before: before.get(name)?.length ?? 0 });
    for (const way of from.get(name) ?? []) place(whoOf(way));
  };
  for (const name of [...names].sort((a, b) => (layerOf.get(a) ?? 0) - (layerOf.get(b) ?? 0))) place(name);
  return boxes;
}

/** @param {Box} box */
function drawBox({ name, layer, place, behind }) {
  const group = svg('g', {
    class: layer === 0 ? 'root' : '',
    transform: `translate(${xOf(layer)} ${yOf(place)})`,
  });
  const box = svg('rect', { width: size.width, height: size.height, rx: 6 });
  const title = svg('title', {});
  title.textContent = visible(name);
  const first = svg('text', { x: 10, y: 17 });
  first.textContent = shortened(visible(name), 26);
  const second = svg('text', { x: 10, y: 32, class: 'sub' });
  second.textContent = behind === 0 ? 'in nobody’s way' : `${count(behind)} waiting behind it`;
  group.append(title, box, first, second);
  return group;
}

/** @param {Way} way @param {ReadonlyMap<string, Box>} boxes @param {boolean} circle @param {number} height */
function drawWay(way, boxes, circle, height) {
  const from = boxes.get(way.by);
  const to = boxes.get(whoOf(way));
  if (from === undefined || to === undefined) return [];
  const start = { x: xOf(from.layer) + size.width, y: yOf(from.place) + size.height / 2 };
  const end = { x: xOf(to.layer), y: yOf(to.place) + size.height / 2 };
  const bend = (end.x - start.x) / 2;
  const below = height - 10;
  const d = circle
    ? `M${start.x} ${start.y} C${start.x + 60} ${below} ${start.x} ${below} ${(start.x + end.x) / 2} ${below} S${end.x - 60} ${below} ${end.x} ${end.y}`
    : `M${start.x} ${start.y} C${start.x + bend} ${start.y} ${end.x - bend} ${end.y} ${end.x} ${end.y}`;
  const kind = circle ? 'circle' : '';
  const path = svg('path', { d, class: kind, 'stroke-width': Math.min(4, 1 + Math.log2(1 + way.count) / 3) });
  const title = svg('title', {});
  title.textContent = sentence(way);
  path.append(title);
  // Where many ways come together there is no room for their keys: the table has them.
  if (!circle && to.before > 2) return [path];
  const label = circle
    ? svg('text', { x: (start.x + end.x) / 2, y: below - 5, class: 'sub circle', 'text-anchor': 'middle' })
    : svg('text', { x: end.x - 6, y: end.y - 5, class: 'sub', 'text-anchor': 'end' });
  label.textContent = `${shortened(visible(way.name), 12)}${way.count > 1 ? ` ×${count(way.count)}` : ''}`;
  return [path, label];
}

/** @param {Way} way */
function sentence(way) {
  const who = way.who === null ? 'Others, not in line,' : visible(way.who);
  const more = way.count > 1 ? ` and ${counted(way.count - 1, 'more')}`.replace('mores', 'more') : '';
  const since = way.waited === null ? '' : `, for ${time(way.waited)} at most`;
  return `${who} waits for ${visible(way.by)}: ${visible(way.name)}${more}${since}`;
}

/** @param {readonly Way[]} ways @param {ReadonlyMap<string, Box>} boxes @param {ReadonlySet<Way>} circles */
function summary(ways, boxes, circles) {
  const roots = [...boxes.values()].filter(({ layer }) => layer === 0);
  const first = roots.toSorted((one, other) => other.behind - one.behind)[0];
  return [
    `${counted(ways.length, 'way')} among ${counted(boxes.size, 'process', 'processes')}.`,
    first === undefined ? '' : `Most wait behind ${visible(first.name)}: ${count(first.behind)}.`,
    circles.size === 0 ? '' : `${counted(circles.size, 'circle')}: they wait for each other.`,
  ].join(' ');
}

/** @param {number} layer */
const xOf = (layer) => size.edge + layer * (size.width + size.across);

/** @param {number} place */
const yOf = (place) => size.edge + place * (size.height + size.down);

/** @param {string} text @param {number} length */
function shortened(text, length) {
  const signs = [...text];
  if (signs.length <= length) return text;
  const half = Math.floor((length - 1) / 2);
  return `${signs.slice(0, half).join('')}…${signs.slice(-half).join('')}`;
}

/** @param {string} name @param {Record<string, string | number>} attributes */
function svg(name, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, String(value));
  return made;
}
