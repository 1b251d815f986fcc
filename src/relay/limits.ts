/** Limits and words of the relay (connectonion.md (d)); every refusal says what was seen and what is allowed. */

/** Largest frame in either direction, bytes of UTF-8. The platform takes 32 MiB; this is our policy (design §11). */
export const FRAME_LIMIT = 1_048_576;
/** Is this text beyond the limit? Counted in bytes only where characters can't tell. */
export const tooLarge = (text: string): boolean =>
  text.length > FRAME_LIMIT || (text.length * 3 > FRAME_LIMIT && new TextEncoder().encode(text).length > FRAME_LIMIT);
/** Frames of one line that may wait for their turn, and their size together: beyond it the line is a flood. */
export const WAITING_FRAMES = 1_024;
export const WAITING_BYTES = 8 * FRAME_LIMIT;
/** Frames a client may send at once, and a second on average. People type; tools that stream send far fewer. */
const BURST = 2_000;
const RATE = 500;
/** Clients at one agent's line. */
export const CLIENTS_PER_AGENT = 20_000;

/** Client lines get a PING this often (wall ms): clients of 0.1.4 close after 60 s without one. */
export const PING_EVERY = 30_000;
/** An agent's line ends after this long without a valid ANNOUNCE and without traffic (wall ms). */
export const AGENT_SILENCE = 120_000;
/** A client line that never sent a frame is closed after this long (wall ms). */
export const FIRST_FRAME_WITHIN = 60_000;
/** A run whose executor can't be reached for this long counts as interrupted (wall ms). */
export const RUN_LOST_AFTER = 3_600_000;

/** Close codes of the relay. 1012 tells a client to come back; the 44xx are of the protocol or ours. */
export const CLOSE = {
  binary: 1003,
  tooLarge: 1009,
  agentGone: 1012,
  badFrame: 4400,
  unauthorized: 4401,
  forbidden: 4403,
  agentOffline: 4404,
  silent: 4408,
  announcedElsewhere: 4409,
  displaced: 4410,
  rateLimited: 4429,
} as const;

/** The words of a client that sends or connects too often. */
export const TOO_MANY_FRAMES = "rate limited: too many frames";
export const TOO_MANY_LINES = "rate limited: too many connections, wait a minute";

/** Frames of a line on `/ws/announce` before its first valid ANNOUNCE. */
export const EARLY_FRAMES = 20;
/** Announcements of one line: an agent makes one a minute, and each may be written to the directory. */
export const ANNOUNCES: Pace = { burst: 10, rate: 0.2 };
export const TOO_MANY_ANNOUNCES = "rate limited: too many announcements, wait a minute";

/** How many at once, and how many a second for long. */
export interface Pace {
  burst: number;
  rate: number;
}
const FRAMES: Pace = { burst: BURST, rate: RATE };

/** A token bucket of one line; in memory, so a wake-up starts a full one. `at` in wall ms. */
export interface Bucket {
  tokens: number;
  at: number;
}

export const fullBucket = (at: number, pace = FRAMES): Bucket => ({ tokens: pace.burst, at });

/** May one more frame pass? Takes its token. */
export function take(bucket: Bucket, now: number, { burst, rate } = FRAMES): boolean {
  bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, now - bucket.at) / 1_000) * rate);
  bucket.at = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

/** The close code that goes with a refusal of CONNECT. */
export function closeFor(error: string): number {
  if (error.startsWith("unauthorized")) return CLOSE.unauthorized;
  return error.startsWith("forbidden") ? CLOSE.forbidden : CLOSE.badFrame;
}

/** An ERROR frame in the relay's shape: clients read `message` or `error`, the oldest only one of them. */
export function errorFrame(error: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({ type: "ERROR", error, message: error, ...more });
}

export const PING = JSON.stringify({ type: "PING" });
