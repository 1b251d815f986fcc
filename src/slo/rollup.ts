import { HOUR } from "../kernel/clock";
import { all } from "../kernel/d1";
import { mergeTallies, type Tally, tally } from "./objectives";
import { RUN_LEASE, readProbes, sampleOf } from "./probes.store";
import type { Direction } from "./types";

/** Hours of probes: what the long windows and the pages read. A row per direction and hour that had a probe. */

const DIRECTIONS: Direction[] = ["C2L", "L2C"];
/** Longest look back for hours that were not counted: raw rows are kept for 35 days. */
const BACK = 34 * 24;

/** Counts the hours that are over, and whose last run must be over too. A repeat writes the same. Answers how many rows. */
export async function rollupSlo(db: D1Database, now: number): Promise<number> {
  const end = Math.floor((now - RUN_LEASE) / HOUR);
  const newest = db.prepare("SELECT MAX(hour) AS hour FROM wake_slo_hour WHERE direction = ?");
  const last = await db.batch<{ hour: number | null }>(DIRECTIONS.map((d) => newest.bind(d)));
  const rows: D1PreparedStatement[] = [];
  for (const [i, direction] of DIRECTIONS.entries()) {
    const from = Math.max(end - BACK, (last[i]?.results[0]?.hour ?? 0) + 1);
    if (from >= end) continue;
    const hours = new Map<number, ReturnType<typeof sampleOf>[]>();
    for (const row of await readProbes(db, direction, from * HOUR, end * HOUR)) {
      if (row.status === "running") continue;
      const hour = Math.floor(row.started_at_ms / HOUR);
      hours.set(hour, [...(hours.get(hour) ?? []), sampleOf(row)]);
    }
    for (const [hour, samples] of hours)
      rows.push(
        db
          .prepare("INSERT OR REPLACE INTO wake_slo_hour (direction, hour, data) VALUES (?, ?, ?)")
          .bind(direction, hour, JSON.stringify(tally(samples))),
      );
  }
  if (rows.length > 0) await db.batch(rows);
  return rows.length;
}

/** All probes since `from`, rounded to the hour: stored hours, and the raw rows after them. */
export async function readTally(db: D1Database, direction: Direction, from: number, now: number): Promise<Tally> {
  const first = Math.floor(from / HOUR);
  const hours = await all<{ hour: number; data: string }>(
    db
      .prepare("SELECT hour, data FROM wake_slo_hour WHERE direction = ? AND hour >= ? ORDER BY hour")
      .bind(direction, first),
  );
  const next = hours.length > 0 ? hours.at(-1)!.hour + 1 : first;
  const tail = await readProbes(db, direction, next * HOUR, now + 1);
  return mergeTallies([
    ...hours.map((h) => JSON.parse(h.data) as Tally),
    tally(tail.filter((r) => r.status !== "running").map(sampleOf)),
  ]);
}
