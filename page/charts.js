/** @import { Hello, Point, Waits } from '../src/dashboard/snapshot.ts' */
import uPlot from './uplot.js';
import { count, counted, element, rate } from './words.js';

/** Points that are shown, as many as the server remembers. */
const most = 600;

/** @type {Point[]} */
let points = [];
/** @type {readonly number[]} */
let bounds = [];
/** @type {Waits | undefined} */
let waits;
/** Milliseconds between two points from which on the line between them is broken. */
let gap = Infinity;

/** @type {{ place: HTMLElement, make: (width: number, height: number) => uPlot, data: () => uPlot.AlignedData, chart?: uPlot }[]} */
const charts = [
  line('chart-grants', ({ grants }) => grants, rate, '--accent'),
  line('chart-held', ({ held }) => held, count, '--accent'),
  line('chart-waiting', ({ waiting }) => waiting, count, '--warn'),
  bars('chart-waits'),
];

/** @param {Hello} hello */
export function begin(hello) {
  // A dashboard that was started anew remembers nothing: then what this page has seen stays.
  const first = hello.history[0]?.at ?? Infinity;
  points = [...points.filter(({ at }) => at < first), ...hello.history].slice(-most);
  bounds = hello.bounds;
  gap = Math.max(5_000, hello.refresh * 4);
  draw();
}

/** @param {Point} point @param {Waits | undefined} found */
export function add(point, found) {
  points.push(point);
  if (points.length > most) points.splice(0, points.length - most);
  waits = found;
  draw();
}

function draw() {
  if (points.length === 0) return;
  for (const one of charts) {
    const { clientWidth, clientHeight } = one.place;
    if (one.chart === undefined) {
      one.chart = one.make(clientWidth, clientHeight);
      one.place.replaceChildren(one.chart.root);
    }
    one.chart.setData(one.data());
  }
  const last = points.at(-1);
  say('chart-grants', `Grants a second: ${last?.grants == null ? 'not known yet' : rate(last.grants)}`);
  say(
    'chart-held',
    last?.held == null ? 'Leases held: not known yet' : `${counted(last.held, 'lease')} held`,
  );
  say('chart-waiting', last?.waiting == null ? 'Waiting: not known yet' : `${count(last.waiting)} waiting`);
  const columns = (waits?.buckets ?? []).map(
    (number, place) => `${columnOf(place) === 'more' ? 'more' : `up to ${columnOf(place)}`}: ${number}`,
  );
  say('chart-waits', `How many have waited for how long. ${columns.join(', ')}`);
}

/** @param {string} id @param {string} text */
function say(id, text) {
  element(id).setAttribute('aria-label', text);
}

/** The colours are those of the page, and a canvas does not follow them by itself. */
function again() {
  for (const one of charts) {
    one.chart?.destroy();
    delete one.chart;
  }
  draw();
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again);
new ResizeObserver(() => {
  for (const { place, chart } of charts) {
    const { clientWidth: width, clientHeight: height } = place;
    if (chart !== undefined && width > 0 && chart.width !== width) chart.setSize({ width, height });
  }
}).observe(document.body);

/** @param {string} name */
function colour(name) {
  // light-dark() is resolved where it is used as a colour.
  const probe = document.createElement('i');
  probe.hidden = true;
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** @returns {uPlot.Axis} */
function axis() {
  const grid = colour('--grid');
  return {
    stroke: colour('--muted'),
    size: 30,
    grid: { stroke: grid, width: 1 },
    ticks: { stroke: grid, width: 1, size: 4 },
  };
}

/**
 * @param {string} id
 * @param {(point: Point) => number | null} read
 * @param {(value: number) => string} said
 * @param {string} tone
 */
function line(id, read, said, tone) {
  return {
    place: element(id),
    data: () => {
      /** @type {number[]} */
      const times = [];
      /** @type {(number | null)[]} */
      const values = [];
      points.forEach((point, place) => {
        const before = points[place - 1];
        if (before !== undefined && point.at - before.at > gap) {
          times.push((before.at + 1) / 1_000);
          values.push(null);
        }
        times.push(point.at / 1_000);
        values.push(read(point));
      });
      return /** @type {uPlot.AlignedData} */ ([times, values]);
    },
    make: (/** @type {number} */ width, /** @type {number} */ height) =>
      new uPlot(
        {
          width,
          height,
          legend: { show: false },
          cursor: { drag: { x: false, y: false }, y: false },
          scales: {
            // At least a minute, the newest at the right.
            x: { range: () => span() },
            y: { range: (_, __, top) => [0, Math.max(1, (top ?? 0) * 1.15)] },
          },
          axes: [
            { ...axis(), values: (_, at) => at.map(clock), space: 80 },
            {
              ...axis(),
              values: (_, at) => at.map((value) => (Number.isInteger(value) ? count(value) : '')),
              size: 52,
              space: 30,
            },
          ],
          series: [
            {},
            {
              stroke: colour(tone),
              width: 2,
              fill: faint(tone),
              value: (_, value) => said(value),
              points: { show: false },
            },
          ],
        },
        [[], []],
      ),
  };
}

/** @param {string} id */
function bars(id) {
  return {
    place: element(id),
    data: () => {
      const values = waits?.buckets ?? bounds.map(() => 0);
      return /** @type {uPlot.AlignedData} */ ([values.map((_, place) => place), [...values]]);
    },
    make: (/** @type {number} */ width, /** @type {number} */ height) =>
      new uPlot(
        {
          width,
          height,
          legend: { show: false },
          cursor: { show: false },
          scales: {
            x: { time: false, range: () => [-0.6, bounds.length + 0.6] },
            y: { range: (_, __, top) => [0, Math.max(1, (top ?? 0) * 1.15)] },
          },
          axes: [
            {
              ...axis(),
              grid: { show: false },
              splits: () => [...bounds.keys(), bounds.length],
              values: (_, at) => at.map(columnOf),
              space: 10,
              font: '10px system-ui',
            },
            {
              ...axis(),
              values: (_, at) => at.map((value) => (Number.isInteger(value) ? count(value) : '')),
              size: 52,
              space: 30,
            },
          ],
          series: [
            {},
            {
              stroke: colour('--warn'),
              fill: colour('--warn'),
              width: 0,
              paths: uPlot.paths.bars?.({ size: [0.7, 60] }) ?? (() => null),
              points: { show: false },
            },
          ],
        },
        [[], []],
      ),
  };
}

/** Of the distribution of waits: up to which time a column goes. @param {number} place */
function columnOf(place) {
  const bound = bounds[place];
  if (bound === undefined) return 'more';
  if (bound < 100) return `${bound}ms`;
  return bound < 60_000 ? `${bound / 1_000}s` : `${bound / 60_000}m`;
}

/** What the charts over time show, in seconds. @returns {[number, number]} */
function span() {
  const [first = 0, last = 0] = [points[0]?.at, points.at(-1)?.at];
  return [Math.min(first, last - 60_000) / 1_000, last / 1_000];
}

/** @param {number} seconds */
function clock(seconds) {
  return new Date(seconds * 1_000).toLocaleTimeString('en-GB');
}

/** @param {string} tone */
function faint(tone) {
  return colour(tone)
    .replace(/^rgb\((.*)\)$/, 'rgb($1 / 12%)')
    .replaceAll(',', ' ');
}
