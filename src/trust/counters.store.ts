import { auditWhen } from "../audit";
import { DAY, HOUR } from "../kernel/clock";
import type { Counters } from "./types";

/** Table `trust_hour`: how often a client asked, by hour. One row written a decision. */

const hourOf = (at: number): number => Math.floor(at / HOUR);
const HOURS = 24;
/** Hours are kept this long for the pages. */
export const KEEP = 30 * DAY;

export const countersStatement = (db: D1Database, id: string, now: number): D1PreparedStatement =>
  db
    .prepare(
      // Seeks by the whole key: 24 of them, whatever others did in that time.
      `SELECT COALESCE(SUM(n), 0) AS requests_24h, COALESCE(SUM(denied), 0) AS denied_24h FROM trust_hour
       WHERE hour IN (${Array.from({ length: HOURS }, (_, i) => hourOf(now) - i).join(", ")}) AND client_id = ?`,
    )
    .bind(id);

export const countersOf = (rows: Counters[]): Counters => rows[0] ?? { requests_24h: 0, denied_24h: 0 };

export const countDecision = (
  db: D1Database,
  id: string,
  d: { allow: boolean; llm: boolean },
  now: number,
): D1PreparedStatement =>
  db
    .prepare(
      `INSERT INTO trust_hour (hour, client_id, n, denied, llm, last_at) VALUES (?1, ?2, 1, ?3, ?4, ?5)
       ON CONFLICT (hour, client_id) DO UPDATE SET n = n + 1, denied = denied + ?3, llm = llm + ?4, last_at = ?5`,
    )
    .bind(hourOf(now), id, d.allow ? 0 : 1, d.llm ? 1 : 0, now);

/**
 * The audit row of a client's first allow or first deny of an hour; put it behind `countDecision` in one batch. Those that
 * follow are in the counter: a client that asks in a loop must not fill the audit.
 */
export function auditFirst(
  db: D1Database,
  id: string,
  d: { allow: boolean },
  now: number,
  details: Record<string, unknown>,
): D1PreparedStatement {
  const first = `(SELECT ${d.allow ? "n - denied" : "denied"} FROM trust_hour WHERE hour = ? AND client_id = ?) = 1`;
  const row = { at: now, seam: "trust.decided", details } as const;
  return auditWhen(db, row, first, [hourOf(now), id]);
}

/** Decisions within 24 h, and how many needed tier two. */
export async function readShare(db: D1Database, now: number): Promise<{ decisions: number; llm: number }> {
  const row = await db
    .prepare("SELECT COALESCE(SUM(n), 0) AS decisions, COALESCE(SUM(llm), 0) AS llm FROM trust_hour WHERE hour > ?")
    .bind(hourOf(now) - HOURS)
    .first<{ decisions: number; llm: number }>();
  return row ?? { decisions: 0, llm: 0 };
}

/** Deletes what is too old to be shown or used. `wall_s`: wall seconds, the time of signatures. */
export function expireTrust(db: D1Database, now: number, wall_s: number): Promise<unknown> {
  return db.batch([
    db.prepare("DELETE FROM trust_hour WHERE hour < ?").bind(hourOf(now - KEEP)),
    db.prepare("DELETE FROM trust_used WHERE expires_at < ?").bind(wall_s),
    db.prepare("DELETE FROM trust_verdict WHERE expires_at < ?").bind(now),
    db.prepare("DELETE FROM trust_proposal WHERE state <> 'pending' AND created_at < ?").bind(now - KEEP),
    db.prepare("DELETE FROM trust_proposal WHERE state = 'pending' AND expires_at < ?").bind(now),
  ]);
}
