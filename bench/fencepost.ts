/** What is measured is what is published: the built package. `npm run bench` builds it first. */
export type { Duration, Lease } from '../dist/index.js';
export { Fencepost, fencedColumnSql } from '../dist/index.js';
export { migrate } from '../dist/migrate.js';
