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

/** No AUTOINCREMENT: its counter is a second row for every event. What it is good for, `clearLog` does once. */
export const LOG_SCHEMA = `CREATE TABLE IF NOT EXISTS log (
  seq INTEGER PRIMARY KEY, run TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL)`;

/** Frames kept of a session. Beyond that the oldest go, and a cursor before them gets a gap signal. */
export const MAX_LOG = 2_000;
/** Dropped at once, so that a long run does not delete with every event. */
const SLACK = 200;

/** Appends frames and returns them with their numbers. Each must have an `id`. */
export const appendLog = (sql: SqlStorage, run: string, frames: ({ id: string } & object)[]): LoggedFrame[] =>
  appendTexts(
    sql,
    run,
    frames.map((frame) => ({ id: frame.id, text: JSON.stringify(frame) })),
  );

/** The same for frames that must stay as they came. */
export function appendTexts(sql: SqlStorage, run: string, frames: { id: string; text: string }[]): LoggedFrame[] {
  const out = frames.map(({ id, text }) => {
    const { seq } = sql
      .exec<{ seq: number }>("INSERT INTO log (run, id, text) VALUES (?, ?, ?) RETURNING seq", run, id, text)
      .one();
    return { seq: seq === 1 ? aboveFloor(sql) : seq, run, text };
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

/** The newest frames, oldest of them first. */
export const logTail = (sql: SqlStorage, limit: number): LoggedFrame[] =>
  (
    sql.exec("SELECT seq, run, text FROM log ORDER BY seq DESC LIMIT ?", limit).toArray() as unknown as LoggedFrame[]
  ).reverse();

/** The first and the last number kept, and the last ever given; zeros when nothing was ever written. */
export function logEnds(sql: SqlStorage): { first: number; last: number } {
  // Each by itself is one step in the key; both in one SELECT would read the whole log.
  const { first, last } = sql
    .exec<{ first: number | null; last: number | null }>(
      "SELECT (SELECT MIN(seq) FROM log) AS first, (SELECT MAX(seq) FROM log) AS last",
    )
    .one();
  return { first: first ?? 0, last: last ?? lastEver(sql) };
}

/** Empties the log. No number is given twice: a cursor from before must not fall among the frames that come after. */
export function clearLog(sql: SqlStorage): void {
  const { last } = logEnds(sql);
  sql.exec("DELETE FROM log");
  if (last === 0) return;
  sql.exec("CREATE TABLE IF NOT EXISTS log_floor (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL)");
  sql.exec("INSERT OR REPLACE INTO log_floor (id, seq) VALUES (1, ?)", last);
}

/** SQLite counts on from the newest row; the first one of an emptied log goes on where the log was. */
function aboveFloor(sql: SqlStorage): number {
  const seq = lastEver(sql) + 1;
  if (seq > 1) sql.exec("UPDATE log SET seq = ? WHERE seq = 1", seq);
  return seq;
}

/** The last number before the log was emptied. */
function lastEver(sql: SqlStorage): number {
  if (sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'log_floor'").toArray().length === 0) return 0;
  return sql.exec<{ seq: number }>("SELECT seq FROM log_floor").toArray()[0]?.seq ?? 0;
}

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
