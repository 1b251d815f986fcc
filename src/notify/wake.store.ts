import { all } from "../kernel/d1";
import type { NoticeEvent } from "./types";

/** A wake as the consumer works on it. Only stage columns are written here; the row itself is the Target object's. */
export interface WakeWork {
  wake_id: string;
  kind: string;
  event: NoticeEvent;
  incident_id: string | null;
  target_id: string | null;
  category: string | null;
  severity: "critical" | "warning" | "info";
  incident_version: number | null;
  payload: string;
  stage: "new" | "claimed" | "plain_noticed" | "reserved" | "investigated" | "noticed" | "dead";
  created_at: number;
  attempts: number;
  deferred_until: number | null;
  folded_into: string | null;
  done_at: number | null;
}

/**
 * Takes a wake by compare-and-set. Null means that it is done, unknown, or in other hands whose lease still runs: a duplicate
 * message, to be acked. All times Reveille ms.
 */
export async function claim(
  db: D1Database,
  wakeId: string,
  claimant: string,
  now: number,
  leaseMs: number,
): Promise<WakeWork | null> {
  return db
    .prepare(
      `UPDATE wake SET stage = CASE stage WHEN 'new' THEN 'claimed' ELSE stage END, claimed_by = ?1,
         claimed_at = COALESCE(claimed_at, ?2), lease_until = ?3, attempts = attempts + 1, next_at = MAX(next_at, ?3)
       WHERE wake_id = ?4 AND done_at IS NULL AND (lease_until IS NULL OR lease_until <= ?2) RETURNING *`,
    )
    .bind(claimant, now, now + leaseMs, wakeId)
    .first<WakeWork>();
}

/** Gives a wake back for a planned later try, which is no failed one; the sweeper covers a queue that forgets it. */
export const release = (
  db: D1Database,
  wakeId: string,
  claimant: string,
  nextAt: number,
  more: { error?: string; deferred_until?: number } = {},
): D1PreparedStatement =>
  db
    .prepare(
      `UPDATE wake SET claimed_by = NULL, lease_until = NULL, next_at = ?, last_error = COALESCE(?, last_error),
         deferred_until = COALESCE(?, deferred_until), attempts = MAX(0, attempts - 1) WHERE wake_id = ? AND claimed_by = ?`,
    )
    .bind(nextAt, more.error ?? null, more.deferred_until ?? null, wakeId, claimant);

/** Gives a wake back after a try that failed: it counts, and the queue's own retry finds the wake free. */
export const giveUpTry = (
  db: D1Database,
  wakeId: string,
  claimant: string,
  nextAt: number,
  error: string,
): D1PreparedStatement =>
  db
    .prepare(
      `UPDATE wake SET claimed_by = NULL, lease_until = NULL, next_at = ?, last_error = ?
       WHERE wake_id = ? AND claimed_by = ? AND done_at IS NULL`,
    )
    .bind(nextAt, error, wakeId, claimant);

export const markPlainNoticed = (db: D1Database, wakeId: string, claimant: string, now: number): D1PreparedStatement =>
  db
    .prepare("UPDATE wake SET stage = 'plain_noticed', plain_noticed_at = ? WHERE wake_id = ? AND claimed_by = ?")
    .bind(now, wakeId, claimant);

export const finish = (
  db: D1Database,
  wakeId: string,
  claimant: string,
  now: number,
  end: { stage: "noticed" | "dead"; dm_status: string; reasoning_error?: string | null },
): D1PreparedStatement =>
  db
    .prepare(
      `UPDATE wake SET stage = ?, dm_status = ?, reasoning_error = ?, done_at = ?, lease_until = NULL
       WHERE wake_id = ? AND claimed_by = ?`,
    )
    .bind(end.stage, end.dm_status, end.reasoning_error ?? null, now, wakeId, claimant);

/** Wakes of the same incident that came before `version` and are not told yet: they are told first. */
export const earlierWakes = (db: D1Database, incidentId: string, version: number): Promise<{ wake_id: string }[]> =>
  all<{ wake_id: string }>(
    db
      .prepare(
        `SELECT wake_id FROM wake WHERE incident_id = ? AND incident_version < ? AND done_at IS NULL AND plain_noticed_at IS NULL
         ORDER BY incident_version`,
      )
      .bind(incidentId, version),
  );

/** Facts of the gate that live in rows, in one round trip. */
export async function gateRows(
  db: D1Database,
  wake: WakeWork,
  windowStart: number,
): Promise<{
  resolved: boolean;
  target_muted_until: number | null;
  last_sent_at: number | null;
  earlier_in_burst: number;
  incident_was_pushed: boolean;
}> {
  const [incident, target, debounce, burst, pushed] = await db.batch<{ n: number | null }>([
    db.prepare("SELECT resolved_at AS n FROM incident WHERE id = ?").bind(wake.incident_id),
    db.prepare("SELECT muted_until AS n FROM target WHERE id = ?").bind(wake.target_id),
    db
      .prepare("SELECT sent_at AS n FROM wake_debounce WHERE target_id = ? AND category = ? AND wake_id <> ?")
      .bind(wake.target_id, wake.category, wake.wake_id),
    db
      .prepare(
        `SELECT COUNT(*) AS n FROM wake WHERE created_at >= ?1 AND created_at <= ?2 AND event = ?3 AND kind = 'incident'
           AND (created_at < ?2 OR wake_id < ?4) AND json_extract(payload, '$.rehearsal') IS NOT 1`,
      )
      .bind(windowStart, wake.created_at, wake.event, wake.wake_id),
    db
      .prepare(
        `SELECT (SELECT COUNT(*) FROM notice_attempt WHERE incident_id = ?1 AND channel <> 'inbox' AND state IN ('sent', 'unknown'))
           + (SELECT COUNT(*) FROM notice_thread WHERE incident_id = ?1) AS n`,
      )
      .bind(wake.incident_id),
  ]);
  const n = (r: D1Result<{ n: number | null }> | undefined): number | null => r?.results[0]?.n ?? null;
  return {
    resolved: n(incident) !== null,
    target_muted_until: n(target),
    last_sent_at: n(debounce),
    earlier_in_burst: n(burst) ?? 0,
    incident_was_pushed: (n(pushed) ?? 0) > 0,
  };
}

export const noteSent = (db: D1Database, wake: WakeWork, now: number): D1PreparedStatement =>
  db
    .prepare(
      // A target deleted meanwhile leaves no cooldown for the next one of its id.
      `INSERT INTO wake_debounce (target_id, category, sent_at, wake_id)
       SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM target WHERE id = ?1)
       ON CONFLICT (target_id, category) DO UPDATE SET sent_at = ?3, wake_id = ?4`,
    )
    .bind(wake.target_id, wake.category, now, wake.wake_id);

/** What came of a wake's plain notice: its status, the channel that took it, and why it was not pushed. */
export async function plainResult(
  db: D1Database,
  wakeId: string,
): Promise<{ dm: "sent" | "failed_send" | "suppressed" | null; channel: string | null; skipped: string | null }> {
  const row = await db
    .prepare(
      `SELECT n.dm_status AS dm,
         (SELECT channel FROM notice_attempt WHERE notice_id = n.id AND state = 'sent' ORDER BY (channel = 'inbox') LIMIT 1) AS channel,
         (SELECT error FROM notice_attempt WHERE notice_id = n.id AND state = 'suppressed' LIMIT 1) AS skipped
       FROM notice n WHERE n.wake_id = ?`,
    )
    .bind(wakeId)
    .first<{ dm: "sent" | "failed_send" | "suppressed" | null; channel: string | null; skipped: string | null }>();
  return row ?? { dm: null, channel: null, skipped: null };
}

/**
 * The row before the call (design §5): from here on nobody calls for this wake again. False: it is in other hands by now, and
 * the caller must not call.
 */
export async function markReserved(
  db: D1Database,
  wakeId: string,
  claimant: string,
  now: number,
  leaseUntil: number,
): Promise<boolean> {
  const done = await db
    .prepare(
      `UPDATE wake SET stage = 'reserved', reserved_at = ?1, lease_until = ?2, next_at = MAX(next_at, ?2)
       WHERE wake_id = ?3 AND claimed_by = ?4 AND stage = 'plain_noticed' AND done_at IS NULL`,
    )
    .bind(now, leaseUntil, wakeId, claimant)
    .run();
  return (done.meta.changes ?? 0) > 0;
}

/** The answer is in; goes into the batch that stores it. */
export const markInvestigated = (
  db: D1Database,
  wakeId: string,
  claimant: string,
  now: number,
  error: string | null,
): D1PreparedStatement =>
  db
    .prepare(
      `UPDATE wake SET stage = 'investigated', investigated_at = ?, reasoning_error = ?
       WHERE wake_id = ? AND claimed_by = ? AND stage IN ('plain_noticed', 'reserved') AND done_at IS NULL`,
    )
    .bind(now, error, wakeId, claimant);
