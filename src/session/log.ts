/**
 * The event log of a session: every stream event and every end of a run, in order, on the object's SQLite. A frame's cursor is
 * its `seq`; clients of other makes name the last `id` they saw. Events appended in one call are one commit, because the
 * platform commits consecutive statements together (`cloudflare-platform.md` §6).
 */

/** A frame of the log as it is kept. `llm_result` carries its call's id, so ids are not unique. */
export interface LoggedFrame {
  seq: number;
  run: string;
  text: string;
}

export const LOG_SCHEMA = `CREATE TABLE IF NOT EXISTS log (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL)`;

/** Frames kept of a session. Beyond that the oldest go, and a cursor before them gets a gap signal. */
export const MAX_LOG = 2_000;
/** Dropped at once, so that a long run does not delete with every event. */
const SLACK = 200;

/** Appends frames and returns them with their numbers. Each must have an `id`. */
export function appendLog(sql: SqlStorage, run: string, frames: ({ id: string } & object)[]): LoggedFrame[] {
  const out = frames.map((frame) => {
    const text = JSON.stringify(frame);
    const { seq } = sql
      .exec<{ seq: number }>("INSERT INTO log (run, id, text) VALUES (?, ?, ?) RETURNING seq", run, frame.id, text)
      .one();
    return { seq, run, text };
  });
  const last = out.at(-1)?.seq ?? 0;
  if (last > MAX_LOG && Math.floor(last / SLACK) !== Math.floor((last - out.length) / SLACK))
    sql.exec("DELETE FROM log WHERE seq <= ?", last - MAX_LOG);
  return out;
}

/** Frames after `seq`, at most `limit`. */
export const logAfter = (sql: SqlStorage, seq: number, limit = MAX_LOG + SLACK): LoggedFrame[] =>
  sql
    .exec("SELECT seq, run, text FROM log WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
    .toArray() as unknown as LoggedFrame[];

/** The first and the last number kept, and the last ever given; zeros when nothing was ever written. */
export function logEnds(sql: SqlStorage): { first: number; last: number } {
  const { first, last } = sql
    .exec<{ first: number | null; last: number | null }>("SELECT MIN(seq) AS first, MAX(seq) AS last FROM log")
    .one();
  return { first: first ?? 0, last: last ?? lastEver(sql) };
}

/** AUTOINCREMENT never gives a number twice, also after the log was emptied. */
const lastEver = (sql: SqlStorage): number =>
  (sql.exec("SELECT seq FROM sqlite_sequence WHERE name = 'log'").toArray()[0]?.["seq"] as number | undefined) ?? 0;

/** Where a client stands: the number to go on after, and whether frames between it and the oldest kept one are gone. */
export interface Cursor {
  after: number;
  gap: boolean;
  /** The cursor names nothing we know. */
  unknown: boolean;
}

/**
 * Reads `last_msg_id`: a `seq`, or the `id` of an event. An id that two frames share counts as the first of them: a client may
 * see the second again, and never misses it.
 */
export function readCursor(sql: SqlStorage, lastMsgId: string | number | null): Cursor {
  if (lastMsgId === null || lastMsgId === "") return { after: 0, gap: false, unknown: false };
  const { first, last } = logEnds(sql);
  const text = String(lastMsgId);
  if (/^\d{1,15}$/.test(text)) {
    const seq = Number(text);
    if (seq > last) return { after: 0, gap: true, unknown: true };
    return { after: seq, gap: first === 0 ? seq < last : seq < first - 1, unknown: false };
  }
  const found = sql.exec("SELECT seq FROM log WHERE id = ? ORDER BY seq LIMIT 1", text).toArray()[0];
  return found ? { after: found["seq"] as number, gap: false, unknown: false } : { after: 0, gap: true, unknown: true };
}
