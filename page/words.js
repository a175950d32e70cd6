/** How numbers and times are said. */

const whole = new Intl.NumberFormat('en');

/** @param {number} value */
export const count = (value) => whole.format(value);

/** @param {number} value @param {string} one @param {string} [many] */
export const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** @param {number} value */
export const rate = (value) => (value >= 100 ? count(Math.round(value)) : value.toFixed(1));

/**
 * Milliseconds.
 *
 * @param {number | null | undefined} milliseconds
 */
export function time(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return '';
  const value = Math.abs(milliseconds);
  const sign = milliseconds < 0 ? '-' : '';
  if (value < 1_000) return `${sign}${Math.round(value)} ms`;
  const seconds = value / 1_000;
  if (seconds < 10) return `${sign}${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${sign}${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${sign}${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${sign}${Math.round(seconds / 3_600)} h`;
  return `${sign}${Math.round(seconds / 86_400)} d`;
}

/** How names are shown that may be empty. @param {string | null} text @param {string} none */
export const named = (text, none) => (text === '' || text === null ? none : text);

/** What came is from others: what would move or hide text is shown. @param {string} text */
export const visible = (text) => text.replace(/\p{C}/gu, (hidden) => JSON.stringify(hidden).slice(1, -1));

/** @param {string} id */
export function element(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`there is no element ${id}`);
  return found;
}
