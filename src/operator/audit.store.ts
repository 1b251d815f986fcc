import { all } from "../kernel/d1";
import { type AuditChip, sinceOf } from "./audit-query";

export interface AuditLine {
  id: number;
  emitted_at: number;
  seam: string;
  source: string | null;
  session_id: string | null;
  incident_id: string | null;
  wake_id: string | null;
  details: string;
}

const COLUMN = { seam: "seam", incident: "incident_id", session: "session_id", wake: "wake_id" } as const;

/** `by:` and `since:` have no index; without another chip only this many newest rows are looked through. */
const SCAN = 20_000;

/** Audit rows that match every chip, newest first. A plain id matches any of the three joins. */
export async function searchAudit(
  db: D1Database,
  chips: AuditChip[],
  before: number | null,
  limit: number,
  now: number,
): Promise<{ rows: AuditLine[]; next: number | null }> {
  const where = ["id < ?"];
  const values: unknown[] = [before ?? Number.MAX_SAFE_INTEGER];
  let indexed = false;
  for (const { key, value } of chips) {
    if (key === "id") {
      where.push("(incident_id = ? OR wake_id = ? OR session_id = ?)");
      values.push(value, value, value);
      indexed = true;
    } else if (key === "by") {
      where.push("(source = ? OR json_extract(details, '$.by') = ?)");
      values.push(value, value);
    } else if (key === "since") {
      const at = sinceOf(value, now);
      if (at !== null) {
        where.push("emitted_at >= ?");
        values.push(at);
      }
    } else {
      where.push(`${COLUMN[key]} = ?`);
      values.push(value);
      indexed = true;
    }
  }
  const from = indexed || chips.length === 0 ? "audit" : `(SELECT * FROM audit ORDER BY id DESC LIMIT ${SCAN})`;
  const rows = await all<AuditLine>(
    db
      .prepare(`SELECT * FROM ${from} WHERE ${where.join(" AND ")} ORDER BY id DESC LIMIT ?`)
      .bind(...values, limit + 1),
  );
  const page = rows.slice(0, limit);
  return { rows: page, next: rows.length > limit ? (page.at(-1)?.id ?? null) : null };
}
