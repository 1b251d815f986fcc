import { clip } from "../kernel/errors";
import { type Buffer, DEAD, STATES, tableOf } from "./buffer";
import { formatBufferId } from "./buffer-id";
import type { Memory } from "./memory.store";
import type { DeliveryQuery, DeliveryRow, ReplayAsk } from "./object.types";
import type { StoredEvent } from "./types";

/** What operators see of the buffer: one line an event, and the dead letters. Frames hold no credential, by type. */

interface Raw {
  [column: string]: SqlStorageValue;
  seq: number;
  k1: string;
  k2: string | null;
  state: number;
  attempts: number;
  at: number;
  sent_at: number | null;
  done_at: number | null;
  why: string | null;
  replayed_as: number | null;
  frame: string;
}

export interface Page {
  items: DeliveryRow[];
  next: number | null;
}

/** How far one search looks. */
const MAX_SCAN = 20_000;

function viewOf(row: Raw, tag: string, memory: Memory): DeliveryRow {
  const { platform, app, event, received_at } = JSON.parse(row.frame) as StoredEvent;
  const { source } = event;
  const state = STATES[row.state]!;
  return {
    seq: row.seq,
    buffer_id: formatBufferId(tag, row.seq),
    platform,
    app,
    chat_id: source.chat_id,
    user_id: source.user_id,
    user_name: source.user_name,
    message_type: event.message_type,
    text: clip(event.text, 200),
    key: row.k1,
    state,
    attempts: row.attempts,
    verified_at: received_at,
    stored_at: row.at,
    sent_at: row.sent_at,
    acked_at: state === "delivered" && row.why === null ? row.done_at : null,
    answered_at:
      state === "delivered" && row.done_at !== null
        ? memory.answeredAt(platform, source.chat_id, row.sent_at ?? row.done_at)
        : null,
    why: row.why,
    replayed_as: row.replayed_as,
  };
}

const COLUMNS = "seq, k1, k2, state, attempts, at, sent_at, done_at, why, NULL AS replayed_as, frame";
const DEAD_COLUMNS = `seq, k1, k2, ${DEAD} AS state, attempts, stored_at AS at, NULL AS sent_at, at AS done_at, why, replayed_as, frame`;

/** Does a row have the text somewhere a person would look for it? */
function holds(row: Raw, q: string): boolean {
  return q === "" || `${row.k1}\n${row.k2 ?? ""}\n${row.seq}\n${row.frame}`.toLowerCase().includes(q);
}

/** Events of every state, newest first. */
export function readDeliveries(buffer: Buffer, memory: Memory, tag: string, query: DeliveryQuery): Page {
  const q = (query.q ?? "").trim().toLowerCase();
  const items: DeliveryRow[] = [];
  let scanned = 0;
  let before = query.before ?? Number.MAX_SAFE_INTEGER;
  for (const day of [...buffer.days].reverse()) {
    const table = `buf_${day}`;
    for (const found of buffer.sql.exec<Raw>(
      `SELECT ${COLUMNS} FROM ${table} WHERE seq < ? ORDER BY seq DESC`,
      before,
    )) {
      if (items.length === query.limit || ++scanned > MAX_SCAN) return { items, next: before };
      before = found.seq;
      if (query.state && STATES[found.state] !== query.state) continue;
      // The frame of a dead row is with the dead letters.
      const row = found.state === DEAD ? deadRow(buffer, found.seq) : found;
      if (row && holds(row, q)) items.push(viewOf(row, tag, memory));
    }
  }
  return { items, next: null };
}

const deadRow = (buffer: Buffer, seq: number): Raw | null =>
  buffer.sql.exec<Raw>(`SELECT ${DEAD_COLUMNS} FROM dead WHERE seq = ?`, seq).toArray()[0] ?? null;

/** Dead letters, newest first. */
export function readDead(buffer: Buffer, memory: Memory, tag: string, query: { before?: number; limit: number }): Page {
  const rows = buffer.sql
    .exec<Raw>(
      `SELECT ${DEAD_COLUMNS} FROM dead WHERE seq < ? ORDER BY seq DESC LIMIT ?`,
      query.before ?? Number.MAX_SAFE_INTEGER,
      query.limit + 1,
    )
    .toArray();
  const items = rows.slice(0, query.limit).map((r) => viewOf(r, tag, memory));
  return { items, next: rows.length > query.limit ? items.at(-1)!.seq : null };
}

/** Dead letters that were not sent again, and the oldest of what waits. */
export const countDead = (buffer: Buffer): number =>
  buffer.sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM dead WHERE replayed_as IS NULL").one().n;

/** One event that an operator wants sent again, or why it is left out. */
export type Candidate =
  | { seq: number; d1: string; d2: string | null; stored: StoredEvent; dead: boolean }
  | { seq: number; why: string };

const MAX_REPLAY = 1_000;

/** What an ask for a replay names, oldest first, each judged: a repeat of what was delivered needs `override_dedupe`. */
export function replayCandidates(buffer: Buffer, ask: ReplayAsk): Candidate[] {
  const named = ask.all
    ? column(buffer, "SELECT seq FROM dead WHERE replayed_as IS NULL ORDER BY seq LIMIT ?", MAX_REPLAY)
    : ask.from !== undefined || ask.to !== undefined
      ? column(
          buffer,
          "SELECT seq FROM dead WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
          ask.from ?? 0,
          ask.to ?? Number.MAX_SAFE_INTEGER,
          MAX_REPLAY,
        )
      : [...new Set(ask.seqs ?? [])].sort((a, b) => a - b).slice(0, MAX_REPLAY);
  return named.map((seq) => judge(buffer, seq, ask.override_dedupe === true));
}

const column = (buffer: Buffer, sql: string, ...values: number[]): number[] =>
  buffer.sql
    .exec<{ seq: number }>(sql, ...values)
    .toArray()
    .map((r) => r.seq);

function judge(buffer: Buffer, seq: number, override: boolean): Candidate {
  const dead = deadRow(buffer, seq);
  if (dead) {
    if (dead.replayed_as !== null && !override) return { seq, why: `it was sent again as ${dead.replayed_as}` };
    return { seq, d1: dead.k1, d2: dead.k2, stored: JSON.parse(dead.frame) as StoredEvent, dead: true };
  }
  const state = buffer.stateOf(seq);
  if (state === null || state === "dead") return { seq, why: "there is no such event, or it is too old" };
  if (state !== "delivered") return { seq, why: `it is ${state} and will be sent` };
  if (!override) return { seq, why: "it was delivered" };
  const { k1, k2 } = buffer.sql
    .exec<{ k1: string; k2: string | null }>(`SELECT k1, k2 FROM ${tableOf(seq)} WHERE seq = ?`, seq)
    .one();
  return { seq, d1: k1, d2: k2, stored: buffer.read(seq)!, dead: false };
}
