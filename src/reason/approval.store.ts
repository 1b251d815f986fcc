import { type AuditRow, auditIfChanged } from "../audit";
import { HOUR, MINUTE } from "../kernel/clock";
import { all } from "../kernel/d1";
import { CAP_WINDOW, type FixState } from "./autofix";
import type { FixRow } from "./autofix.store";

/** SQL of `approval`, and of the fixes that stand still. */

export interface Approval {
  id: string;
  autofix_key: string;
  incident_id: string;
  expires_at: number;
  used_at: number | null;
  used_by: string | null;
  answer: "approve" | "deny" | null;
}

/** The newest question of a fix. */
export const readApproval = (db: D1Database, key: string): Promise<Approval | null> =>
  db
    .prepare("SELECT * FROM approval WHERE autofix_key = ? ORDER BY created_at DESC LIMIT 1")
    .bind(key)
    .first<Approval>();

export const findApproval = (db: D1Database, id: string): Promise<Approval | null> =>
  db.prepare("SELECT * FROM approval WHERE id = ?").bind(id).first<Approval>();

/** Questions that wait for a person, soonest end first. */
export const readWaiting = (db: D1Database, now: number, limit = 20): Promise<(FixRow & { approval_id: string })[]> =>
  all(
    db
      .prepare(
        `SELECT f.*, p.id AS approval_id FROM autofix f JOIN approval p ON p.autofix_key = f.key AND p.used_at IS NULL
         WHERE f.state = 'waiting' AND f.created_at > ?2 AND p.expires_at > ?1 ORDER BY p.expires_at LIMIT ?3`,
      )
      .bind(now, now - HOUR, limit),
  );

/**
 * Answers a question: once, in time, and only while the fix waits. Null: this call did not win. `until`: an approved run must
 * begin by then.
 */
export async function answerApproval(
  db: D1Database,
  id: string,
  a: { answer: "approve" | "deny"; by: string; now: number; until: number },
  proofs: AuditRow[],
): Promise<string | null> {
  const state: FixState = a.answer === "approve" ? "approved" : "denied";
  const [used] = await db.batch<{ autofix_key: string }>([
    db
      .prepare(
        `UPDATE approval SET used_at = ?1, used_by = ?2, answer = ?3 WHERE id = ?4 AND used_at IS NULL AND expires_at > ?1
           AND EXISTS (SELECT 1 FROM autofix WHERE key = approval.autofix_key AND state = 'waiting') RETURNING autofix_key`,
      )
      .bind(a.now, a.by, a.answer, id),
    db
      .prepare(
        // Only when the statement before took the question: a spent one says nothing about the one that waits now.
        `UPDATE autofix SET state = ?1, by = ?2, expires_at = ?3, finished_at = ?4 WHERE state = 'waiting' AND changes() > 0
           AND key = (SELECT autofix_key FROM approval WHERE id = ?5)`,
      )
      .bind(state, a.by, a.until, a.answer === "deny" ? a.now : null, id),
    // One after the other: each is written only when the statement before it changed a row, so a lost press proves nothing.
    ...proofs.map((row) => auditIfChanged(db, row)),
  ]);
  return used?.results[0]?.autofix_key ?? null;
}

/**
 * Fixes that stand still: a question that ran out or was never asked, an answer whose message was lost, a run that died, an
 * outcome nobody looked at, an end nobody was told. `stale_run`: how long a run may take, Reveille ms.
 */
export async function stuckFixes(
  db: D1Database,
  now: number,
  stale_run: number,
): Promise<{ key: string; step: "run" | "verify" }[]> {
  const rows = await all<{ key: string; state: string }>(
    db
      .prepare(
        `SELECT key, state FROM autofix f WHERE created_at > ?1 AND (
           (state IN ('waiting', 'approved') AND expires_at <= ?2)
           OR (state = 'waiting' AND created_at <= ?3 AND NOT EXISTS (SELECT 1 FROM notice WHERE id = f.key || ':asked:' || f.created_at AND dm_status IS NOT NULL))
           OR (state = 'approved' AND created_at <= ?3)
           OR (state = 'running' AND started_at <= ?4)
           OR (state = 'done' AND outcome IS NULL AND finished_at <= ?3)
           OR (((state = 'done' AND outcome IS NOT NULL) OR state IN ('planned', 'failed', 'unknown_outcome'))
             AND COALESCE(finished_at, created_at) <= ?3
             AND NOT EXISTS (SELECT 1 FROM notice WHERE id = f.key || ':told:' || f.created_at AND dm_status IS NOT NULL)))
         ORDER BY created_at LIMIT 50`,
      )
      .bind(now - 2 * CAP_WINDOW, now, now - MINUTE, now - stale_run),
  );
  return rows.map((r) => ({ key: r.key, step: r.state === "done" ? "verify" : "run" }));
}
