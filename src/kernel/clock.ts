/**
 * Time for every rule in Reveille. `rate` is 1 in production; the demo and the drills run the same thresholds on a faster
 * clock and say so. Rows hold `now()`; alarms, queue delays and platform signatures need wall time.
 */
export interface Clock {
  /** Reveille time, ms since 1970. */
  now(): number;
  /** Wall time, ms since 1970: platform timestamp windows, cookies of other systems. */
  wall(): number;
  /** The wall time at which `now()` will read `at`. */
  toWall(at: number): number;
  /** Wall milliseconds that a span of Reveille milliseconds takes. */
  span(ms: number): number;
  readonly rate: number;
}

/** A fast clock starts at this fixed point, so that every isolate and process agrees without sharing anything. */
const EPOCH = Date.UTC(2026, 0, 1);

export function makeClock(rate = 1, wall: () => number = Date.now): Clock {
  return {
    now: () => (rate === 1 ? wall() : Math.floor(EPOCH + (wall() - EPOCH) * rate)),
    wall,
    toWall: (at) => (rate === 1 ? at : Math.ceil(EPOCH + (at - EPOCH) / rate)),
    span: (ms) => ms / rate,
    rate,
  };
}

export const SECOND = 1_000;
export const MINUTE = 60_000;
export const HOUR = 3_600_000;
export const DAY = 86_400_000;

/** ISO 8601 UTC with milliseconds (design §8), or null. */
export function iso(at: number): string;
export function iso(at: number | null | undefined): string | null;
export function iso(at: number | null | undefined): string | null {
  return at === null || at === undefined ? null : new Date(at).toISOString();
}
