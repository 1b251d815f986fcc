import { HOUR, iso, MINUTE } from "../kernel/clock";
import { all } from "../kernel/d1";
import { notFound, ReveilleError } from "../kernel/errors";
import { newId } from "../kernel/ids";
import { MAX_WINDOW, type MaintenanceWindow, type NewWindow, nextOccurrences, occurrenceAt } from "./maintenance";

/** The most windows that may be ahead or recur at once: each cycle reads all of them. */
export const MAX_LIVE = 200;
/** What "Extend" adds. */
export const EXTEND_BY = 30 * MINUTE;

type Row = Omit<MaintenanceWindow, "targets"> & { targets: string };
const toWindow = (r: Row): MaintenanceWindow => ({ ...r, targets: JSON.parse(r.targets) as string[] });

/** Not ended, and recurring or not over yet. */
const LIVE = "(ended_at IS NULL OR ended_at > ?1) AND (cron IS NOT NULL OR ends_at > ?1)";

/** Every window that may be active at or after `now`: what a cycle asks with `activeAt`. */
export async function readLiveWindows(db: D1Database, now: number): Promise<MaintenanceWindow[]> {
  const rows = await all<Row>(
    db.prepare(`SELECT * FROM maintenance WHERE ${LIVE} ORDER BY created_at, id LIMIT ?2`).bind(now, MAX_LIVE),
  );
  return rows.map(toWindow);
}

/** Windows, newest first: live ones and those that are over. */
export async function listWindows(db: D1Database, limit = 200): Promise<MaintenanceWindow[]> {
  const rows = await all<Row>(db.prepare("SELECT * FROM maintenance ORDER BY id DESC LIMIT ?").bind(limit));
  return rows.map(toWindow);
}

export async function readWindow(db: D1Database, id: string): Promise<MaintenanceWindow | null> {
  const row = await db.prepare("SELECT * FROM maintenance WHERE id = ?").bind(id).first<Row>();
  return row ? toWindow(row) : null;
}

/**
 * Keeps a new window; `now` is Reveille time. @throws ReveilleError 400 `window_over` when it has no occurrence left, 409
 * `too_many_windows` above `MAX_LIVE` live ones.
 */
export async function createWindow(
  db: D1Database,
  input: NewWindow,
  by: string,
  now: number,
): Promise<MaintenanceWindow> {
  if (nextOccurrences(input, now, 1).length === 0)
    throw new ReveilleError({
      status: 400,
      code: "window_over",
      message: `This window was over ${iso(input.ends_at) ?? "before it began"}.`,
      field: "ends_at",
      hint: "Give a window that is still ahead or under way.",
    });
  const made: MaintenanceWindow = { ...input, id: newId(now), created_by: by, created_at: now, ended_at: null };
  // The limit is part of the insert, so that two requests at once can't both pass it.
  const done = await db
    .prepare(
      `INSERT INTO maintenance (id, targets, starts_at, ends_at, cron, duration_s, zone, reason, created_by, created_at)
       SELECT ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?1 WHERE (SELECT COUNT(*) FROM maintenance WHERE ${LIVE}) < ?11`,
    )
    .bind(
      now,
      made.id,
      JSON.stringify(made.targets),
      made.starts_at,
      made.ends_at,
      made.cron,
      made.duration_s,
      made.zone,
      made.reason,
      by,
      MAX_LIVE,
    )
    .run();
  if (done.meta.changes === 0)
    throw new ReveilleError({
      status: 409,
      code: "too_many_windows",
      message: `There are ${MAX_LIVE} live maintenance windows already.`,
      hint: "End one that is not needed any more.",
    });
  return made;
}

const ended = (id: string, w: MaintenanceWindow): ReveilleError =>
  new ReveilleError({
    status: 409,
    code: "window_over",
    message: `Maintenance ${id} is over since ${iso(w.ended_at ?? w.ends_at) ?? "before"}.`,
  });

async function mustRead(db: D1Database, id: string): Promise<MaintenanceWindow> {
  const found = await readWindow(db, id);
  if (!found) throw notFound("maintenance window", id);
  return found;
}

/** Ends a window now; a recurring one never comes again. Ending it twice changes nothing. @throws ReveilleError 404. */
export async function endWindow(db: D1Database, id: string, now: number): Promise<MaintenanceWindow> {
  const w = await mustRead(db, id);
  if (w.ended_at !== null || (w.cron === null && w.ends_at !== null && w.ends_at <= now)) return w;
  await db.prepare("UPDATE maintenance SET ended_at = ? WHERE id = ? AND ended_at IS NULL").bind(now, id).run();
  return mustRead(db, id);
}

/** Takes an end back (Undo). @throws ReveilleError 404. */
export async function reopenWindow(db: D1Database, id: string): Promise<MaintenanceWindow> {
  await db.prepare("UPDATE maintenance SET ended_at = NULL WHERE id = ?").bind(id).run();
  return mustRead(db, id);
}

/**
 * Extends a window by `by` ms. A recurring window keeps its rule: what is added is one window of its own, right after the
 * occurrence under way. Returns the window that now covers the added time.
 * @throws ReveilleError 404; 409 `window_over`, `not_under_way` (a recurring one outside its occurrence) or `too_long`.
 */
export async function extendWindow(
  db: D1Database,
  id: string,
  who: string,
  now: number,
  by = EXTEND_BY,
): Promise<MaintenanceWindow> {
  const w = await mustRead(db, id);
  if (w.ended_at !== null && w.ended_at <= now) throw ended(id, w);
  if (w.cron !== null) {
    const current = occurrenceAt(w, now);
    if (!current)
      throw new ReveilleError({
        status: 409,
        code: "not_under_way",
        message: `Maintenance ${id} recurs and is not under way, so there is nothing to extend.`,
        hint: "Create a window for the time you need.",
      });
    const more: NewWindow = {
      targets: w.targets,
      starts_at: current.ends_at,
      ends_at: current.ends_at + by,
      cron: null,
      duration_s: null,
      zone: w.zone,
      reason: w.reason,
    };
    return createWindow(db, more, who, now);
  }
  if (w.ends_at === null || w.ends_at <= now) throw ended(id, w);
  if (w.ends_at + by - (w.starts_at ?? w.ends_at) > MAX_WINDOW)
    throw new ReveilleError({
      status: 409,
      code: "too_long",
      message: `A window lasts ${MAX_WINDOW / (24 * HOUR)} days at most.`,
      hint: "Pause the target instead.",
    });
  // Compare-and-set on the end, so that a form sent twice extends once per press it was shown for.
  await db
    .prepare("UPDATE maintenance SET ends_at = ? WHERE id = ? AND ends_at = ? AND ended_at IS NULL")
    .bind(w.ends_at + by, id, w.ends_at)
    .run();
  return mustRead(db, id);
}
