import { iso } from "../kernel/clock";
import { all } from "../kernel/d1";
import type { Seam } from "./seams";

/** One audit row before it is written. `details` must already be redacted by the caller. */
export interface AuditRow {
  /** Reveille time, ms. */
  at: number;
  seam: Seam;
  source?: string | null;
  session_id?: string | null;
  incident_id?: string | null;
  wake_id?: string | null;
  details: Record<string, unknown>;
}

/**
 * The insert of one audit row, to be put into the same batch as the change it proves (write-through, `kora-watch.md` D12).
 */
export function auditStatement(db: D1Database, row: AuditRow): D1PreparedStatement {
  return db
    .prepare(
      "INSERT INTO audit (emitted_at, seam, source, session_id, incident_id, wake_id, details) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(
      row.at,
      row.seam,
      row.source ?? null,
      row.session_id ?? null,
      row.incident_id ?? null,
      row.wake_id ?? null,
      JSON.stringify(row.details),
    );
}

/** `auditStatement`, written only when the statement before it in the same batch changed a row: a lost race leaves no proof. */
export const auditIfChanged = (db: D1Database, row: AuditRow): D1PreparedStatement =>
  auditWhen(db, row, "changes() > 0");

/** `auditStatement`, written only when an SQL condition holds; `values` are its placeholders. */
export function auditWhen(
  db: D1Database,
  row: AuditRow,
  condition: string,
  values: (string | number)[] = [],
): D1PreparedStatement {
  return db
    .prepare(
      `INSERT INTO audit (emitted_at, seam, source, session_id, incident_id, wake_id, details)
       SELECT ?, ?, ?, ?, ?, ?, ? WHERE ${condition}`,
    )
    .bind(
      row.at,
      row.seam,
      row.source ?? null,
      row.session_id ?? null,
      row.incident_id ?? null,
      row.wake_id ?? null,
      JSON.stringify(row.details),
      ...values,
    );
}

/** An audit row as the API shows it. */
export interface AuditView {
  id: number;
  emitted_at: string;
  seam: string;
  source: string | null;
  session_id: string | null;
  incident_id: string | null;
  wake_id: string | null;
  details: Record<string, unknown>;
}

export interface AuditQuery {
  seam?: string | undefined;
  session_id?: string | undefined;
  incident_id?: string | undefined;
  wake_id?: string | undefined;
  /** Rows with a smaller id than this (paging, newest first). */
  before?: number | undefined;
  limit: number;
}

/** Audit rows, newest first. */
export async function readAudit(db: D1Database, query: AuditQuery): Promise<AuditView[]> {
  const where: string[] = [];
  const values: unknown[] = [];
  for (const key of ["seam", "session_id", "incident_id", "wake_id"] as const)
    if (query[key] !== undefined) {
      where.push(`${key} = ?`);
      values.push(query[key]);
    }
  if (query.before !== undefined) {
    where.push("id < ?");
    values.push(query.before);
  }
  const rows = await all<Omit<AuditView, "emitted_at" | "details"> & { emitted_at: number; details: string }>(
    db
      .prepare(`SELECT * FROM audit ${where.length ? `WHERE ${where.join(" AND ")}` : ""} ORDER BY id DESC LIMIT ?`)
      .bind(...values, query.limit),
  );
  return rows.map((r) => ({ ...r, emitted_at: iso(r.emitted_at), details: JSON.parse(r.details) }));
}
