import { DAY } from "../kernel/clock";

/**
 * What an instance remembers of its chats: who spoke where (for authorisation and interrupts), and which messages it sent within the
 * last day (to know its own echo). A chat costs one row write when somebody first speaks in it.
 */

const SCHEMA = `CREATE TABLE IF NOT EXISTS chat (
  platform TEXT NOT NULL, chat TEXT NOT NULL, author TEXT NOT NULL, type TEXT NOT NULL, name TEXT, scope TEXT, at INTEGER NOT NULL,
  PRIMARY KEY (platform, chat, author)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vaulted (platform TEXT NOT NULL, chat TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (platform, chat)) WITHOUT ROWID`;

/** A vault tells of a credential for a day after it came. */
const VAULTED = 2 * DAY;

export interface Spoken {
  platform: string;
  chat: string;
  /** "" when unknown. */
  author: string;
  type: string;
  name: string | null;
  scope: string | null;
}

const key = (...parts: string[]): string => parts.join("\u0000");
/** Authors known in memory; beyond that they are looked up again. */
const MAX_SEEN = 20_000;

export class Memory {
  readonly #seen = new Set<string>();
  #sent: Map<string, number> | null = null;

  constructor(readonly sql: SqlStorage) {}

  static create(sql: SqlStorage): void {
    sql.exec(SCHEMA);
  }

  /** After storage was emptied. */
  forget(): void {
    this.#seen.clear();
    this.#sent = null;
  }

  /** Notes who spoke where; the caller's transaction. Nothing is written for an author known there. */
  note(s: Spoken, now: number): void {
    const k = key(s.platform, s.chat, s.author);
    if (this.#seen.has(k)) return;
    const known = this.sql
      .exec("SELECT 1 FROM chat WHERE platform = ? AND chat = ? AND author = ?", s.platform, s.chat, s.author)
      .toArray();
    if (known.length === 0)
      this.sql.exec(
        "INSERT INTO chat (platform, chat, author, type, name, scope, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        s.platform,
        s.chat,
        s.author,
        s.type,
        s.name,
        s.scope,
        now,
      );
  }

  /** After the commit of what was noted: an undone transaction must not be believed. */
  noted(s: Spoken): void {
    if (this.#seen.size >= MAX_SEEN) this.#seen.clear();
    this.#seen.add(key(s.platform, s.chat, s.author));
  }

  /** Who spoke in a chat, at most 200 of them. */
  chat(platform: string, chat: string): Spoken[] {
    return this.sql
      .exec(
        "SELECT platform, chat, author, type, name, scope FROM chat WHERE platform = ? AND chat = ? LIMIT 200",
        platform,
        chat,
      )
      .toArray() as unknown as Spoken[];
  }

  /** Notes that an event of this chat brings a credential; the caller's transaction. */
  vault(platform: string, chat: string, now: number): void {
    this.sql.exec(
      "INSERT INTO vaulted (platform, chat, at) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
      platform,
      chat,
      now,
    );
  }

  isVaulted(platform: string, chat: string): boolean {
    return this.sql.exec("SELECT 1 FROM vaulted WHERE platform = ? AND chat = ?", platform, chat).toArray().length > 0;
  }

  /** Chats whose vault may hold something, the newest first. */
  vaulted(): { platform: string; chat: string }[] {
    return this.sql
      .exec<{ platform: string; chat: string }>("SELECT platform, chat FROM vaulted ORDER BY at DESC")
      .toArray();
  }

  /** Chats of one scope, at most 1,000. */
  chatsIn(platform: string, scope: string): string[] {
    return this.sql
      .exec<{ chat: string }>(
        "SELECT DISTINCT chat FROM chat WHERE platform = ? AND scope = ? LIMIT 1000",
        platform,
        scope,
      )
      .toArray()
      .map((row) => row.chat);
  }

  /** The platforms on which this chat id is known. */
  platformsOf(chat: string, among: readonly string[]): string[] {
    return among.filter((platform) => this.chat(platform, chat).length > 0);
  }

  /** A chat got a new id: who spoke in the old one has spoken in the new one. */
  moved(platform: string, from: string, to: string): void {
    this.sql.exec(
      `INSERT OR IGNORE INTO chat (platform, chat, author, type, name, scope, at)
       SELECT platform, ?, author, type, name, scope, at FROM chat WHERE platform = ? AND chat = ?`,
      to,
      platform,
      from,
    );
  }

  // Messages sent, a table a day: two days cover the last 24 hours.

  #days(): number[] {
    return this.sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'sent_[0-9]*'")
      .toArray()
      .map((t) => Number(t.name.slice(5)))
      .sort((a, b) => b - a);
  }

  #load(): Map<string, number> {
    const sent = new Map<string, number>();
    for (const day of this.#days())
      for (const row of this.sql.exec<{ platform: string; chat: string; ids: string; at: number }>(
        `SELECT platform, chat, ids, at FROM sent_${day}`,
      ))
        for (const id of JSON.parse(row.ids) as string[]) sent.set(key(row.platform, row.chat, id), row.at);
    return sent;
  }

  /** Remembers the messages one op made. `nonce`: what the platform was given to know a repeat by. */
  sent(platform: string, chat: string, ids: readonly string[], now: number, nonce: string | null = null): void {
    if (ids.length === 0) return;
    this.#sent ??= this.#load();
    const table = `sent_${Math.floor(now / DAY)}`;
    this.sql.exec(
      `CREATE TABLE IF NOT EXISTS ${table} (n INTEGER PRIMARY KEY, at INTEGER NOT NULL, platform TEXT NOT NULL, chat TEXT NOT NULL,
         ids TEXT NOT NULL, nonce TEXT)`,
    );
    this.sql.exec(
      `INSERT INTO ${table} (at, platform, chat, ids, nonce) VALUES (?, ?, ?, ?, ?)`,
      now,
      platform,
      chat,
      JSON.stringify(ids),
      nonce,
    );
    for (const id of ids) this.#sent.set(key(platform, chat, id), now);
  }

  /** Did we send this message within the last day? */
  isOwn(platform: string, chat: string, id: string, now: number): boolean {
    this.#sent ??= this.#load();
    return (this.#sent.get(key(platform, chat, id)) ?? Number.NEGATIVE_INFINITY) > now - DAY;
  }

  /** All messages that one op made, from the id of any of them: an edit may shrink or grow them. */
  partsOf(platform: string, chat: string, id: string): string[] | null {
    for (const day of this.#days())
      for (const row of this.sql.exec<{ ids: string }>(
        `SELECT ids FROM sent_${day} WHERE platform = ? AND chat = ? ORDER BY n DESC`,
        platform,
        chat,
      )) {
        const ids = JSON.parse(row.ids) as string[];
        if (ids.includes(id)) return ids;
      }
    return null;
  }

  /** Reveille ms when the platform took the first message sent to a chat at or after `from`. */
  answeredAt(platform: string, chat: string, from: number): number | null {
    let first: number | null = null;
    for (const day of this.#days()) {
      const { at } = this.sql
        .exec<{ at: number | null }>(
          `SELECT MIN(at) AS at FROM sent_${day} WHERE platform = ? AND chat = ? AND at >= ?`,
          platform,
          chat,
          from,
        )
        .one();
      if (at !== null && (first === null || at < first)) first = at;
    }
    return first;
  }

  /** Drops what is older than the day before. */
  expire(now: number): void {
    this.sql.exec("DELETE FROM vaulted WHERE at < ?", now - VAULTED);
    const gone = this.#days().filter((day) => day < Math.floor(now / DAY) - 1);
    for (const day of gone) this.sql.exec(`DROP TABLE IF EXISTS sent_${day}`);
    if (gone.length > 0) this.#sent = null;
  }
}
