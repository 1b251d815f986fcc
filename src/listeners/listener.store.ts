import { all } from "../kernel/d1";
import { clip } from "../kernel/errors";
import type { ListenerState } from "./health";

const MAX_TEXT = 300;
const short = (text: string | null): string | null => (text === null ? null : clip(text, MAX_TEXT));

/** A run that went well: one row written. `at` is when the run began; an older one never replaces a newer one. */
export function markOk(db: D1Database, name: string, at: number, note: string | null = null): D1PreparedStatement {
  return db
    .prepare(
      `INSERT INTO listener_state (name, last_run_at, last_ok_at, consecutive_errors, last_error, note)
       VALUES (?1, ?2, ?2, 0, NULL, ?3)
       ON CONFLICT (name) DO UPDATE SET last_run_at = ?2, last_ok_at = ?2, consecutive_errors = 0, last_error = NULL, note = ?3
       WHERE last_run_at <= ?2`,
    )
    .bind(name, at, short(note));
}

/** A run that failed: one row written. `error` must be redacted; it stays shown until a run goes well. */
export function markFailed(db: D1Database, name: string, at: number, error: string): D1PreparedStatement {
  return db
    .prepare(
      `INSERT INTO listener_state (name, last_run_at, last_ok_at, consecutive_errors, last_error, note)
       VALUES (?1, ?2, NULL, 1, ?3, NULL)
       ON CONFLICT (name) DO UPDATE SET last_run_at = ?2, consecutive_errors = consecutive_errors + 1, last_error = ?3, note = NULL
       WHERE last_run_at <= ?2`,
    )
    .bind(name, at, short(error));
}

/**
 * What a listener without an interval says about itself: written only when it differs from what is stored, so that saying the
 * same again costs no row. `error` must be redacted; null = well.
 */
export function noteSetup(
  db: D1Database,
  name: string,
  at: number,
  error: string | null,
  note: string | null = null,
): D1PreparedStatement {
  return db
    .prepare(
      `INSERT INTO listener_state (name, last_run_at, last_ok_at, consecutive_errors, last_error, note)
       VALUES (?1, ?2, CASE WHEN ?3 IS NULL THEN ?2 END, ?3 IS NOT NULL, ?3, ?4)
       ON CONFLICT (name) DO UPDATE SET last_run_at = ?2, last_ok_at = CASE WHEN ?3 IS NULL THEN ?2 ELSE last_ok_at END,
         consecutive_errors = ?3 IS NOT NULL, last_error = ?3, note = ?4
       WHERE last_run_at <= ?2 AND (last_error IS NOT ?3 OR note IS NOT ?4)`,
    )
    .bind(name, at, short(error), short(note));
}

/**
 * Takes a run: true for exactly one caller per `before` (the `last_run_at` it saw, or null for none). It leaves last_ok_at and
 * the errors as they were, so a run that dies shows as late.
 */
export async function claimRun(db: D1Database, name: string, at: number, before: number | null): Promise<boolean> {
  const done = await db
    .prepare(
      `INSERT INTO listener_state (name, last_run_at, last_ok_at, consecutive_errors, last_error, note)
       VALUES (?1, ?2, NULL, 0, NULL, NULL)
       ON CONFLICT (name) DO UPDATE SET last_run_at = ?2 WHERE last_run_at = ?3`,
    )
    .bind(name, at, before ?? -1)
    .run();
  return done.meta.changes > 0;
}

/**
 * Every listener's state by name. The tick and the looks have their row in `cycle` already, so `heartbeat` and
 * `heartbeat_probes` are read from there and cost no row of their own.
 */
export async function readListenerStates(db: D1Database): Promise<Map<string, ListenerState>> {
  const [rows, cycle] = await Promise.all([
    all<ListenerState & { name: string }>(
      db.prepare("SELECT name, last_run_at, last_ok_at, consecutive_errors, last_error, note FROM listener_state"),
    ),
    db
      .prepare("SELECT tick_at, finished_at, due FROM cycle WHERE id = 1 AND tick_at > 0")
      .first<{ tick_at: number; finished_at: number; due: number }>(),
  ]);
  const out = new Map<string, ListenerState>();
  for (const { name, ...state } of rows) out.set(name, state);
  if (cycle) {
    const base = { consecutive_errors: 0, last_error: null };
    out.set("heartbeat", { ...base, last_run_at: cycle.tick_at, last_ok_at: cycle.tick_at, note: null });
    const last_ok_at = cycle.finished_at > 0 ? cycle.finished_at : null;
    out.set("heartbeat_probes", { ...base, last_run_at: cycle.tick_at, last_ok_at, note: `${cycle.due} due` });
  }
  return out;
}

/** How many runs failed since `from`: the failure count of the overall health. */
export async function countFailures(db: D1Database, from: number): Promise<number> {
  const row = await db
    .prepare(
      // The newest rows only: the table keeps everything, and 20 failures are the most that matters.
      `SELECT COUNT(*) AS n FROM (SELECT emitted_at FROM audit WHERE seam = 'listener.failed' ORDER BY id DESC LIMIT 100)
       WHERE emitted_at >= ?`,
    )
    .bind(from)
    .first<{ n: number }>();
  return row?.n ?? 0;
}
