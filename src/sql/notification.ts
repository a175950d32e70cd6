import { hash } from 'node:crypto';
import { identifier, type Statement } from './statement.ts';

/** On which channel a schema tells of leases, as `wake` in SQL does: a channel has at most 63 bytes, and no secrets. */
export function channelOf(schema: string): string {
  return `fencepost_${hash('sha256', schema).slice(0, 16)}`;
}

export const listen = (channel: string): Statement => ({
  name: 'listen',
  text: `listen ${identifier(channel)}`,
  values: [],
});

export const notify = (channel: string, message: string): Statement => ({
  name: 'notify',
  text: 'select pg_notify($1, $2)',
  values: [channel, message],
});

export const unlisten: Statement = { name: 'unlisten', text: 'unlisten *', values: [] };

/** The message by which holders are told that something was revoked. */
export const revokedMessage = 'revoked';
