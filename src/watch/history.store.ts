import { DAY, HOUR, MINUTE } from "../kernel/clock";
import { all } from "../kernel/d1";
import { readLooks, readNewestLooks } from "./look.store";
import { decodeEntry, decodeRollups, ENTRY_MAX, entryNeedle, mergeRollups, type Rollup } from "./rollup";
import { readPackedOf, readPacks, type Sample, samplesOf, slotRanges } from "./sample.store";

/** Hours and days in their rings: 400 days each. */
export const RINGS = { h: { step: HOUR, slots: 9_600 }, d: { step: DAY, slots: 400 } } as const;
export type Grain = keyof typeof RINGS;

/** All targets of one hour. */
export interface Hour {
  /** Start of the hour, ms. */
  at: number;
  targets: Map<number, Rollup>;
}

/** All targets of one day (UTC). */
export interface Day extends Hour {
  /** p50 and p95 are over every look; otherwise they are merged from the hours. */
  exact: boolean;
  /** All 24 hours are in; false for today. */
  complete: boolean;
}

/** A rehearsed look says nothing about the target, so no history counts it. */
export const counts = (s: Sample & { rehearsal?: boolean }): boolean => s.rehearsal !== true;

export const floorTo = (at: number, step: number): number => Math.floor(at / step) * step;

export const byNum = (rows: Rollup[]): Map<number, Rollup> => new Map(rows.map((r) => [r.num, r]));

/** Hours summed a target, by ascending number. */
export function mergeHours(hours: Hour[]): Rollup[] {
  const parts = new Map<number, Rollup[]>();
  for (const hour of hours)
    for (const row of hour.targets.values()) {
      const list = parts.get(row.num);
      if (list) list.push(row);
      else parts.set(row.num, [row]);
    }
  return [...parts.keys()].sort((a, b) => a - b).map((num) => mergeRollups(num, parts.get(num)!));
}

async function readRollups(
  db: D1Database,
  grain: Grain,
  from: number,
  to: number,
): Promise<(Hour & { merged: boolean })[]> {
  const { step, slots } = RINGS[grain];
  const ranges = slotRanges(from, to, step, slots);
  if (ranges.length === 0) return [];
  const rows = await all<{ at: number; data: string }>(
    db
      .prepare(
        `SELECT at, data FROM watch_rollup WHERE grain = ? AND (${ranges.map(() => "slot BETWEEN ? AND ?").join(" OR ")})
         AND at >= ? AND at < ? ORDER BY at, part`,
      )
      .bind(grain, ...ranges.flat(), from, to),
  );
  const out: (Hour & { merged: boolean })[] = [];
  for (const row of rows) {
    const part = decodeRollups(row.data);
    if (!part) continue;
    let last = out.at(-1);
    if (last?.at !== row.at) {
      last = { at: row.at, merged: part.merged, targets: new Map() };
      out.push(last);
    }
    for (const r of part.rows) last.targets.set(r.num, r);
  }
  return out;
}

/** Stored hours that start in [from, to), oldest first. An hour that is not counted yet is absent; see `liveHour`. */
export async function readHours(db: D1Database, from: number, to: number): Promise<Hour[]> {
  return (await readRollups(db, "h", from, to)).map(({ at, targets }) => ({ at, targets }));
}

/** Days that start in [from, to), oldest first. A day that is not stored yet (today) is summed from its stored hours. */
export async function readDays(db: D1Database, from: number, to: number): Promise<Day[]> {
  const days: Day[] = (await readRollups(db, "d", from, to)).map(({ at, targets, merged }) => ({
    at,
    targets,
    exact: !merged,
    complete: true,
  }));
  const next = Math.max(Math.ceil(from / DAY) * DAY, (days.at(-1)?.at ?? 0) + DAY);
  // Only the newest days can be without their row: today, and yesterday shortly after midnight.
  const tail = await readHours(db, Math.max(next, Math.ceil(to / DAY) * DAY - 3 * DAY), Math.ceil(to / DAY) * DAY);
  for (let i = 0; i < tail.length; ) {
    const at = floorTo(tail[i]!.at, DAY);
    const hours = tail.filter((h) => floorTo(h.at, DAY) === at);
    days.push({ at, targets: byNum(mergeHours(hours)), exact: false, complete: hours.length === 24 });
    i += hours.length;
  }
  return days;
}

/** The newest look of each target in the last 15 minutes, by number; rehearsals left out. */
export async function latestSamples(db: D1Database, now: number, back = 15 * MINUTE): Promise<Map<number, Sample>> {
  const [packs, looks] = await Promise.all([
    readPacks(db, now - back, now + 1, false),
    readNewestLooks(db, now - back),
  ]);
  const out = new Map<number, Sample>();
  for (const s of [...samplesOf(packs), ...looks.filter(counts)])
    if ((out.get(s.num)?.at ?? 0) <= s.at) out.set(s.num, s);
  return out;
}

/** One target over time, in the finest grain that the span allows. Points ascend by time. */
export type Series =
  | { grain: "raw"; points: Sample[] }
  | { grain: "hour"; points: (Rollup & { at: number })[] }
  | { grain: "day"; points: (Rollup & { at: number })[] };

/**
 * One target's looks (span up to 24 h, while they are kept), hours (up to 30 d) or days. SQLite cuts its entries out of the rows, so the answer is
 * small however many targets there are. Rehearsals are left out.
 */
export async function targetSeries(db: D1Database, num: number, from: number, to: number): Promise<Series> {
  const span = to - from;
  if (span <= DAY && to > from) {
    const [packed, looks] = await Promise.all([readPackedOf(db, num, from, to), readLooks(db, num, from, to)]);
    const points = [...packed, ...looks.filter(counts)].sort((a, b) => a.at - b.at);
    // A day older than the ring of packs still has its hours.
    if (points.length > 0) return { grain: "raw", points };
  }
  const grain = span <= 30 * DAY ? "h" : "d";
  const points = await readEntries(db, grain, num, from, to);
  if (grain === "h") return { grain: "hour", points };
  const today = Math.max(Math.ceil(from / DAY) * DAY, (points.at(-1)?.at ?? floorTo(to, DAY) - 3 * DAY) + DAY);
  const hours = await readEntries(db, "h", num, today, to);
  for (let at = today; at < to; at += DAY) {
    const part = hours.filter((h) => floorTo(h.at, DAY) === at);
    if (part.length > 0) points.push({ at, ...mergeRollups(num, part) });
  }
  return { grain: "day", points };
}

async function readEntries(
  db: D1Database,
  grain: Grain,
  num: number,
  from: number,
  to: number,
): Promise<(Rollup & { at: number })[]> {
  const { step, slots } = RINGS[grain];
  const ranges = slotRanges(from, to, step, slots);
  if (ranges.length === 0) return [];
  const needle = entryNeedle(num);
  const rows = await all<{ at: number; data: string }>(
    db
      .prepare(
        `SELECT at, substr(data, instr(data, ?), ${ENTRY_MAX}) AS data FROM watch_rollup
         WHERE grain = ? AND (${ranges.map(() => "slot BETWEEN ? AND ?").join(" OR ")}) AND at >= ? AND at < ?
         AND instr(data, ?) > 0 ORDER BY at`,
      )
      .bind(needle, grain, ...ranges.flat(), from, to, needle),
  );
  return rows.flatMap((row) => {
    const entry = decodeEntry(row.data);
    return entry ? [{ at: row.at, ...entry }] : [];
  });
}
