import { callOf, interval, rowOf, type Statement } from './statement.ts';

export const about = (schema: string): Statement => rowOf(schema, 'about', []);

export const openHolder = (schema: string, ttl: number, application: string): Statement =>
  callOf(schema, 'holder_open', [interval(ttl), application]);

export const beatHolder = (schema: string, holder: string): Statement =>
  callOf(schema, 'holder_beat', [holder]);

export const fenceHolder = (schema: string, holder: string): Statement =>
  callOf(schema, 'holder_fence', [holder]);

export const closeHolder = (schema: string, holder: string): Statement =>
  callOf(schema, 'holder_close', [holder]);
