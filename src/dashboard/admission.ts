import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Why a request is not served. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
}

/** Names of this machine for itself. A name of somebody else that leads here is how a foreign page would get in. */
const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/**
 * Keeps pages of other sites out. Whoever asks has to have called this machine by its own name, and a page has to be
 * our own: what a browser says of where a request comes from cannot be changed by the page.
 */
export function refusalOf({ headers, url, method }: IncomingMessage): Refusal | undefined {
  const { host = '', origin } = headers;
  if (!loopback.test(host))
    return { status: 403, message: 'the dashboard answers to localhost and 127.0.0.1 only' };
  const elsewhere = origin !== undefined && origin.toLowerCase() !== `http://${host.toLowerCase()}`;
  const site = headers['sec-fetch-site'];
  const foreign = site !== undefined && site !== 'same-origin' && site !== 'none';
  // Somebody may follow a link to the page.
  const visit = method === 'GET' && headers['sec-fetch-mode'] === 'navigate' && !url?.startsWith('/api/');
  if (elsewhere || (foreign && !visit))
    return { status: 403, message: 'the dashboard does not answer pages of other sites' };
  return undefined;
}

/** Compared in the same time whatever they are. */
export function isToken(given: string | string[] | undefined, token: string): boolean {
  const one = Buffer.from(typeof given === 'string' ? given : '');
  const other = Buffer.from(token);
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Nothing comes from elsewhere, and nothing goes there; nobody shows the page in a frame of theirs. */
export const securityHeaders: Readonly<Record<string, string>> = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};
