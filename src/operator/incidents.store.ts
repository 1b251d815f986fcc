import { all, marks } from "../kernel/d1";

/** How many incidents each tab holds. Open ones are few; resolved are counted over the last 30 days. */
export interface IncidentCounts {
  open: number;
  acked: number;
  resolved_30d: number;
  all: number;
}

export async function countIncidents(db: D1Database, since: number): Promise<IncidentCounts> {
  const row = await db
    .prepare(
      `SELECT (SELECT COUNT(*) FROM incident WHERE resolved_at IS NULL AND acked_at IS NULL) AS open,
         (SELECT COUNT(*) FROM incident WHERE resolved_at IS NULL AND acked_at IS NOT NULL) AS acked,
         (SELECT COUNT(*) FROM incident WHERE opened_at >= ? AND resolved_at IS NOT NULL) AS resolved_30d,
         (SELECT COUNT(*) FROM incident) AS "all"`,
    )
    .bind(since)
    .first<IncidentCounts>();
  return row ?? { open: 0, acked: 0, resolved_30d: 0, all: 0 };
}

/** What the consumer wrote about an incident's newest wake: why nobody reasoned, and whether a person was told. */
export interface WakeNote {
  wake_id: string;
  incident_id: string;
  dm_status: string | null;
  reasoning_error: string | null;
  stage: string;
  investigated_at: number | null;
  plain_noticed_at: number | null;
}

/** The opening wake of each incident (at most 100 incidents). */
export async function readOpeningWakes(db: D1Database, incidents: string[]): Promise<Map<string, WakeNote>> {
  if (incidents.length === 0) return new Map();
  const rows = await all<WakeNote>(
    db
      .prepare(
        `SELECT wake_id, incident_id, dm_status, reasoning_error, stage, investigated_at, plain_noticed_at FROM wake
         WHERE incident_id IN (${marks(incidents.length)}) AND event IN ('opened', 'flapping') ORDER BY created_at DESC`,
      )
      .bind(...incidents),
  );
  // Newest first, so the oldest (the opening one) is what stays in the map.
  return new Map(rows.map((r) => [r.incident_id, r]));
}

/** When a channel other than the inbox was first told of an incident, ms, or null. */
export async function firstTold(db: D1Database, incident: string): Promise<{ at: number; channel: string } | null> {
  return db
    .prepare(
      `SELECT finished_at AS at, channel FROM notice_attempt
       WHERE incident_id = ? AND state = 'sent' AND finished_at IS NOT NULL ORDER BY (channel = 'inbox'), finished_at LIMIT 1`,
    )
    .bind(incident)
    .first();
}

/** Incidents of other targets that were open at some moment of a span, newest first. */
export async function othersAt(
  db: D1Database,
  target: string,
  from: number,
  to: number,
): Promise<{ id: string; target_name: string; title: string; opened_at: number; resolved_at: number | null }[]> {
  return all(
    db
      .prepare(
        `SELECT id, target_name, title, opened_at, resolved_at FROM incident
         WHERE target_id <> ?1 AND opened_at <= ?3 AND (resolved_at IS NULL OR resolved_at >= ?2) ORDER BY opened_at DESC LIMIT 10`,
      )
      .bind(target, from, to),
  );
}

/** How many incidents a target has had. */
export async function countOfTarget(db: D1Database, target: string): Promise<number> {
  const row = await db
    .prepare("SELECT COUNT(*) AS n FROM incident WHERE target_id = ?")
    .bind(target)
    .first<{ n: number }>();
  return row?.n ?? 0;
}
