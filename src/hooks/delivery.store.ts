import { all } from "../kernel/d1";

/** Rows of real messages on their way to a recipient (`message_wake`). Every write names the claim it rests on. */

export interface WakeRow {
  wake_id: string;
  hook_id: string;
  payload: string;
  via: "hook" | "fall_through";
  state: "new" | "claimed" | "delivered" | "dead";
  /** Reveille ms, as all times here. */
  received_at: number;
  next_at: number;
  lease_until: number | null;
  claimed_by: string | null;
  attempts: number;
  delivered_at: number | null;
  result: string | null;
  last_error: string | null;
}

/**
 * Takes a wake for one run, or null when it is not its turn: held, over, or waiting for its next try. A first try waits for
 * nothing: until then `next_at` is the sweeper's.
 */
export const claimWake = (
  db: D1Database,
  id: string,
  token: string,
  now: number,
  leaseMs: number,
): Promise<WakeRow | null> =>
  db
    .prepare(
      `UPDATE message_wake SET state = 'claimed', attempts = attempts + 1, claimed_by = ?2, lease_until = ?4, next_at = ?4
       WHERE wake_id = ?1 AND ((state = 'new' AND (attempts = 0 OR next_at <= ?3)) OR (state = 'claimed' AND lease_until <= ?3))
       RETURNING *`,
    )
    .bind(id, token, now, now + leaseMs)
    .first<WakeRow>();

export const readWake = (db: D1Database, id: string): Promise<WakeRow | null> =>
  db.prepare("SELECT * FROM message_wake WHERE wake_id = ?").bind(id).first<WakeRow>();

const HELD = "wake_id = ? AND claimed_by = ? AND state = 'claimed'";

export const markDelivered = (db: D1Database, row: WakeRow, result: string, now: number): D1PreparedStatement =>
  db
    .prepare(
      `UPDATE message_wake SET state = 'delivered', delivered_at = ?, result = ?, last_error = NULL, lease_until = NULL
       WHERE ${HELD}`,
    )
    .bind(now, result, row.wake_id, row.claimed_by);

export const markWaiting = (db: D1Database, row: WakeRow, error: string, nextAt: number): D1PreparedStatement =>
  db
    .prepare(`UPDATE message_wake SET state = 'new', last_error = ?, next_at = ?, lease_until = NULL WHERE ${HELD}`)
    .bind(error, nextAt, row.wake_id, row.claimed_by);

export const markDead = (db: D1Database, row: WakeRow, error: string): D1PreparedStatement =>
  db
    .prepare(`UPDATE message_wake SET state = 'dead', last_error = ?, lease_until = NULL WHERE ${HELD}`)
    .bind(error, row.wake_id, row.claimed_by);

/** The letter of a wake that just died in the same batch; nothing when it did not (the claim was lost). */
export const deadLetter = (db: D1Database, row: WakeRow, reason: string, now: number): D1PreparedStatement =>
  db
    .prepare(
      `INSERT INTO dead_letter (id, kind, ref, reason, payload, created_at)
       SELECT ?1, 'message', ?2, ?3, ?4, ?5 WHERE changes() > 0 ON CONFLICT DO NOTHING`,
    )
    .bind(
      ...[`message-${row.wake_id}-${now}`, row.wake_id, reason],
      ...[JSON.stringify({ wake_id: row.wake_id, kind: "message", hook_id: row.hook_id }), now],
    );

/** Its notice, told like any other wake (src/notify). Also bound to the write before it. */
export const deadNotice = (db: D1Database, row: WakeRow, payload: object, now: number): D1PreparedStatement =>
  db
    .prepare(
      `INSERT INTO wake (wake_id, kind, event, severity, payload, created_at, next_at)
       SELECT ?1, 'incident', 'undelivered', 'warning', ?2, ?3, ?3 WHERE changes() > 0 ON CONFLICT DO NOTHING`,
    )
    .bind(noticeId(row, now), JSON.stringify(payload), now);

export const noticeId = (row: WakeRow, now: number): string => `undelivered-${row.wake_id.slice(0, 70)}-${now}`;

/** Sends wakes again whose queue message was lost or whose run died. A second message of one wake finds it claimed. */
export async function sweepMessages(
  db: D1Database,
  now: number,
  send: (ids: string[]) => Promise<void>,
  limit = 100,
): Promise<number> {
  const rows = await all<{ wake_id: string }>(
    db
      .prepare(
        `SELECT wake_id FROM message_wake WHERE state IN ('new', 'claimed') AND next_at <= ? ORDER BY next_at LIMIT ?`,
      )
      .bind(now, limit),
  );
  if (rows.length === 0) return 0;
  await send(rows.map((r) => r.wake_id));
  return rows.length;
}

/** Deletes wakes that ended long ago. Returns how many. */
export async function forgetWakes(db: D1Database, before: number): Promise<number> {
  const done = await db
    .prepare("DELETE FROM message_wake WHERE received_at < ? AND state IN ('delivered', 'dead')")
    .bind(before)
    .run();
  return done.meta.changes;
}
