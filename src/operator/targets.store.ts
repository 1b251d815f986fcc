import { all } from "../kernel/d1";
import type { Kind, Reason, Status } from "../watch";

/** One target with its state, as the overview needs it: one row read each, no JSON beyond two numbers. */
export interface TargetLine {
  num: number;
  id: string;
  name: string;
  kind: Kind;
  every_s: number;
  paused: number;
  muted_until: number | null;
  created_at: number;
  phase: "steady" | "suspect" | "open";
  status: Status;
  reason: Reason;
  since: number;
  incident_id: string | null;
  /** Bad looks in a row while suspect, else null; and the reason of the look that made it suspect is not kept. */
  bad: number | null;
  confirm: number | null;
  acked_at: number | null;
  snooze_until: number | null;
  flapping: number | null;
  rehearsal: number | null;
  severity: string | null;
  beat_at: number | null;
  beat_period_s: number | null;
}

/** More targets than this are not shown on one instance's overview (goal: 1,000). */
const MAX_TARGETS = 5_000;

export function readTargetLines(db: D1Database): Promise<TargetLine[]> {
  return all<TargetLine>(
    db
      .prepare(
        `SELECT t.num, t.id, t.name, t.kind, t.every_s, t.paused, t.muted_until, t.created_at,
           s.phase, s.status, s.reason, s.since, s.incident_id,
           CASE WHEN s.phase = 'suspect' THEN json_extract(s.machine, '$.bad') END AS bad,
           CASE WHEN s.phase = 'suspect' THEN json_extract(t.thresholds, '$.confirm') END AS confirm,
           i.acked_at, i.snooze_until, i.flapping, i.rehearsal, i.severity, h.last_at AS beat_at,
           CASE WHEN t.kind = 'heartbeat' THEN json_extract(t.config, '$.period') END AS beat_period_s
         FROM target t JOIN target_state s ON s.target_id = t.id
         LEFT JOIN incident i ON i.id = s.incident_id
         LEFT JOIN heartbeat h ON h.num = t.num
         ORDER BY t.num LIMIT ?`,
      )
      .bind(MAX_TARGETS),
  );
}

/** What the tiles and the verdict of the overview say beside the targets, in one round trip. */
export interface OverviewFacts {
  open: number;
  unacked: { id: string; title: string; target_name: string } | null;
  dead_letters: number;
  last_fault: { target_name: string; resolved_at: number; first_bad_at: number } | null;
  told: boolean;
  /** A gateway has been made and not revoked. */
  connected: boolean;
}

export async function readOverviewFacts(db: D1Database): Promise<OverviewFacts> {
  const [open, unacked, dead, last, told, connected] = await db.batch([
    db.prepare("SELECT COUNT(*) AS n FROM incident WHERE resolved_at IS NULL"),
    db.prepare(
      `SELECT id, title, target_name FROM incident WHERE resolved_at IS NULL AND acked_at IS NULL
       ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, opened_at LIMIT 1`,
    ),
    db.prepare("SELECT COUNT(*) AS n FROM (SELECT 1 FROM dead_letter WHERE replayed_at IS NULL LIMIT 1000)"),
    db.prepare(
      `SELECT target_name, resolved_at, first_bad_at FROM incident WHERE resolved_at IS NOT NULL AND rehearsal = 0
       ORDER BY opened_at DESC LIMIT 1`,
    ),
    db.prepare("SELECT 1 AS n FROM notice_attempt WHERE state = 'sent' AND channel <> 'inbox' LIMIT 1"),
    db.prepare("SELECT 1 AS n FROM gateway WHERE revoked_at IS NULL LIMIT 1"),
  ]);
  const first = <T>(r: D1Result<unknown> | undefined): T | null => (r?.results[0] as T | undefined) ?? null;
  return {
    open: first<{ n: number }>(open)?.n ?? 0,
    unacked: first(unacked),
    dead_letters: first<{ n: number }>(dead)?.n ?? 0,
    last_fault: first(last),
    told: first(told) !== null,
    connected: first(connected) !== null,
  };
}

/** Where a pasted text leads: the page of the one thing with that id, or null. */
export async function findPage(db: D1Database, text: string): Promise<string | null> {
  const [incident, target, wake, notice, gateway] = await db.batch<{ id: string | null }>([
    db.prepare("SELECT id FROM incident WHERE id = ?").bind(text),
    db.prepare("SELECT id FROM target WHERE id = ?1 OR name = ?1 COLLATE NOCASE LIMIT 1").bind(text),
    db.prepare("SELECT incident_id AS id FROM wake WHERE wake_id = ? AND incident_id IS NOT NULL").bind(text),
    db.prepare("SELECT incident_id AS id FROM notice WHERE id = ? AND incident_id IS NOT NULL").bind(text),
    db.prepare("SELECT id FROM gateway WHERE id = ?").bind(text),
  ]);
  const id = (r: D1Result<{ id: string | null }> | undefined): string | null => r?.results[0]?.id ?? null;
  const seen = id(incident) ?? id(wake) ?? id(notice);
  if (seen) return `/incidents/${encodeURIComponent(seen)}`;
  const dials = id(gateway);
  if (dials) return `/gateways/${encodeURIComponent(dials)}`;
  const found = id(target);
  return found ? `/targets/${encodeURIComponent(found)}` : null;
}
