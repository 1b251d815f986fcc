import { MINUTE } from "../kernel/clock";
import type { Snapshot } from "./types";

/** Cron is called silent when no cycle has finished for this long (`kora-watch.md` §9, dead man). */
export const SILENT_AFTER = 3 * MINUTE;

export interface CycleRow {
  tick_at: number;
  lease_until: number;
  finished_at: number;
  due: number;
  shards: number;
  ms: number;
  rows_written: number;
}

export const readCycle = (db: D1Database): Promise<CycleRow | null> =>
  db.prepare("SELECT * FROM cycle WHERE id = 1").first<CycleRow>();

/** Is the cron silent? A cycle that finished in the future is no sign of life: the clock was set back since. */
export function verdictOfCycle(finishedAt: number, now: number): { silent: boolean; minutes: number } {
  const minutes = Math.trunc((now - finishedAt) / MINUTE);
  return { silent: finishedAt > 0 && Math.abs(now - finishedAt) > SILENT_AFTER, minutes: finishedAt > 0 ? minutes : 0 };
}

/** The alarm's half of the dead man: was there a cycle lately? Never run at all is not a fault yet. */
export async function watcherSnapshot(db: D1Database, now: number): Promise<Snapshot> {
  const cycle = await readCycle(db);
  const { silent, minutes } = verdictOfCycle(cycle?.finished_at ?? 0, now);
  return {
    at: now,
    status: silent ? "unhealthy" : "healthy",
    reason: silent ? "service_unhealthy" : "ok",
    signal: "cron_silent",
    latency_ms: null,
    details: { last_cycle_at: cycle ? cycle.finished_at : null, severity: "critical" },
    error: !silent
      ? null
      : minutes < 0
        ? `No watch cycle has finished since the clock was set back by ${-minutes} min.`
        : `No watch cycle has finished for ${minutes} min: the Cron Trigger is not firing.`,
  };
}

/**
 * The alarm says that it is alive; the cron reads this row (`dead_man` in listener_state). Returns when it was heard before,
 * or null.
 */
export async function noteWatcher(db: D1Database, now: number): Promise<number | null> {
  const [before] = await db.batch<{ last_ok_at: number | null }>([
    db.prepare("SELECT last_ok_at FROM listener_state WHERE name = 'dead_man'"),
    db
      .prepare(
        `INSERT INTO listener_state (name, last_run_at, last_ok_at) VALUES ('dead_man', ?1, ?1)
         ON CONFLICT (name) DO UPDATE SET last_run_at = ?1, last_ok_at = ?1, consecutive_errors = 0, last_error = NULL`,
      )
      .bind(now),
  ]);
  return before?.results[0]?.last_ok_at ?? null;
}
