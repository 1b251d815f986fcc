import { iso } from "../kernel/clock";
import { all } from "../kernel/d1";
import type { Severity, Snapshot } from "./types";

interface IncidentRow {
  id: string;
  target_id: string;
  target_name: string;
  kind: string;
  category: string;
  signal: string | null;
  severity: Severity;
  title: string;
  detail: string;
  rehearsal: number;
  first_bad_at: number;
  opened_at: number;
  confirmed_by: string;
  acked_at: number | null;
  acked_by: string | null;
  snooze_until: number | null;
  resolved_at: number | null;
  resolution: string | null;
  flapping: number;
  flaps: number;
  investigations: number;
  cost_usd: number;
  first_snapshot: string;
  last_snapshot: string;
  version: number;
}

/** An incident as the API, the pages and the notices see it. Times are ISO; `*_ms` are Reveille ms for arithmetic. */
export interface IncidentView {
  id: string;
  target_id: string;
  target_name: string;
  kind: string;
  category: string;
  signal: string | null;
  severity: Severity;
  state: "open" | "acked" | "resolved";
  title: string;
  detail: string;
  rehearsal: boolean;
  flapping: boolean;
  flaps: number;
  first_bad_at: string;
  opened_at: string;
  confirmed_by: string;
  acked_at: string | null;
  acked_by: string | null;
  snooze_until: string | null;
  resolved_at: string | null;
  resolution: string | null;
  downtime_ms: number | null;
  investigations: number;
  cost_usd: number;
  first_snapshot: Snapshot | null;
  last_snapshot: Snapshot | null;
  version: number;
}

const toView = (r: IncidentRow): IncidentView => ({
  id: r.id,
  target_id: r.target_id,
  target_name: r.target_name,
  kind: r.kind,
  category: r.category,
  signal: r.signal,
  severity: r.severity,
  state: r.resolved_at !== null ? "resolved" : r.acked_at !== null ? "acked" : "open",
  title: r.title,
  detail: r.detail,
  rehearsal: r.rehearsal === 1,
  flapping: r.flapping === 1,
  flaps: r.flaps,
  first_bad_at: iso(r.first_bad_at),
  opened_at: iso(r.opened_at),
  confirmed_by: r.confirmed_by,
  acked_at: iso(r.acked_at),
  acked_by: r.acked_by,
  snooze_until: iso(r.snooze_until),
  resolved_at: iso(r.resolved_at),
  resolution: r.resolution,
  downtime_ms: r.resolved_at === null ? null : r.resolved_at - r.first_bad_at,
  investigations: r.investigations,
  cost_usd: r.cost_usd,
  first_snapshot: JSON.parse(r.first_snapshot),
  last_snapshot: JSON.parse(r.last_snapshot),
  version: r.version,
});

export async function readIncident(db: D1Database, id: string): Promise<IncidentView | null> {
  const row = await db.prepare("SELECT * FROM incident WHERE id = ?").bind(id).first<IncidentRow>();
  return row ? toView(row) : null;
}

export interface IncidentQuery {
  state?: "open" | "acked" | "resolved" | undefined;
  target_id?: string | undefined;
  /** Incidents with a smaller id (older) than this. */
  before?: string | undefined;
  limit: number;
}

const STATE_SQL = {
  open: "resolved_at IS NULL AND acked_at IS NULL",
  acked: "resolved_at IS NULL AND acked_at IS NOT NULL",
  resolved: "resolved_at IS NOT NULL",
};

/** Incidents, newest first. */
export async function readIncidents(db: D1Database, q: IncidentQuery): Promise<IncidentView[]> {
  const where: string[] = [];
  const values: unknown[] = [];
  if (q.state) where.push(STATE_SQL[q.state]);
  if (q.target_id !== undefined) {
    where.push("target_id = ?");
    values.push(q.target_id);
  }
  if (q.before !== undefined) {
    where.push("id < ?");
    values.push(q.before);
  }
  const rows = await all<IncidentRow>(
    db
      .prepare(`SELECT * FROM incident ${where.length ? `WHERE ${where.join(" AND ")}` : ""} ORDER BY id DESC LIMIT ?`)
      .bind(...values, q.limit),
  );
  return rows.map(toView);
}
