import { all } from "../kernel/d1";
import type { Snapshot } from "../watch";

/** Reads over other targets for an investigation; bounded however many there are. */

export interface OtherTarget {
  id: string;
  name: string;
  kind: string;
  status: string;
  reason: string;
  since: number;
}

/** The worst other targets now (down, unknown, degraded; never OK), and how many there are of each status. */
export async function othersWorst(
  db: D1Database,
  targetId: string,
  limit: number,
): Promise<{ worst: OtherTarget[]; counts: { status: string; n: number }[] }> {
  const from = "FROM target t JOIN target_state s ON s.target_id = t.id WHERE t.id <> ? AND t.paused = 0";
  const [worst, counts] = await Promise.all([
    all<OtherTarget>(
      db
        .prepare(
          `SELECT t.id, t.name, t.kind, s.status, s.reason, s.since ${from} AND s.status <> 'healthy'
             AND s.reason NOT IN ('not_configured', 'not_looked_yet', 'no_beat_yet')
           ORDER BY CASE s.status WHEN 'unhealthy' THEN 0 WHEN 'unknown' THEN 1 ELSE 2 END, s.since DESC LIMIT ?`,
        )
        .bind(targetId, limit),
    ),
    all<{ status: string; n: number }>(
      db.prepare(`SELECT s.status, COUNT(*) AS n ${from} GROUP BY s.status ORDER BY n DESC`).bind(targetId),
    ),
  ]);
  return { worst, counts };
}

/** Open incidents of other targets that deploy things: a release there may be the cause here. */
export async function othersOpen(
  db: D1Database,
  targetId: string,
): Promise<{ target_name: string; first_snapshot: Snapshot | null; last_snapshot: Snapshot | null }[]> {
  const rows = await all<{ target_name: string; first_snapshot: string; last_snapshot: string }>(
    db
      .prepare(
        `SELECT target_name, first_snapshot, last_snapshot FROM incident
         WHERE resolved_at IS NULL AND target_id <> ? AND kind IN ('vercel', 'fly') ORDER BY opened_at DESC LIMIT 5`,
      )
      .bind(targetId),
  );
  return rows.map((r) => ({
    target_name: r.target_name,
    first_snapshot: JSON.parse(r.first_snapshot) as Snapshot | null,
    last_snapshot: JSON.parse(r.last_snapshot) as Snapshot | null,
  }));
}
