import type { FixWords } from "../notify";
import type { FixVerb } from "./autofix";
import type { FixRow } from "./autofix.store";

/** What notices and pages say about a fix, from its row. */

export const verbOf = (row: Pick<FixRow, "request">): FixVerb =>
  (JSON.parse(row.request) as { url: string }).url.endsWith("/start") ? "start" : "restart";

/** Notices of the target are muted until then, Reveille ms. */
export async function mutedUntil(db: D1Database, targetId: string): Promise<number | null> {
  const row = await db
    .prepare("SELECT muted_until FROM target WHERE id = ?")
    .bind(targetId)
    .first<{ muted_until: number | null }>();
  return row?.muted_until ?? null;
}

export async function wordsOf(db: D1Database, row: FixRow): Promise<FixWords> {
  const incident = await db
    .prepare("SELECT severity FROM incident WHERE id = ?")
    .bind(row.incident_id)
    .first<{ severity: FixWords["severity"] }>();
  return {
    incident_id: row.incident_id,
    target_id: row.target_id,
    severity: incident?.severity ?? "warning",
    verb: verbOf(row),
    app: row.app,
    machine: row.machine,
    by: row.by,
    url: (JSON.parse(row.request) as { url: string }).url,
    reason: row.reason,
    expires_at: row.expires_at,
  };
}
