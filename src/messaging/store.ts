import { decodeTime } from "ulidx";
import { newId } from "../kernel/ids";
import { isoSeconds } from "./rules";
import type { IdemRow, MessageRow, SessionRow } from "./types";

/** Rows of a workspace's object: sessions, messages, idempotency keys, inboxes. Each function is one synchronous step. */

const one = <T>(rows: T[]): T | null => rows[0] ?? null;

export const readSession = (sql: SqlStorage, id: string): SessionRow | null =>
  one(sql.exec<SessionRow>("SELECT * FROM session WHERE id = ?", id).toArray());

/** A message with the topic of its session. */
export const readMessage = (sql: SqlStorage, id: string): MessageRow | null =>
  one(
    sql
      .exec<MessageRow>("SELECT m.*, s.topic FROM message m JOIN session s ON s.id = m.session_id WHERE m.id = ?", id)
      .toArray(),
  );

/** True for the creator of a session, and for whoever sent or got a message in it. */
export function isParticipant(sql: SqlStorage, session: SessionRow, agent: string): boolean {
  if (session.creator_id === agent) return true;
  const rows = sql.exec(
    "SELECT 1 FROM message WHERE session_id = ?1 AND (from_id = ?2 OR to_id = ?2) LIMIT 1",
    session.id,
    agent,
  );
  return rows.toArray().length > 0;
}

export const newestOther = (sql: SqlStorage, session: string, me: string): string | null =>
  one(
    sql
      .exec<{ from_id: string }>(
        "SELECT from_id FROM message WHERE session_id = ? AND from_id <> ? ORDER BY id DESC LIMIT 1",
        session,
        me,
      )
      .toArray(),
  )?.from_id ?? null;

export const readIdem = (sql: SqlStorage, sender: string, key: string): IdemRow | null =>
  one(sql.exec<IdemRow>("SELECT * FROM idem WHERE sender = ? AND key = ?", sender, key).toArray());

export function insertIdem(sql: SqlStorage, row: IdemRow): void {
  sql.exec(
    "INSERT INTO idem (sender, key, content, asked, to_id, to_name, session_id, message_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    row.sender,
    row.key,
    row.content,
    row.asked,
    row.to_id,
    row.to_name,
    row.session_id,
    row.message_id,
  );
}

export interface NewSession {
  topic: string;
  creator_id: string;
  metadata: string | null;
  now: number;
}

export function insertSession(sql: SqlStorage, s: NewSession): string {
  const id = newId(s.now);
  sql.exec(
    "INSERT INTO session (id, topic, creator_id, metadata, created_ms) VALUES (?, ?, ?, ?, ?)",
    id,
    s.topic,
    s.creator_id,
    s.metadata,
    s.now,
  );
  return id;
}

/** Ids of messages rise strictly, whatever the clock does, so that their order is the order of sending. */
function nextId(sql: SqlStorage, now: number): string {
  const last = sql.exec<{ id: string | null }>("SELECT max(id) AS id FROM message").one().id;
  return newId(last === null ? now : Math.max(now, decodeTime(last) + 1));
}

export type NewMessage = Pick<
  MessageRow,
  "session_id" | "kind" | "from_id" | "from_name" | "to_id" | "to_name" | "body" | "metadata" | "parent_id" | "idem_key"
> & {
  now: number;
  /** Wall ms when the recipient is to be woken at once; "ignored" when it has no address; null when nobody is to be woken. */
  wake: number | "ignored" | null;
};

export function insertMessage(sql: SqlStorage, m: NewMessage): string {
  const id = nextId(sql, m.now);
  const queued = typeof m.wake === "number";
  sql.exec(
    `INSERT INTO message (id, session_id, kind, from_id, from_name, to_id, to_name, body, metadata, parent_id, idem_key, created_ms,
       wake, wake_made, wake_next, wake_error)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    id,
    m.session_id,
    m.kind,
    m.from_id,
    m.from_name,
    m.to_id,
    m.to_name,
    m.body,
    m.metadata,
    m.parent_id,
    m.idem_key,
    m.now,
    queued ? "queued" : m.wake,
    queued ? m.wake : null,
    queued ? m.wake : null,
    m.wake === "ignored" ? "no_webhook" : null,
  );
  return id;
}

/** Closes an open session. False when it was closed before. */
export function closeSession(sql: SqlStorage, id: string, reason: string | null, now: number): boolean {
  return (
    sql.exec("UPDATE session SET closed_ms = ?, close_reason = ? WHERE id = ? AND closed_ms IS NULL", now, reason, id)
      .rowsWritten > 0
  );
}

/** What stamps messages delivered: the first time is kept, and whoever read it need not be woken for it any more. */
export function stampDelivered(sql: SqlStorage, ids: readonly string[], now: number): void {
  sql.exec(
    `UPDATE message SET delivered_ms = COALESCE(delivered_ms, ?1), wake_next = NULL, wake_lease = NULL,
       wake = CASE WHEN wake IN ('queued', 'failed') THEN 'delivered' ELSE wake END
     WHERE id IN (SELECT value FROM json_each(?2))`,
    now,
    JSON.stringify(ids),
  );
}

/** Stamps an acknowledgement once. */
export function stampAck(sql: SqlStorage, id: string, status: string, now: number): void {
  sql.exec("UPDATE message SET acked_ms = ?, ack_status = ? WHERE id = ? AND acked_ms IS NULL", now, status, id);
}

type InboxRow = MessageRow & { topic: string; closed_ms: number | null };

/** An agent's messages: new ones, oldest first, then those it had, newest first. */
export function readInbox(
  sql: SqlStorage,
  agent: string,
  status: "delivered" | "undelivered" | undefined,
  limit: number,
): InboxRow[] {
  const read = (where: string, order: string, n: number): InboxRow[] =>
    n <= 0
      ? []
      : sql
          .exec<InboxRow>(
            `SELECT m.*, s.topic, s.closed_ms FROM message m JOIN session s ON s.id = m.session_id
             WHERE m.to_id = ? AND m.delivered_ms ${where} ORDER BY m.id ${order} LIMIT ?`,
            agent,
            n,
          )
          .toArray();
  const fresh = status === "delivered" ? [] : read("IS NULL", "ASC", limit);
  const had = status === "undelivered" ? [] : read("IS NOT NULL", "DESC", limit - fresh.length);
  return [...fresh, ...had];
}

/** Rows older than `before` (Reveille ms) go: nobody answers a message after a season. False when there were none. */
export function forget(sql: SqlStorage, before: number): boolean {
  // The first ten characters of an id are its time.
  if (sql.exec("DELETE FROM message WHERE id < ?", newId(before).slice(0, 10)).rowsWritten === 0) return false;
  sql.exec(
    "DELETE FROM session WHERE created_ms < ? AND NOT EXISTS (SELECT 1 FROM message WHERE session_id = session.id)",
    before,
  );
  sql.exec(
    `DELETE FROM idem WHERE NOT EXISTS (SELECT 1 FROM session WHERE id = idem.session_id)
     OR (message_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM message WHERE id = idem.message_id))`,
  );
  return true;
}

/** How busy a workspace was since a moment, and what waits in it now. */
export interface WorkspaceCounts {
  sessions: number;
  /** Of those, not closed. */
  open: number;
  messages: number;
  /** Messages whose wake failed for good. */
  unwoken: number;
  /** Undelivered messages, of any age, by recipient. */
  unread: Record<string, number>;
}

/** `since` is Reveille ms. */
export function countRows(sql: SqlStorage, since: number): WorkspaceCounts {
  // The first ten characters of an id are its time.
  const first = newId(since).slice(0, 10);
  const sessions = sql
    .exec<{ n: number; open: number }>(
      "SELECT count(*) AS n, count(*) - count(closed_ms) AS open FROM session WHERE id >= ?",
      first,
    )
    .one();
  const messages = sql
    .exec<{ n: number; unwoken: number }>(
      "SELECT count(*) AS n, count(CASE WHEN wake = 'failed' AND wake_next IS NULL THEN 1 END) AS unwoken FROM message WHERE id >= ?",
      first,
    )
    .one();
  const unread = sql
    .exec<{ to_id: string; n: number }>(
      "SELECT to_id, count(*) AS n FROM message WHERE delivered_ms IS NULL GROUP BY to_id",
    )
    .toArray();
  return {
    ...{ sessions: sessions.n, open: sessions.open, messages: messages.n, unwoken: messages.unwoken },
    unread: Object.fromEntries(unread.map((r) => [r.to_id, r.n])),
  };
}

/** How a sent message is told to its sender. */
export function sentView(row: MessageRow): Record<string, unknown> {
  return {
    id: row.id,
    session_id: row.session_id,
    to: row.to_name,
    kind: row.kind,
    created_at: isoSeconds(row.created_ms),
    created_at_ms: row.created_ms,
    wake: row.wake === null ? null : { event_id: `wake_${row.id}`, status: row.wake },
  };
}

/** An inbox item, with the fields of both eras (wake-slo §0): `delivered_at` is null for one that is new to its reader. */
export function itemView(row: InboxRow): Record<string, unknown> {
  const at = (ms: number | null): string | null => (ms === null ? null : isoSeconds(ms));
  return {
    id: row.id,
    session_id: row.session_id,
    topic: row.topic,
    session_status: row.closed_ms === null ? "open" : "closed",
    kind: row.kind,
    from: row.from_name,
    from_agent_id: row.from_id,
    to: row.to_name,
    to_agent_id: row.to_id,
    body: row.body,
    metadata: row.metadata === null ? null : JSON.parse(row.metadata),
    delivered_at: at(row.delivered_ms),
    parent_message_id: row.parent_id,
    idempotency_key: row.idem_key,
    created_at: isoSeconds(row.created_ms),
    created_at_ms: row.created_ms,
    ack_required: false,
    acked_at: at(row.acked_ms),
    ack_status: row.ack_status,
  };
}
