import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";

/**
 * What was dropped, refused or seen twice, by hour, platform and outcome. Counted in the isolate and written in batches: an event
 * that concerns nobody costs no row (design §3).
 */

/** Wall ms between two writes of one isolate. */
const EVERY_MS = 20_000;
const HOUR_MS = 3_600_000;

interface Counts {
  pending: Map<string, number>;
  flushed_at: number;
}

const isolates = new WeakMap<D1Database, Counts>();

const countsOf = (db: D1Database): Counts => {
  const found = isolates.get(db);
  if (found) return found;
  const made = { pending: new Map<string, number>(), flushed_at: 0 };
  isolates.set(db, made);
  return made;
};

/**
 * Counts one outcome. The first after a quiet while is written at once, the rest with the next one that comes late enough, or by
 * the cycle of the isolate (`flushCounts`). `later`: the request's waitUntil.
 */
export function countIngest(
  db: D1Database,
  rt: Runtime,
  platform: string,
  outcome: string,
  later: (work: Promise<unknown>) => void,
): void {
  const counts = countsOf(db);
  const key = JSON.stringify([Math.floor(rt.clock.now() / HOUR_MS) * HOUR_MS, platform, outcome]);
  counts.pending.set(key, (counts.pending.get(key) ?? 0) + 1);
  if (rt.clock.wall() - counts.flushed_at >= EVERY_MS) later(flushCounts(db, rt));
}

/** Writes what this isolate counted. A failed write is kept for the next. Returns how many rows. */
export async function flushCounts(db: D1Database, rt: Runtime): Promise<number> {
  const counts = countsOf(db);
  counts.flushed_at = rt.clock.wall();
  const rows = [...counts.pending];
  if (rows.length === 0) return 0;
  counts.pending = new Map();
  const add = db.prepare(
    `INSERT INTO ingest_count (hour, platform, outcome, n) VALUES (?, ?, ?, ?)
     ON CONFLICT (hour, platform, outcome) DO UPDATE SET n = n + excluded.n`,
  );
  try {
    await db.batch(rows.map(([key, n]) => add.bind(...(JSON.parse(key) as [number, string, string]), n)));
  } catch (error) {
    for (const [key, n] of rows) counts.pending.set(key, (counts.pending.get(key) ?? 0) + n);
    rt.log("error", "ingest.count_failed", { error: describe(error) });
  }
  return rows.length;
}

/** Hours that are told apart for this long. */
const KEEP_MS = 30 * 24 * HOUR_MS;

/** Part of the retention listener. */
export const expireCounts = (db: D1Database, now: number): Promise<unknown> =>
  db
    .prepare("DELETE FROM ingest_count WHERE hour < ?")
    .bind(now - KEEP_MS)
    .run();
