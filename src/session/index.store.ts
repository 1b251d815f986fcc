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

/**
 * Writes or (without a status) deletes a session's row; an older report never replaces a newer one. Ids are the clients' choice
 * and have two homes, here and at the relay: a row is only its own owner's to change, or its own home's.
 */
export async function writeIndex(db: D1Database, row: IndexRow, agent: string): Promise<void> {
  if (row.status === null) {
    await db
      .prepare("DELETE FROM session_index WHERE id = ? AND (owner IS ? OR agent = ?)")
      .bind(row.id, row.owner, agent)
      .run();
    return;
  }
  await db
    .prepare(
      `INSERT INTO session_index (id, owner, agent, status, updated) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, agent = excluded.agent, status = excluded.status,
         updated = excluded.updated
         WHERE excluded.updated >= session_index.updated
           AND (session_index.owner IS excluded.owner OR session_index.agent = excluded.agent)`,
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

/** A page of sessions, newest first; `after` is the cursor of the page before: its last row's `updated.id`. */
export async function listSessions(
  db: D1Database,
  page: { limit: number; after?: string | undefined; status?: string | undefined; owner?: string | undefined },
): Promise<{ items: SessionIndexRow[]; next: string | null }> {
  const at = /^(\d{1,15})\.(.{1,200})$/.exec(page.after ?? "");
  const rows = await all<SessionIndexRow>(
    db
      .prepare(
        `SELECT * FROM session_index WHERE (?1 IS NULL OR (updated, id) < (?1, ?2)) AND (?3 IS NULL OR status = ?3)
           AND (?4 IS NULL OR owner = ?4) ORDER BY updated DESC, id DESC LIMIT ?5`,
      )
      .bind(at ? Number(at[1]) : null, at?.[2] ?? null, page.status ?? null, page.owner ?? null, page.limit + 1),
  );
  const items = rows.slice(0, page.limit);
  const last = items.at(-1);
  return { items, next: rows.length > page.limit && last ? `${last.updated}.${last.id}` : null };
}

/** How many sessions there are by status. */
export async function countSessions(db: D1Database): Promise<Record<string, number>> {
  const rows = await all<{ status: string; n: number }>(
    db.prepare("SELECT status, COUNT(*) AS n FROM session_index GROUP BY status"),
  );
  return Object.fromEntries(rows.map((r) => [r.status, r.n]));
}

export const readIndex = (db: D1Database, id: string): Promise<SessionIndexRow | null> =>
  db.prepare("SELECT * FROM session_index WHERE id = ?").bind(id).first<SessionIndexRow>();
