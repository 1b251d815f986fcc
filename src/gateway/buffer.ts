import { DAY } from "../kernel/clock";
import { RETENTION_MS, type Waiting } from "./delivery";
import type { DeliveryState, Offer, StoredEvent } from "./types";

/**
 * The delivery buffer of one instance on its object's SQLite: a table a day, so that expiry is a dropped table, without a second
 * index, because an index entry is billed as a row (design §3). Both dedupe keys and all that waits are mirrored in memory and
 * rebuilt when first needed after a wake. An ordinary event writes two rows: its insert and its delivery.
 */

/** `seq` is Reveille ms times this, so it grows over restarts and names its own day's table. */
const PER_MS = 256;
/** A row is at most 2 MB (`cloudflare-platform.md` §6); its keys and columns need room too. Bytes. */
export const MAX_STORED = 1_900_000;

export const STATES: readonly DeliveryState[] = ["received", "queued", "delivered", "dead"];
const RECEIVED = 0;
export const QUEUED = 1;
export const DELIVERED = 2;
export const DEAD = 3;
const KINDS = ["message", "press", "passthrough"] as const;

export const dayOf = (seq: number): number => Math.floor(seq / PER_MS / DAY);
export const tableOf = (seq: number): string => `buf_${dayOf(seq)}`;

/** An offer on its way into the buffer. */
export interface Entry {
  seq: number;
  d1: string;
  d2: string | null;
  at: number;
  held: boolean;
  kind: Waiting["kind"];
  stored: StoredEvent;
  /** `stored` as it is kept. */
  frame: string;
}

const kindOf = (s: StoredEvent): Waiting["kind"] =>
  s.passthrough ? "passthrough" : s.event.prompt_response ? "press" : "message";

const DEAD_SCHEMA = `CREATE TABLE IF NOT EXISTS dead (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, k1 TEXT NOT NULL, k2 TEXT, attempts INTEGER NOT NULL, stored_at INTEGER NOT NULL,
  why TEXT NOT NULL, replayed_as INTEGER, told INTEGER NOT NULL DEFAULT 0, frame TEXT NOT NULL)`;
/** Dead letters kept; the oldest go beyond that. */
const MAX_DEAD = 5_000;

interface Mirror {
  /** Undelivered, by seq. */
  rows: Waiting[];
  /** Both keys of every event kept, with its seq. */
  keys: Map<string, number>;
  /** Days that have a table, oldest first. */
  days: number[];
  last: number;
}

interface Kept {
  [column: string]: SqlStorageValue;
  seq: number;
  k1: string;
  k2: string | null;
  state: number;
  attempts: number;
  at: number;
  platform: string;
  chat: string;
  album: string | null;
  kind: number;
}

export class Buffer {
  #mirror: Mirror | null = null;
  /** Whether D1 may have to be told of a dead letter; unknown after a wake, so then yes. */
  #untold = true;

  constructor(readonly sql: SqlStorage) {}

  /** Creates what is missing. For the constructor of the object. */
  static create(sql: SqlStorage): void {
    sql.exec(DEAD_SCHEMA);
  }

  #load(): Mirror {
    const mirror: Mirror = { rows: [], keys: new Map(), days: [], last: 0 };
    const tables = this.sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'buf_[0-9]*'")
      .toArray();
    mirror.days = tables.map((t) => Number(t.name.slice(4))).sort((a, b) => a - b);
    for (const day of mirror.days)
      for (const row of this.sql.exec<Kept>(
        `SELECT seq, k1, k2, state, attempts, at, platform, chat, album, kind FROM buf_${day} ORDER BY seq`,
      )) {
        mirror.last = row.seq;
        mirror.keys.set(row.k1, row.seq);
        if (row.k2 !== null) mirror.keys.set(row.k2, row.seq);
        if (row.state < DELIVERED) mirror.rows.push(waitingOf(row));
      }
    return mirror;
  }

  get #m(): Mirror {
    this.#mirror ??= this.#load();
    return this.#mirror;
  }

  /** What waits, by seq. */
  get rows(): readonly Waiting[] {
    return this.#m.rows;
  }

  /** After storage was emptied, or a transaction was undone. */
  forget(): void {
    this.#mirror = null;
    this.#untold = true;
  }

  /** The seq under which an event with one of these keys is kept. */
  find(d1: string, d2: string | null): number | null {
    return this.#m.keys.get(d1) ?? (d2 === null ? undefined : this.#m.keys.get(d2)) ?? null;
  }

  stateOf(seq: number): DeliveryState | null {
    if (!this.#m.days.includes(dayOf(seq))) return null;
    const row = this.sql.exec<{ state: number }>(`SELECT state FROM ${tableOf(seq)} WHERE seq = ?`, seq).toArray()[0];
    return row ? STATES[row.state]! : null;
  }

  /** Makes an entry of an offer; null when it is too large to be kept. */
  entry(offer: Omit<Offer, "to">, now: number): Entry | null {
    const frame = JSON.stringify(offer.stored);
    if (frame.length * 3 > MAX_STORED && new TextEncoder().encode(frame).length > MAX_STORED) return null;
    const { d1, d2, held, stored } = offer;
    this.#m.last = Math.max(this.#m.last + 1, now * PER_MS);
    return { seq: this.#m.last, d1, d2, at: now, held, kind: kindOf(stored), stored, frame };
  }

  /** Writes entries; the caller's transaction. They count once `keep` was called, after the commit. */
  insert(entries: readonly Entry[]): void {
    for (const e of entries) {
      const table = tableOf(e.seq);
      // Known only from the commit on: an undone transaction takes its table back.
      if (!this.#m.days.includes(dayOf(e.seq)))
        this.sql.exec(
          `CREATE TABLE IF NOT EXISTS ${table} (
             seq INTEGER PRIMARY KEY, k1 TEXT NOT NULL, k2 TEXT, state INTEGER NOT NULL, attempts INTEGER NOT NULL,
             at INTEGER NOT NULL, platform TEXT NOT NULL, chat TEXT NOT NULL, album TEXT, kind INTEGER NOT NULL,
             sent_at INTEGER, done_at INTEGER, why TEXT, frame TEXT NOT NULL)`,
        );
      this.sql.exec(
        `INSERT INTO ${table} (seq, k1, k2, state, attempts, at, platform, chat, album, kind, frame)
         VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)`,
        e.seq,
        e.d1,
        e.d2,
        e.held ? RECEIVED : QUEUED,
        e.at,
        e.stored.platform,
        e.stored.event.source.chat_id,
        e.stored.album,
        KINDS.indexOf(e.kind),
        e.frame,
      );
    }
  }

  /** Committed: from here on they are found and delivered. */
  keep(entries: readonly Entry[]): void {
    for (const e of entries) {
      const day = dayOf(e.seq);
      if (!this.#m.days.includes(day)) this.#m.days.push(day);
      this.#m.keys.set(e.d1, e.seq);
      if (e.d2 !== null) this.#m.keys.set(e.d2, e.seq);
      this.#m.rows.push({
        seq: e.seq,
        platform: e.stored.platform,
        chat: e.stored.event.source.chat_id,
        held: e.held,
        kind: e.kind,
        album: e.stored.album,
        at: e.at,
        attempts: 0,
      });
    }
  }

  #at(seq: number): number {
    return this.#m.rows.findIndex((r) => r.seq === seq);
  }

  /** The event of a row that is kept, or null. */
  read(seq: number): StoredEvent | null {
    if (!this.#m.days.includes(dayOf(seq))) return null;
    const row = this.sql.exec<{ frame: string }>(`SELECT frame FROM ${tableOf(seq)} WHERE seq = ?`, seq).toArray()[0];
    return row && row.frame !== "" ? (JSON.parse(row.frame) as StoredEvent) : null;
  }

  /** The same message told again with files that the first telling lacked takes its place while it waits. */
  enrich(seq: number, stored: StoredEvent): void {
    if (stored.media.length === 0 || this.#at(seq) < 0) return;
    if ((this.read(seq)?.media.length ?? stored.media.length) >= stored.media.length) return;
    this.sql.exec(`UPDATE ${tableOf(seq)} SET frame = ? WHERE seq = ?`, JSON.stringify(stored), seq);
  }

  /** A held row may go. False: there is none. */
  release(seq: number): boolean {
    const row = this.#m.rows[this.#at(seq)];
    if (!row) return false;
    if (row.held) this.sql.exec(`UPDATE ${tableOf(seq)} SET state = ${QUEUED} WHERE seq = ?`, seq);
    row.held = false;
    return true;
  }

  /** Done: `why` when it ended without an ack. False: nothing of that seq waits. */
  deliver(seq: number, sentAt: number | null, now: number, why: string | null = null): boolean {
    const at = this.#at(seq);
    if (at < 0) return false;
    this.sql.exec(
      `UPDATE ${tableOf(seq)} SET state = ${DELIVERED}, sent_at = ?, done_at = ?, why = ? WHERE seq = ?`,
      sentAt,
      now,
      why,
      seq,
    );
    this.#m.rows.splice(at, 1);
    return true;
  }

  /** It was sent, and no ack came. */
  failed(seq: number): void {
    const row = this.#m.rows[this.#at(seq)];
    if (!row) return;
    row.attempts++;
    this.sql.exec(`UPDATE ${tableOf(seq)} SET attempts = ? WHERE seq = ?`, row.attempts, seq);
  }

  /** Moves a row to the dead letters. Its keys stay, so that its platform's repeat is none. */
  bury(seq: number, why: string, now: number): Waiting | null {
    const at = this.#at(seq);
    if (at < 0) return null;
    const table = tableOf(seq);
    this.#untold = true;
    this.sql.exec(
      `INSERT OR REPLACE INTO dead (seq, at, k1, k2, attempts, stored_at, why, frame)
       SELECT seq, ?, k1, k2, attempts, at, ?, frame FROM ${table} WHERE seq = ?`,
      now,
      why,
      seq,
    );
    this.sql.exec(`UPDATE ${table} SET state = ${DEAD}, done_at = ?, why = ?, frame = '' WHERE seq = ?`, now, why, seq);
    return this.#m.rows.splice(at, 1)[0]!;
  }

  /** Dead letters that D1 has not been told of, oldest first. */
  untold(limit: number): { seq: number; why: string; attempts: number; stored: StoredEvent }[] {
    if (!this.#untold) return [];
    const rows = this.sql
      .exec<{ seq: number; why: string; attempts: number; frame: string }>(
        "SELECT seq, why, attempts, frame FROM dead WHERE told = 0 ORDER BY seq LIMIT ?",
        limit,
      )
      .toArray();
    this.#untold = rows.length > 0;
    return rows.map(({ frame, ...row }) => ({ ...row, stored: JSON.parse(frame) as StoredEvent }));
  }

  told(seqs: readonly number[]): void {
    for (const seq of seqs) this.sql.exec("UPDATE dead SET told = 1 WHERE seq = ?", seq);
  }

  /** An operator sent a dead letter again under a new seq; null: it failed. */
  replayed(seq: number, as: number | null): void {
    this.sql.exec("UPDATE dead SET replayed_as = ? WHERE seq = ?", as, seq);
  }

  /** Takes back what its author deleted before it was sent: nothing of it is kept but its keys. */
  withdraw(seq: number, why: string, now: number): void {
    const at = this.#at(seq);
    if (at < 0) return;
    this.sql.exec(
      `UPDATE ${tableOf(seq)} SET state = ${DEAD}, done_at = ?, why = ?, frame = '' WHERE seq = ?`,
      now,
      why,
      seq,
    );
    this.#m.rows.splice(at, 1);
  }

  /** The oldest rows beyond `most`, which have to go. */
  beyond(most: number): number[] {
    const { rows } = this.#m;
    return rows.slice(0, Math.max(0, rows.length - most)).map((r) => r.seq);
  }

  /** Drops what is beyond the dead letters kept, and the tables of days that are over for longer than an event may wait; not one of which something waits. */
  expire(now: number): void {
    const m = this.#m;
    this.sql.exec("DELETE FROM dead WHERE seq <= (SELECT seq FROM dead ORDER BY seq DESC LIMIT 1 OFFSET ?)", MAX_DEAD);
    const first = m.rows[0] ? dayOf(m.rows[0].seq) : Number.POSITIVE_INFINITY;
    for (const day of [...m.days]) {
      if ((day + 1) * DAY + RETENTION_MS > now || day >= first) break;
      this.sql.exec(`DROP TABLE IF EXISTS buf_${day}`);
      m.days.shift();
      for (const [key, seq] of m.keys) if (dayOf(seq) === day) m.keys.delete(key);
    }
  }

  /** Reveille ms when `expire` has something to do next. */
  get expiresAt(): number | null {
    const day = this.#m.days[0];
    return day === undefined ? null : (day + 1) * DAY + RETENTION_MS;
  }

  get days(): readonly number[] {
    return this.#m.days;
  }
}

const waitingOf = (row: Kept): Waiting => ({
  seq: row.seq,
  platform: row.platform,
  chat: row.chat,
  held: row.state === RECEIVED,
  kind: KINDS[row.kind] ?? "message",
  album: row.album,
  at: row.at,
  attempts: row.attempts,
});
