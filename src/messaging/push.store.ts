import { stampDelivered } from "./store";
import type { MessageRow } from "./types";
import { BATCH, BATCH_AGE, CLAIM_LEASE, carried, MAX_ATTEMPTS, PUSHES_PER_TICK, retryDelay, STALE_AFTER } from "./wake";

/**
 * The wake events of a workspace (wake-slo §1.2, §7.1), in their messages' rows. `wake_next` is set while an event may still
 * need a push; a claimed one has it at the end of its claim, so that what died with its object comes back by itself. Wall ms,
 * but where Reveille ms is said.
 */

/** Ends what nobody is to be woken for any more: too old, or cut off in its last attempt. */
export function retire(sql: SqlStorage, wall: number): void {
  sql.exec(
    `UPDATE message SET wake = 'ignored', wake_next = NULL, wake_lease = NULL, wake_error = 'stale'
     WHERE wake_next IS NOT NULL AND wake_made < ? AND (wake_lease IS NULL OR wake_lease <= ?)`,
    wall - STALE_AFTER,
    wall,
  );
  sql.exec(
    `UPDATE message SET wake = 'failed', wake_next = NULL, wake_lease = NULL, wake_error = COALESCE(wake_error, 'cut_off')
     WHERE wake_next <= ? AND wake_attempts >= ?`,
    wall,
    MAX_ATTEMPTS,
  );
}

/** Recipients a push is under way to, as the rows know it. */
const BUSY = "SELECT to_id FROM message WHERE wake_next IS NOT NULL AND wake_lease > ?1";

/** The oldest due event of each recipient that no push is under way to. */
export function dueEvents(sql: SqlStorage, wall: number): { id: string; to_id: string; attempts: number }[] {
  return sql
    .exec<{ id: string; to_id: string; attempts: number }>(
      `SELECT min(id) AS id, to_id, wake_attempts AS attempts FROM message
       WHERE wake_next <= ?1 AND to_id NOT IN (${BUSY}) GROUP BY to_id ORDER BY min(wake_next) LIMIT ${PUSHES_PER_TICK}`,
      wall,
    )
    .toArray();
}

/** Takes an event for one attempt, when nobody else has taken this attempt. Returns the attempt's number, or null. */
export function claimEvent(sql: SqlStorage, id: string, attempts: number, wall: number): number | null {
  const done = sql.exec(
    `UPDATE message SET wake_attempts = wake_attempts + 1, wake_lease = ?1, wake_next = ?1
     WHERE id = ?2 AND wake_attempts = ?3 AND wake_next IS NOT NULL`,
    wall + CLAIM_LEASE,
    id,
    attempts,
  );
  return done.rowsWritten > 0 ? attempts + 1 : null;
}

/**
 * What a push of this event carries: it and the oldest other undelivered messages of the last 24 h (`now` is Reveille ms), in
 * order. Mail that was put in by a hook is left out: the hook is where its reader was woken. Empty when it was read meanwhile.
 */
export function batchOf(sql: SqlStorage, id: string, now: number): MessageRow[] {
  const rows = sql
    .exec<MessageRow>(
      `SELECT m.*, s.topic FROM message m JOIN session s ON s.id = m.session_id
       WHERE m.to_id = (SELECT to_id FROM message WHERE id = ?1) AND m.delivered_ms IS NULL AND m.wake IS NOT NULL
         AND (m.id = ?1 OR m.created_ms > ?2)
       ORDER BY m.id <> ?1, m.id LIMIT ${BATCH}`,
      id,
      now - BATCH_AGE,
    )
    .toArray();
  if (!rows.some((m) => m.id === id)) return [];
  return carried(
    rows.sort((a, b) => (a.id < b.id ? -1 : 1)),
    id,
  );
}

/** The recipient took it: all that was carried is delivered and never pushed again. `now` is Reveille ms. */
export const settleAccepted = (sql: SqlStorage, ids: readonly string[], now: number): void =>
  stampDelivered(sql, ids, now);

/** An attempt failed: another one later, or none. An older attempt's late failure changes nothing. */
export function settleFailed(sql: SqlStorage, id: string, attempt: number, wall: number, error: string): void {
  const delay = retryDelay(attempt);
  sql.exec(
    `UPDATE message SET wake = 'failed', wake_error = ?, wake_lease = NULL, wake_next = ?
     WHERE id = ? AND wake_attempts = ? AND wake_next IS NOT NULL`,
    error,
    delay === null ? null : wall + delay,
    id,
    attempt,
  );
}

/** Nobody is to be woken: the message waits in the inbox. */
export function settleIgnored(sql: SqlStorage, id: string, why: string): void {
  sql.exec(
    "UPDATE message SET wake = 'ignored', wake_error = ?, wake_next = NULL, wake_lease = NULL WHERE id = ? AND wake_next IS NOT NULL",
    why,
    id,
  );
}

/** When the next event needs a look: its retry, or the end of a claim; null when none waits. */
export function nextLook(sql: SqlStorage, wall: number): number | null {
  return sql
    .exec<{ at: number | null }>(
      `SELECT min(wake_next) AS at FROM message
       WHERE wake_next IS NOT NULL AND (wake_lease > ?1 OR to_id NOT IN (${BUSY}))`,
      wall,
    )
    .one().at;
}
