import { all } from "../kernel/d1";
import type { IndexRow } from "./home.types";

/** A row of `session_index`. */
export interface SessionIndexRow {
  id: string;
  owner: string | null;
  agent: string;
  status: string;
  /** Reveille ms. */
  updated: number;
}

/** Writes or (without a status) deletes a session's row; an older report never replaces a newer one. */
export async function writeIndex(db: D1Database, row: IndexRow, agent: string): Promise<void> {
  if (row.status === null) {
    await db.prepare("DELETE FROM session_index WHERE id = ?").bind(row.id).run();
    return;
  }
  await db
    .prepare(
      `INSERT INTO session_index (id, owner, agent, status, updated) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, agent = excluded.agent, status = excluded.status,
         updated = excluded.updated WHERE excluded.updated >= session_index.updated`,
    )
    .bind(row.id, row.owner, agent, row.status, row.updated)
    .run();
}

/** Sessions of one owner, newest first. */
export const sessionsOf = (db: D1Database, owner: string, limit: number): Promise<SessionIndexRow[]> =>
  all(db.prepare("SELECT * FROM session_index WHERE owner = ? ORDER BY updated DESC LIMIT ?").bind(owner, limit));

/** All sessions, newest first. */
export const allSessions = (db: D1Database, limit: number): Promise<SessionIndexRow[]> =>
  all(db.prepare("SELECT * FROM session_index ORDER BY updated DESC LIMIT ?").bind(limit));

/** How many sessions there are by status. */
export async function countSessions(db: D1Database): Promise<Record<string, number>> {
  const rows = await all<{ status: string; n: number }>(
    db.prepare("SELECT status, COUNT(*) AS n FROM session_index GROUP BY status"),
  );
  return Object.fromEntries(rows.map((r) => [r.status, r.n]));
}

export const readIndex = (db: D1Database, id: string): Promise<SessionIndexRow | null> =>
  db.prepare("SELECT * FROM session_index WHERE id = ?").bind(id).first<SessionIndexRow>();
