import { type AuditRow, auditIfChanged, auditStatement } from "../audit";
import { all } from "../kernel/d1";
import { CAP_WINDOW, CAPS, type FixMode, type FixOutcome, type FixState } from "./autofix";

/** SQL of `autofix` and `approval`. Every step is guarded by the state before it, and its proof stands in the same batch. */

export interface FixRow {
  key: string;
  incident_id: string;
  wake_id: string | null;
  target_id: string;
  probe: string;
  action: string;
  app: string;
  machine: string;
  mode: FixMode;
  state: FixState;
  /** JSON of `FixRequest`. */
  request: string;
  before_state: string | null;
  after_state: string | null;
  outcome: FixOutcome | null;
  error: string | null;
  reason: string;
  by: string | null;
  created_at: number;
  expires_at: number | null;
  started_at: number | null;
  finished_at: number | null;
  lease: string | null;
}

/**
 * Rows that hold or used an attempt. A question that was denied or ran out, and a run that sent nothing (`started_at` is
 * taken back then), give theirs back.
 */
const COUNTS = `a.mode <> 'dry_run' AND (a.state IN ('waiting', 'approved', 'running', 'done', 'unknown_outcome')
  OR (a.state = 'failed' AND a.started_at IS NOT NULL))`;
const WHEN = "COALESCE(a.started_at, a.created_at)";
/** A row that may be asked again by a person: nothing of it was sent. */
const REUSABLE = "autofix.state IN ('denied', 'expired') OR (autofix.state = 'failed' AND autofix.started_at IS NULL)";

export interface Attempts {
  incident: number;
  target: number;
  workspace: number;
}

/** Attempts so far, without the row of `key` itself. */
export async function countAttempts(
  db: D1Database,
  q: { key: string; incident_id: string; target_id: string; machine: string; now: number },
): Promise<Attempts> {
  const row = await db
    .prepare(
      `SELECT COUNT(*) FILTER (WHERE a.incident_id = ?2) AS incident,
         COUNT(*) FILTER (WHERE (a.target_id = ?3 OR a.machine = ?4) AND ${WHEN} > ?5) AS target,
         COUNT(*) FILTER (WHERE ${WHEN} > ?5) AS workspace
       FROM autofix a WHERE a.key <> ?1 AND ${COUNTS}`,
    )
    .bind(q.key, q.incident_id, q.target_id, q.machine, q.now - CAP_WINDOW)
    .first<Attempts>();
  return row ?? { incident: 0, target: 0, workspace: 0 };
}

export type NewFix = Pick<
  FixRow,
  | "key"
  | "incident_id"
  | "wake_id"
  | "target_id"
  | "probe"
  | "app"
  | "machine"
  | "mode"
  | "request"
  | "before_state"
  | "reason"
  | "by"
  | "action"
> & { state: "planned" | "waiting" | "approved"; now: number; expires_at: number | null };

const COLUMNS = `key, incident_id, wake_id, target_id, probe, action, app, machine, mode, state, request, before_state, reason, by,
  created_at, expires_at`;

const values = (f: NewFix): unknown[] => [
  f.key,
  f.incident_id,
  f.wake_id,
  f.target_id,
  f.probe,
  f.action,
  f.app,
  f.machine,
  f.mode,
  f.state,
  f.request,
  f.before_state,
  f.reason,
  f.by,
  f.now,
  f.expires_at,
];

/** Keeps a dry run; the same one again is the row that is there. Each call has its proof. */
export async function insertDryRun(db: D1Database, f: NewFix, proof: AuditRow): Promise<boolean> {
  const marks = values(f).map(() => "?");
  const [made] = await db.batch([
    db
      .prepare(`INSERT INTO autofix (${COLUMNS}) VALUES (${marks.join(", ")}) ON CONFLICT (key) DO NOTHING`)
      .bind(...values(f)),
    auditStatement(db, proof),
  ]);
  return (made?.meta.changes ?? 0) > 0;
}

/**
 * Takes the one place of an attempt: the key is unique and the caps are counted in the same statement, so of any number of
 * calls at once at most one row is made. False: somebody else has it. `again`: a person may ask once more after a question
 * that was denied or ran out.
 */
export async function insertAttempt(
  db: D1Database,
  f: NewFix,
  again: boolean,
  approvalId: string | null,
  proof: AuditRow,
): Promise<boolean> {
  const marks = values(f).map((_, i) => `?${i + 1}`);
  const others = `FROM autofix a WHERE a.key <> ?1 AND ${COUNTS}`;
  const recent = `AND ${WHEN} > ?17`;
  const statements = [
    db
      .prepare(
        `INSERT INTO autofix (${COLUMNS}) SELECT ${marks.join(", ")}
         WHERE (SELECT COUNT(*) ${others} AND a.incident_id = ?2) < ${CAPS.incident}
           AND (SELECT COUNT(*) ${others} AND (a.target_id = ?4 OR a.machine = ?8) ${recent}) < ${CAPS.target}
           AND (SELECT COUNT(*) ${others} ${recent}) < ${CAPS.workspace}
         ON CONFLICT (key) DO UPDATE SET state = excluded.state, mode = excluded.mode, wake_id = excluded.wake_id,
           app = excluded.app, request = excluded.request, before_state = excluded.before_state, after_state = NULL, outcome = NULL,
           error = NULL, reason = excluded.reason, by = excluded.by, created_at = excluded.created_at,
           expires_at = excluded.expires_at, started_at = NULL, finished_at = NULL, lease = NULL
         WHERE ?18 = 1 AND (${REUSABLE}) RETURNING key`,
      )
      .bind(...values(f), f.now - CAP_WINDOW, again ? 1 : 0),
    auditIfChanged(db, proof),
  ];
  if (approvalId !== null)
    statements.push(
      db
        .prepare(
          `INSERT INTO approval (id, autofix_key, incident_id, created_at, expires_at) SELECT ?1, ?2, ?3, ?4, ?5 WHERE changes() > 0`,
        )
        .bind(approvalId, f.key, f.incident_id, f.now, f.expires_at),
    );
  const [made] = await db.batch(statements);
  return (made?.results.length ?? 0) > 0;
}

export const readFix = (db: D1Database, key: string): Promise<FixRow | null> =>
  db.prepare("SELECT * FROM autofix WHERE key = ?").bind(key).first<FixRow>();

/** Fixes, newest first. `before`: rows made before this, Reveille ms. */
export function readFixes(
  db: D1Database,
  q: { incident_id?: string; before?: number; limit: number },
): Promise<FixRow[]> {
  const where: string[] = [];
  const bound: unknown[] = [];
  if (q.incident_id !== undefined) {
    where.push("incident_id = ?");
    bound.push(q.incident_id);
  }
  if (q.before !== undefined) {
    where.push("created_at < ?");
    bound.push(q.before);
  }
  const sql = `SELECT * FROM autofix ${where.length ? `WHERE ${where.join(" AND ")}` : ""} ORDER BY created_at DESC, key LIMIT ?`;
  return all<FixRow>(db.prepare(sql).bind(...bound, q.limit));
}

/** Runs `sql` (an UPDATE guarded by state) with its proofs; true when it changed the row. */
async function move(db: D1Database, update: D1PreparedStatement, proofs: AuditRow[]): Promise<boolean> {
  const [done] = await db.batch([update, ...proofs.map((row) => auditIfChanged(db, row))]);
  return (done?.meta.changes ?? 0) > 0;
}

/** A question nobody answered, or an answer whose run did not begin in time. */
export const expireFix = (db: D1Database, key: string, now: number, proof: AuditRow): Promise<boolean> =>
  move(
    db,
    db
      .prepare(
        "UPDATE autofix SET state = 'expired', finished_at = ?2 WHERE key = ?1 AND state IN ('waiting', 'approved') AND expires_at <= ?2",
      )
      .bind(key, now),
    [proof],
  );

/** A gate refused at the last moment: nothing was sent, the attempt is given back. */
export const refuseFix = (db: D1Database, key: string, error: string, now: number, proof: AuditRow): Promise<boolean> =>
  move(
    db,
    db
      .prepare(
        "UPDATE autofix SET state = 'failed', error = ?2, finished_at = ?3 WHERE key = ?1 AND state = 'approved'",
      )
      .bind(key, error, now),
    [proof],
  );

/** The one who gets the row may call the vendor; anybody else gets null. */
export const claimFix = (db: D1Database, key: string, now: number): Promise<FixRow | null> =>
  db
    .prepare("UPDATE autofix SET state = 'running', started_at = ?2 WHERE key = ?1 AND state = 'approved' RETURNING *")
    .bind(key, now)
    .first<FixRow>();

export interface FixEnd {
  state: "done" | "failed";
  /** false: no write left us. */
  sent: boolean;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  error: string | null;
  lease: string | null;
  now: number;
}

export const finishFix = (db: D1Database, key: string, end: FixEnd, proof: AuditRow): Promise<boolean> =>
  move(
    db,
    db
      .prepare(
        `UPDATE autofix SET state = ?2, before_state = COALESCE(?3, before_state), after_state = ?4, error = ?5, lease = ?6,
           finished_at = ?7, started_at = CASE WHEN ?8 = 1 THEN started_at END WHERE key = ?1 AND state = 'running'`,
      )
      .bind(
        key,
        end.state,
        end.before && JSON.stringify(end.before),
        end.after && JSON.stringify(end.after),
        end.error,
        end.lease,
        end.now,
        end.sent ? 1 : 0,
      ),
    [proof],
  );

/** The request is about to leave: from here a crash is "unknown", before it is "not sent". */
export async function noteBefore(db: D1Database, key: string, before: Record<string, unknown>): Promise<void> {
  await db
    .prepare("UPDATE autofix SET before_state = ? WHERE key = ? AND state = 'running'")
    .bind(JSON.stringify(before), key)
    .run();
}

/** A run that died: nobody can tell whether its request left. */
export const abandonFix = (
  db: D1Database,
  key: string,
  startedBy: number,
  now: number,
  proof: AuditRow,
): Promise<boolean> =>
  move(
    db,
    db
      .prepare(
        "UPDATE autofix SET state = 'unknown_outcome', finished_at = ?3 WHERE key = ?1 AND state = 'running' AND started_at <= ?2",
      )
      .bind(key, startedBy, now),
    [proof],
  );

export const settleOutcome = (db: D1Database, key: string, outcome: FixOutcome, proof: AuditRow): Promise<boolean> =>
  move(
    db,
    db
      .prepare("UPDATE autofix SET outcome = ?2 WHERE key = ?1 AND state = 'done' AND outcome IS NULL")
      .bind(key, outcome),
    [proof],
  );

/** Ids of a fix's notices: fixed, so that a second run tells nothing twice. */
export const askedId = (f: Pick<FixRow, "key" | "created_at">): string => `${f.key}:asked:${f.created_at}`;
export const toldId = (f: Pick<FixRow, "key" | "created_at">): string => `${f.key}:told:${f.created_at}`;
