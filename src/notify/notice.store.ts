import * as z from "zod";
import { type AuditRow, auditStatement } from "../audit";
import { all, commit } from "../kernel/d1";
import type { IncidentFacts } from "./facts";
import type { ChannelName, Notice } from "./types";

/** SQL of `notice`, `notice_attempt` and `notice_thread`. Nothing else writes them. */

export interface Attempt {
  id: number;
  channel: ChannelName;
  n: number;
  state: "sending" | "sent" | "failed" | "unknown" | "suppressed";
  started_at: number;
  finished_at: number | null;
  external_ref: string | null;
  error: string | null;
}

export type DmStatus = "sent" | "failed_send" | "suppressed";

export interface StoredNotice {
  id: string;
  dm_status: DmStatus | null;
}

export async function findNotice(db: D1Database, id: string, wakeId: string | null): Promise<StoredNotice | null> {
  return db
    .prepare("SELECT id, dm_status FROM notice WHERE id = ?1 OR (?2 IS NOT NULL AND wake_id = ?2) LIMIT 1")
    .bind(id, wakeId)
    .first<StoredNotice>();
}

/** The notice, its inbox delivery and the proof of it, together. @throws on a notice that is there already. */
export async function insertNotice(
  db: D1Database,
  n: Notice,
  of: { key: string | null; wake_id: string | null },
  now: number,
  audit: AuditRow,
): Promise<void> {
  await commit(db, [
    db
      .prepare(
        `INSERT INTO notice (id, wake_id, incident_id, target_id, event, severity, title, body, rehearsal, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .bind(n.id, of.key, n.incident_id, n.target_id, n.event, n.severity, n.title, n.body, n.rehearsal ? 1 : 0, now),
    db
      .prepare(
        `INSERT INTO notice_attempt (notice_id, incident_id, wake_id, channel, n, state, started_at, finished_at)
         VALUES (?1, ?2, ?3, 'inbox', 1, 'sent', ?4, ?4)`,
      )
      .bind(n.id, n.incident_id, of.wake_id, now),
    auditStatement(db, audit),
  ]);
}

/** Tries of a notice on push channels, oldest first. */
export const readAttempts = (db: D1Database, noticeId: string): Promise<Attempt[]> =>
  all<Attempt>(
    db
      .prepare(
        `SELECT id, channel, n, state, started_at, finished_at, external_ref, error FROM notice_attempt
         WHERE notice_id = ? AND channel <> 'inbox' ORDER BY id`,
      )
      .bind(noticeId),
  );

/**
 * Claims the next try. Null when somebody else holds or has finished the sending of this notice: the row is the lock, and it
 * is there before the call leaves.
 */
export async function claimAttempt(
  db: D1Database,
  n: Notice,
  wakeId: string | null,
  channel: ChannelName,
  attempt: number,
  now: number,
): Promise<number | null> {
  const row = await db
    .prepare(
      `INSERT INTO notice_attempt (notice_id, incident_id, wake_id, channel, n, state, started_at)
       SELECT ?1, ?2, ?3, ?4, ?5, 'sending', ?6
       WHERE NOT EXISTS (
         SELECT 1 FROM notice_attempt WHERE notice_id = ?1 AND channel <> 'inbox' AND state IN ('sending', 'sent'))
       ON CONFLICT DO NOTHING RETURNING id`,
    )
    .bind(n.id, n.incident_id, wakeId, channel, attempt, now)
    .first<{ id: number }>();
  return row?.id ?? null;
}

export interface Finished {
  id: number;
  state: "sent" | "failed" | "unknown";
  at: number;
  ref: string | null;
  error: string | null;
}

/** The end of a try, its audit row and, for the first message of an incident in a channel, where its thread is. */
export async function finishAttempt(
  db: D1Database,
  f: Finished,
  audit: AuditRow,
  thread: { incident_id: string; channel: ChannelName; root: Notice } | null,
): Promise<void> {
  await commit(db, [
    db
      .prepare("UPDATE notice_attempt SET state = ?, finished_at = ?, external_ref = ?, error = ? WHERE id = ?")
      .bind(f.state, f.at, f.ref, f.error, f.id),
    auditStatement(db, audit),
    ...(thread && f.ref !== null
      ? [
          db
            .prepare(
              "INSERT INTO notice_thread (incident_id, channel, ref, root) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )
            .bind(
              thread.incident_id,
              thread.channel,
              f.ref,
              JSON.stringify({ first: thread.root, shown: thread.root }),
            ),
        ]
      : []),
  ]);
}

/** Says for the inbox page why nothing was pushed. Once per notice and channel. */
export async function insertSuppressed(
  db: D1Database,
  n: Notice,
  wakeId: string | null,
  channel: ChannelName,
  reason: string,
  now: number,
): Promise<void> {
  await db
    .prepare(
      `INSERT INTO notice_attempt (notice_id, incident_id, wake_id, channel, n, state, started_at, finished_at, error)
       VALUES (?1, ?2, ?3, ?4, 1, 'suppressed', ?5, ?5, ?6) ON CONFLICT DO NOTHING`,
    )
    .bind(n.id, n.incident_id, wakeId, channel, now, reason)
    .run();
}

export async function settleNotice(db: D1Database, id: string, status: DmStatus): Promise<void> {
  await db.prepare("UPDATE notice SET dm_status = ? WHERE id = ?").bind(status, id).run();
}

const noticeSchema = z.object({
  id: z.string(),
  event: z.enum([
    "opened",
    "raised",
    "recovered",
    "flapping",
    "settled",
    "reminder",
    "acked",
    "snoozed",
    "blind",
    "summary",
    "digest",
    "test",
    "explained",
    "approval",
    "fix",
  ]),
  severity: z.enum(["critical", "warning", "info"]),
  title: z.string(),
  body: z.string(),
  quote: z.string(),
  incident_id: z.string().nullable(),
  target_id: z.string().nullable(),
  url: z.string(),
  rehearsal: z.boolean(),
  actions: z.array(z.object({ label: z.string(), id: z.string() })),
  at: z.number(),
});
const rootSchema = z.object({ first: noticeSchema, shown: noticeSchema });

/** A thread: its reference, the notice it began with, and the one its root shows now (null when the row can't be read). */
export interface Thread {
  channel: ChannelName;
  ref: string;
  root: { first: Notice; shown: Notice } | null;
}

export async function readThreads(db: D1Database, incidentId: string): Promise<Thread[]> {
  const rows = await all<{ channel: ChannelName; ref: string; root: string }>(
    db.prepare("SELECT channel, ref, root FROM notice_thread WHERE incident_id = ?").bind(incidentId),
  );
  return rows.map((row) => {
    let value: unknown = null;
    try {
      value = JSON.parse(row.root);
    } catch {
      // A row from elsewhere still names its thread; only its root is not edited.
    }
    const parsed = rootSchema.safeParse(value);
    return { channel: row.channel, ref: row.ref, root: parsed.success ? parsed.data : null };
  });
}

export async function saveRoot(
  db: D1Database,
  incidentId: string,
  channel: ChannelName,
  root: { first: Notice; shown: Notice },
): Promise<void> {
  await db
    .prepare("UPDATE notice_thread SET root = ? WHERE incident_id = ? AND channel = ?")
    .bind(JSON.stringify(root), incidentId, channel)
    .run();
}

const FACTS = `id, target_id, target_name, kind, category, severity, title, detail, rehearsal, first_bad_at, opened_at,
  confirmed_by, acked_at, acked_by, snooze_until, resolved_at, resolution, flapping, cost_usd, first_snapshot, last_snapshot,
  (SELECT json_object('url', json_extract(a.request, '$.url'), 'by', a.by) FROM autofix a
   WHERE a.incident_id = incident.id AND a.outcome = 'recovered' LIMIT 1) AS fix`;

type FactsRow = Omit<IncidentFacts, "rehearsal" | "flapping"> & { rehearsal: number; flapping: number };

/** What notices may say about these incidents (at most 100), oldest first; unknown ids are left out. */
export async function readFacts(db: D1Database, ids: readonly string[]): Promise<IncidentFacts[]> {
  if (ids.length === 0) return [];
  const some = ids.slice(0, 100);
  const rows = await all<FactsRow>(
    db
      .prepare(`SELECT ${FACTS} FROM incident WHERE id IN (${some.map(() => "?").join(", ")}) ORDER BY id`)
      .bind(...some),
  );
  return rows.map((row) => ({ ...row, rehearsal: row.rehearsal === 1, flapping: row.flapping === 1 }));
}
