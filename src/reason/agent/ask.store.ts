import { type AuditRow, auditStatement } from "../../audit";
import { MINUTE, SECOND } from "../../kernel/clock";
import { all } from "../../kernel/d1";
import type { Answer, AskRow, AskSource } from "./types";

/** A run that holds a question longer than this is dead: the engine has 60 s, twice when it escalates. Wall ms. */
export const ASK_LEASE = 150 * SECOND;
/** Runs that may die over one question before it is answered with a failure. */
export const MAX_ATTEMPTS = 5;
/** A send that may have arrived is repeated once, and says so. */
export const MAX_SENDS = 2;
/** Sends a platform refused in a way that may pass (429, 5xx). */
export const MAX_TRIES = 6;

export interface NewAsk {
  id: string;
  source: AskSource;
  /** The same for every delivery of one question; null when it can't come twice. */
  source_ref: string | null;
  /** Where the answer is sent; null when it is read from its row. */
  thread: string | null;
  by: string;
  question: string;
}

/**
 * Stores a question once: neither its id nor its (source, source_ref) may exist.
 * @returns the id of the stored row and whether this call made it.
 */
export async function insertAsk(db: D1Database, ask: NewAsk, at: number): Promise<{ id: string; made: boolean }> {
  const made = await db
    .prepare(
      `INSERT INTO ask (id, source, source_ref, thread, by, question, state, created_at)
       VALUES (?, ?, ?, ?, ?, ?, 'new', ?) ON CONFLICT DO NOTHING`,
    )
    .bind(ask.id, ask.source, ask.source_ref, ask.thread, ask.by, ask.question, at)
    .run();
  if (made.meta.changes > 0) return { id: ask.id, made: true };
  const found = await db
    .prepare("SELECT id FROM ask WHERE id = ?1 OR (source = ?2 AND source_ref = ?3) LIMIT 1")
    .bind(ask.id, ask.source, ask.source_ref)
    .first<{ id: string }>();
  return { id: found?.id ?? ask.id, made: false };
}

export const readAsk = (db: D1Database, id: string): Promise<AskRow | null> =>
  db.prepare("SELECT * FROM ask WHERE id = ?").bind(id).first<AskRow>();

/** Questions, newest first. */
export const readAsks = (db: D1Database, limit: number, before?: string): Promise<AskRow[]> =>
  all<AskRow>(
    db
      .prepare(
        `SELECT * FROM ask WHERE ?1 IS NULL OR created_at < (SELECT created_at FROM ask WHERE id = ?1)
         ORDER BY created_at DESC, id DESC LIMIT ?2`,
      )
      .bind(before ?? null, limit),
  );

/** Takes a question for this run: true for one caller at a time. `leaseMs` is Reveille ms. */
export async function claimAsk(db: D1Database, id: string, now: number, leaseMs: number): Promise<AskRow | null> {
  return db
    .prepare(
      `UPDATE ask SET state = 'claimed', attempts = attempts + 1, lease_until = ?2
       WHERE id = ?1 AND answered_at IS NULL AND (lease_until IS NULL OR lease_until <= ?3) RETURNING *`,
    )
    .bind(id, now + leaseMs, now)
    .first<AskRow>();
}

/** Gives a question back after its run failed; another run's claim is left alone. */
export const releaseAsk = (db: D1Database, id: string, attempts: number): Promise<unknown> =>
  db
    .prepare("UPDATE ask SET lease_until = NULL WHERE id = ? AND attempts = ? AND answered_at IS NULL")
    .bind(id, attempts)
    .run();

/** Stores the answer with its audit row; false when another run answered first. From here on no model is asked again. */
export async function storeAnswer(
  db: D1Database,
  id: string,
  answer: Answer,
  state: "answered" | "failed",
  now: number,
  audit: AuditRow,
): Promise<boolean> {
  const open = await db.prepare("SELECT 1 AS n FROM ask WHERE id = ? AND answered_at IS NULL").bind(id).first();
  if (!open) return false;
  const [done] = await db.batch([
    db
      .prepare(
        "UPDATE ask SET state = ?2, answer = ?3, answered_at = ?4, lease_until = NULL WHERE id = ?1 AND answered_at IS NULL",
      )
      .bind(id, state, JSON.stringify(answer), now),
    auditStatement(db, audit),
  ]);
  return (done?.meta.changes ?? 0) > 0;
}

/** Takes the sending of an answer. The send is counted before it leaves: what dies after this may have arrived. */
export async function claimSend(db: D1Database, id: string, now: number, leaseMs: number): Promise<AskRow | null> {
  return db
    .prepare(
      `UPDATE ask SET sends = sends + 1, tries = tries + 1, lease_until = ?2
       WHERE id = ?1 AND answered_at IS NOT NULL AND sent_at IS NULL AND thread IS NOT NULL
         AND sends < ?4 AND tries < ?5 AND (lease_until IS NULL OR lease_until <= ?3) RETURNING *`,
    )
    .bind(id, now + leaseMs, now, MAX_SENDS, MAX_TRIES)
    .first<AskRow>();
}

export const markSent = (db: D1Database, id: string, now: number): D1PreparedStatement =>
  db.prepare("UPDATE ask SET sent_at = ?2, lease_until = NULL, send_error = NULL WHERE id = ?1").bind(id, now);

/**
 * A send that failed. `applied` null = it can't have arrived, so it does not count; `final` = no further try helps.
 * `retryAt` is Reveille ms.
 */
export const markSendFailed = (
  db: D1Database,
  id: string,
  f: { error: string; arrived: boolean; final: boolean; retryAt: number },
): D1PreparedStatement =>
  db
    .prepare(
      `UPDATE ask SET send_error = ?2, lease_until = ?3, sends = sends - ?4, tries = CASE WHEN ?5 = 1 THEN ?6 ELSE tries END
       WHERE id = ?1 AND sent_at IS NULL`,
    )
    .bind(id, f.error, f.retryAt, f.arrived ? 0 : 1, f.final ? 1 : 0, MAX_TRIES);

/** An answer that will not be sent again although nobody saw that it arrived. */
export const sendIsOver = (row: Pick<AskRow, "sent_at" | "thread" | "sends" | "tries">): boolean =>
  row.sent_at !== null || row.thread === null || row.sends >= MAX_SENDS || row.tries >= MAX_TRIES;

/** Questions whose message was lost: not answered, or answered and not sent, with nobody at work on them. */
export async function lostAsks(db: D1Database, now: number, limit = 20): Promise<string[]> {
  const rows = await all<{ id: string }>(
    db
      .prepare(
        `SELECT id FROM ask WHERE answered_at IS NULL AND created_at < ?2 AND (lease_until IS NULL OR lease_until <= ?1)
         UNION
         SELECT id FROM ask WHERE sent_at IS NULL AND thread IS NOT NULL AND answered_at < ?2
           AND sends < ?4 AND tries < ?5 AND (lease_until IS NULL OR lease_until <= ?1)
         LIMIT ?3`,
      )
      .bind(now, now - MINUTE, limit, MAX_SENDS, MAX_TRIES),
  );
  return rows.map((r) => r.id);
}
