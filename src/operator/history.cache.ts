import { DAY, HOUR, MINUTE } from "../kernel/clock";
import { type Hour, liveHour, readDays, readHours } from "../watch";

/**
 * The overview's history, kept per isolate: counted hours and past days never change, so each is read and decoded once. What
 * is missing is asked for again after five minutes (the rollup may be catching up); the running hour lives a minute.
 */
interface Shelf {
  found: Map<number, Hour>;
  /** When a missing one was last asked for, ms. */
  missed: Map<number, number>;
}
interface Cache {
  hours: Shelf;
  days: Shelf;
  live: Map<number, { at: number; hour: Hour }>;
}

const caches = new WeakMap<D1Database, Cache>();
const ASK_AGAIN = 5 * MINUTE;
export const HOURS = 24;
export const DAYS = 30;
/** Above this many targets the running hour is read less often: it is every look of up to an hour. */
const MANY = 200;

const shelf = (): Shelf => ({ found: new Map(), missed: new Map() });
function cacheOf(db: D1Database): Cache {
  const known = caches.get(db);
  if (known) return known;
  const made: Cache = { hours: shelf(), days: shelf(), live: new Map() };
  caches.set(db, made);
  return made;
}

async function fill(
  s: Shelf,
  wanted: number[],
  step: number,
  now: number,
  read: (from: number, to: number) => Promise<Hour[]>,
): Promise<void> {
  for (const at of [...s.found.keys()]) if (at < wanted[0]!) s.found.delete(at);
  for (const at of [...s.missed.keys()]) if (at < wanted[0]!) s.missed.delete(at);
  const missing = wanted.filter((at) => !s.found.has(at) && now - (s.missed.get(at) ?? 0) >= ASK_AGAIN);
  if (missing.length === 0) return;
  for (const row of await read(missing[0]!, missing.at(-1)! + step)) s.found.set(row.at, row);
  for (const at of missing) if (!s.found.has(at)) s.missed.set(at, now);
}

const starts = (end: number, step: number, n: number): number[] =>
  Array.from({ length: n }, (_, i) => end - (n - i) * step);

/** The last 24 hours up to and with the running one, oldest first; an hour nobody counted is absent. */
async function recentHours(db: D1Database, now: number, targets: number): Promise<Hour[]> {
  const cache = cacheOf(db);
  const running = Math.floor(now / HOUR) * HOUR;
  const past = starts(running, HOUR, HOURS - 1);
  await fill(cache.hours, past, HOUR, now, (from, to) => readHours(db, from, to));
  const out = past.flatMap((at) => cache.hours.found.get(at) ?? []);
  const fresh = targets > MANY ? ASK_AGAIN : MINUTE;
  const last = running - HOUR;
  // The hour before is counted ten minutes after its end; until then it is live too.
  for (const at of cache.hours.found.has(last) ? [running] : [last, running]) {
    let held = cache.live.get(at);
    if (!held || now - held.at >= fresh) {
      held = { at: now, hour: await liveHour(db, at) };
      cache.live.set(at, held);
    }
    out.push(held.hour);
  }
  for (const at of [...cache.live.keys()]) if (at < last) cache.live.delete(at);
  return out;
}

/** The last 30 days, oldest first, without today. */
async function pastDays(db: D1Database, now: number): Promise<Map<number, Hour>> {
  const cache = cacheOf(db);
  const today = Math.floor(now / DAY) * DAY;
  const wanted = starts(today, DAY, DAYS - 1);
  await fill(cache.days, wanted, DAY, now, (from, to) => readDays(db, from, Math.min(to, today)));
  return cache.days.found;
}

export interface History {
  hours: Hour[];
  /** Past days by their start; today is the sum of its hours. */
  days: Map<number, Hour>;
  today: number;
}

/** What bars, sparklines and uptime of the overview are drawn from. */
export async function readHistory(db: D1Database, now: number, targets: number): Promise<History> {
  const [hours, days] = await Promise.all([recentHours(db, now, targets), pastDays(db, now)]);
  return { hours, days, today: Math.floor(now / DAY) * DAY };
}
