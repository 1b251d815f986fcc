import { all } from "../kernel/d1";
import { RING_MS } from "./pack";
import type { Sample } from "./sample.store";
import type { Json, Reason, Snapshot, Status } from "./types";

/** How long looks are kept (`kora-watch.md` §2: raw 14 d). */
export const KEEP_LOOKS = RING_MS;

/**
 * Keeps one look made by a target's object; the same look twice is one row. `open`: the target has a confirmed incident, so
 * an `unreachable` look is an outage and is kept as `unhealthy` (`kora-watch.md` §1.6). The snapshot must be redacted.
 */
export function lookStatement(
  db: D1Database,
  num: number,
  snapshot: Snapshot,
  maintenance: boolean,
  open = false,
): D1PreparedStatement {
  const status: Status = open && snapshot.reason === "unreachable" ? "unhealthy" : snapshot.status;
  const details = Object.keys(snapshot.details).length > 0 ? JSON.stringify(snapshot.details) : null;
  return db
    .prepare(
      `INSERT INTO watch_look (num, at, status, reason, latency_ms, maintenance, rehearsal, details, error)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (num, at) DO UPDATE SET status = excluded.status, reason = excluded.reason,
         latency_ms = excluded.latency_ms, maintenance = excluded.maintenance, rehearsal = excluded.rehearsal,
         details = excluded.details, error = excluded.error`,
    )
    .bind(
      num,
      snapshot.at,
      status,
      snapshot.reason,
      snapshot.latency_ms === null ? null : Math.round(snapshot.latency_ms),
      maintenance ? 1 : 0,
      snapshot.rehearsal ? 1 : 0,
      details,
      snapshot.error,
    );
}

/** A look of an object; rehearsed ones are marked, because they say nothing about the target. */
export interface Look extends Sample {
  source: "look";
  rehearsal: boolean;
}

interface LookRow {
  num: number;
  at: number;
  status: Status;
  reason: Reason;
  latency_ms: number | null;
  maintenance: number;
  rehearsal: number;
  details?: string | null;
  error?: string | null;
}

const toLook = (r: LookRow): Look => ({
  num: r.num,
  at: r.at,
  status: r.status,
  reason: r.reason,
  latency_ms: r.latency_ms,
  maintenance: r.maintenance === 1,
  rehearsal: r.rehearsal === 1,
  source: "look",
  ...(r.details ? { details: JSON.parse(r.details) as Record<string, Json> } : {}),
  ...(r.error ? { error: r.error } : {}),
});

/** The newest `limit` looks of a target's object in [from, to), oldest first. */
export async function readLooks(db: D1Database, num: number, from: number, to: number, limit = 5_000): Promise<Look[]> {
  const rows = await all<LookRow>(
    db
      .prepare("SELECT * FROM watch_look WHERE num = ? AND at >= ? AND at < ? ORDER BY at DESC LIMIT ?")
      .bind(num, from, to, limit),
  );
  return rows.reverse().map(toLook);
}

/**
 * The numbers that have looks, one index seek each: the key is (num, at) and a second index on `at` would double what a look
 * costs to write.
 */
const NUMS = `WITH RECURSIVE nums (num) AS (
  SELECT min(num) FROM watch_look
  UNION ALL SELECT (SELECT min(num) FROM watch_look WHERE num > nums.num) FROM nums WHERE nums.num IS NOT NULL)`;
const LOOK = "l.num, l.at, l.status, l.reason, l.latency_ms, l.maintenance, l.rehearsal";

/** Looks of all targets in [from, to), without details: what the rollup counts. Ask for minutes, not days. */
export async function readAllLooks(db: D1Database, from: number, to: number): Promise<Look[]> {
  const rows = await all<LookRow>(
    db
      .prepare(
        `${NUMS} SELECT ${LOOK} FROM nums CROSS JOIN watch_look l ON l.num = nums.num AND l.at >= ? AND l.at < ?
         ORDER BY l.num, l.at`,
      )
      .bind(from, to),
  );
  return rows.map(toLook);
}

/** The newest look of every target that has one since `from`. */
export async function readNewestLooks(db: D1Database, from: number): Promise<Look[]> {
  const rows = await all<LookRow>(
    db
      .prepare(
        `${NUMS} SELECT ${LOOK} FROM nums CROSS JOIN watch_look l ON l.num = nums.num
           AND l.at = (SELECT max(at) FROM watch_look x WHERE x.num = nums.num) WHERE l.at >= ?`,
      )
      .bind(from),
  );
  return rows.map(toLook);
}

/** Deletes looks older than 14 days, at most `limit` of them. Returns how many went; call again while it equals `limit`. */
export async function expireLooks(db: D1Database, now: number, limit = 10_000): Promise<number> {
  const done = await db
    .prepare(
      `DELETE FROM watch_look WHERE (num, at) IN (
         ${NUMS} SELECT l.num, l.at FROM nums CROSS JOIN watch_look l ON l.num = nums.num AND l.at < ? LIMIT ?)`,
    )
    .bind(now - KEEP_LOOKS, limit)
    .run();
  return done.meta.changes ?? 0;
}
