import { DAY, HOUR, MINUTE } from "../kernel/clock";
import { all, commit } from "../kernel/d1";
import { byNum, counts, floorTo, type Grain, type Hour, mergeHours, RINGS, readHours } from "./history.store";
import { expireLooks, readAllLooks } from "./look.store";
import { RING_MS } from "./pack";
import { encodeRollups, PART_SIZE, type Pace, quantile, type Rollup, rollupLooks } from "./rollup";
import { readPacks, type Sample, samplesOf, slotRanges } from "./sample.store";

/** An hour is counted this long after its end: a shard that was sent again may report late. */
export const ROLLUP_LAG = 10 * MINUTE;
/** Packs and looks are read in spans of this much, so that only a slice of an hour is in memory as text. */
const CHUNK = 10 * MINUTE;
/** Above this many looks, a day's quantiles are merged from its hours instead of sorted (memory of one isolate). */
const EXACT_MAX = 4_000_000;

/** Samples and looks of the hour at `start`, rehearsals left out. Packed samples belong to the hour of their cycle. */
async function readHourSamples(db: D1Database, start: number): Promise<{ samples: Sample[]; unreadable: number }> {
  const samples: Sample[] = [];
  let unreadable = 0;
  for (let from = start; from < start + HOUR; from += CHUNK) {
    const packs = await readPacks(db, from, from + CHUNK, false);
    unreadable += packs.unreadable;
    for (const s of samplesOf(packs)) samples.push(s);
    for (const look of await readAllLooks(db, from, from + CHUNK)) if (counts(look)) samples.push(look);
  }
  return { samples, unreadable };
}

async function readPaces(db: D1Database): Promise<Map<number, Pace>> {
  const rows = await all<Pace & { num: number }>(db.prepare("SELECT num, every_s, created_at FROM target"));
  return new Map(rows.map((r) => [r.num, r]));
}

function storeStatements(
  db: D1Database,
  grain: Grain,
  at: number,
  rows: Rollup[],
  merged: boolean,
): D1PreparedStatement[] {
  const { step, slots } = RINGS[grain];
  const slot = Math.floor(at / step) % slots;
  const parts: Rollup[][] = [];
  for (let i = 0; i < rows.length; i += PART_SIZE) parts.push(rows.slice(i, i + PART_SIZE));
  // An empty hour is stored too: it says that the hour was counted.
  if (parts.length === 0) parts.push([]);
  return [
    ...parts.map((part, i) =>
      db
        .prepare(
          `INSERT INTO watch_rollup (grain, slot, part, at, data) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (grain, slot, part) DO UPDATE SET at = excluded.at, data = excluded.data`,
        )
        .bind(grain, slot, i, at, encodeRollups(part, merged)),
    ),
    db.prepare("DELETE FROM watch_rollup WHERE grain = ? AND slot = ? AND part >= ?").bind(grain, slot, parts.length),
  ];
}

function requireStart(at: number, step: number, what: string): void {
  if (at % step !== 0) throw new RangeError(`${at} is not the start of ${what} (UTC).`);
}

/** What one rollup did. */
export interface RolledUp {
  at: number;
  targets: number;
  looks: number;
  /** Packs that could not be read and are missing from the counts. */
  unreadable: number;
  rows_written: number;
}

/**
 * Counts one hour from its packs and looks and stores it; doing it again replaces it.
 * @throws RangeError when `start` is not the start of an hour, or the hour is not over or no longer in the ring at `now`.
 */
export async function rollupHour(db: D1Database, start: number, now: number): Promise<RolledUp> {
  requireStart(start, HOUR, "an hour");
  if (now < start + HOUR) throw new RangeError(`The hour at ${start} is not over at ${now}.`);
  if (now - start > RING_MS)
    throw new RangeError(`The samples of the hour at ${start} are gone at ${now}: kept for 14 days.`);
  const [{ samples, unreadable }, paces] = [await readHourSamples(db, start), await readPaces(db)];
  const rows = rollupLooks(samples, start, paces);
  const written = await commit(db, storeStatements(db, "h", start, rows, false));
  return { at: start, targets: rows.length, looks: samples.length, unreadable, rows_written: written.rows };
}

/**
 * An hour counted now, without storing it: the running hour, or one that is not rolled up yet. Of the running hour, the last
 * look of a target stands for up to the end, so read its counts and latencies, not its times.
 */
export async function liveHour(db: D1Database, start: number): Promise<Hour> {
  requireStart(start, HOUR, "an hour");
  const [{ samples }, paces] = [await readHourSamples(db, start), await readPaces(db)];
  return { at: start, targets: byNum(rollupLooks(samples, start, paces)) };
}

/**
 * Sums a day from its stored hours. Counts, times and max are exact; p50 and p95 are exact too while every look of a target
 * is still in the ring and the day has at most four million, else merged from the hours and the day is marked so.
 */
export async function rollupDay(db: D1Database, start: number): Promise<RolledUp & { exact: boolean }> {
  requireStart(start, DAY, "a day");
  const hours = await readHours(db, start, start + DAY);
  const rows = mergeHours(hours);
  const looks = rows.reduce((n, r) => n + r.n, 0);
  const exact = looks <= EXACT_MAX && (await sharpen(db, start, rows));
  const written = await commit(db, storeStatements(db, "d", start, rows, !exact));
  return { at: start, targets: rows.length, looks, unreadable: 0, rows_written: written.rows, exact };
}

/** Replaces merged quantiles by those over every look; false when some looks of a target are no longer there. */
async function sharpen(db: D1Database, start: number, rows: Rollup[]): Promise<boolean> {
  const seen = new Map<number, { n: number; values: number[] }>();
  for (let from = start; from < start + DAY; from += HOUR)
    for (const s of (await readHourSamples(db, from)).samples) {
      let entry = seen.get(s.num);
      if (!entry) {
        entry = { n: 0, values: [] };
        seen.set(s.num, entry);
      }
      entry.n++;
      if (s.latency_ms !== null) entry.values.push(s.latency_ms);
    }
  let exact = true;
  for (const row of rows) {
    const entry = seen.get(row.num);
    if (!entry || entry.n !== row.n) {
      exact = false;
      continue;
    }
    const sorted = Float64Array.from(entry.values).sort();
    row.p50 = quantile(sorted, 0.5);
    row.p95 = quantile(sorted, 0.95);
  }
  return exact;
}

/** The starts that are stored among [from, to). */
async function storedStarts(db: D1Database, grain: Grain, from: number, to: number): Promise<Set<number>> {
  const { step, slots } = RINGS[grain];
  const ranges = slotRanges(from, to, step, slots);
  if (ranges.length === 0) return new Set();
  const rows = await all<{ at: number }>(
    db
      .prepare(
        `SELECT at FROM watch_rollup WHERE grain = ? AND part = 0 AND (${ranges.map(() => "slot BETWEEN ? AND ?").join(" OR ")})
         AND at >= ? AND at < ?`,
      )
      .bind(grain, ...ranges.flat(), from, to),
  );
  return new Set(rows.map((r) => r.at));
}

/** What `rollupDue` did and left for its next run. */
export interface RollupRun {
  hours: number;
  days: number;
  unreadable: number;
  rows_written: number;
  /** Hours and days that are due and still missing. */
  left: number;
}

/**
 * Counts every hour and day that is over and not stored yet, oldest first: at most 24 hours and 2 days a call. One query when
 * nothing is due, so it may run every few minutes. Hours before the first target and past the ring are not looked for.
 */
export async function rollupDue(db: D1Database, now: number, limit = { hours: 24, days: 2 }): Promise<RollupRun> {
  const out: RollupRun = { hours: 0, days: 0, unreadable: 0, rows_written: 0, left: 0 };
  const first = await db
    .prepare("SELECT min(created_at) AS at FROM target WHERE source <> 'builtin'")
    .first<{ at: number | null }>();
  if (first === null || first.at === null) return out;
  const oldest = Math.max(floorTo(first.at, HOUR), floorTo(now - RING_MS, HOUR) + 2 * HOUR);
  const end = floorTo(now - ROLLUP_LAG, HOUR);
  const stored = await storedStarts(db, "h", oldest, end);
  for (let at = oldest; at < end; at += HOUR) {
    if (stored.has(at)) continue;
    if (out.hours === limit.hours) {
      out.left++;
      continue;
    }
    const done = await rollupHour(db, at, now);
    stored.add(at);
    out.hours++;
    out.unreadable += done.unreadable;
    out.rows_written += done.rows_written;
  }
  if (end > oldest) await daysDue(db, floorTo(oldest, DAY), floorTo(end, DAY), oldest, stored, limit.days, out);
  return out;
}

async function daysDue(
  db: D1Database,
  from: number,
  to: number,
  oldestHour: number,
  hours: Set<number>,
  limit: number,
  out: RollupRun,
): Promise<void> {
  const stored = await storedStarts(db, "d", from, to);
  for (let at = from; at < to; at += DAY) {
    if (stored.has(at)) continue;
    let ready = true;
    for (let hour = Math.max(at, oldestHour); hour < at + DAY; hour += HOUR) ready &&= hours.has(hour);
    if (!ready || out.days === limit) {
      out.left++;
      continue;
    }
    out.rows_written += (await rollupDay(db, at)).rows_written;
    out.days++;
  }
}

/** The daily retention: looks older than 14 days, at most 100,000 a run. Packs and rollups expire by their rings. */
export async function expireHistory(db: D1Database, now: number): Promise<number> {
  let gone = 0;
  for (let i = 0; i < 10; i++) {
    const n = await expireLooks(db, now);
    gone += n;
    if (n < 10_000) break;
  }
  return gone;
}
