import {
  type Deferred,
  DISCORD,
  deferredOf,
  dueAt,
  type Held,
  openOf,
  resolve,
  surplus,
  TOLD_MS,
  usable,
  view,
} from "./capability";
import type { SealAsk, VaultRow, WieldBy } from "./types";

/** The rows of one chat's vault, in its Session object. Every method is one step: callers hold the transaction. */

const SCHEMA = `CREATE TABLE IF NOT EXISTS vault (
  id TEXT PRIMARY KEY, home TEXT NOT NULL, tenant TEXT NOT NULL, app TEXT NOT NULL, kind TEXT NOT NULL, sealed TEXT,
  meta TEXT NOT NULL, aliases TEXT NOT NULL, sealed_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, uses_left INTEGER, wielded INTEGER NOT NULL DEFAULT 0, deferred TEXT,
  ids TEXT NOT NULL DEFAULT '[]') WITHOUT ROWID`;

/** What was taken for one call, and what must be put back when the call was not made. */
export interface Claim {
  held: Held;
  uses: number;
  /** The deferred reply before the claim. */
  was: Deferred | null;
  /** The call ends the deferred reply. */
  ends: boolean;
}

type Row = Omit<Held, "meta" | "aliases" | "ids"> & { meta: string; aliases: string; ids: string };

export class Vault {
  #made = false;

  constructor(readonly sql: SqlStorage) {}

  /** A table is a row write: most objects of this class never hold a credential. */
  #exists(): boolean {
    this.#made ||=
      this.sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'vault'").toArray().length > 0;
    return this.#made;
  }

  /** After storage was emptied. */
  forget(): void {
    this.#made = false;
  }

  all(): Held[] {
    if (!this.#exists()) return [];
    return (this.sql.exec("SELECT * FROM vault").toArray() as unknown as Row[]).map((r) => ({
      ...r,
      meta: JSON.parse(r.meta) as Record<string, string>,
      aliases: JSON.parse(r.aliases) as string[],
      ids: JSON.parse(r.ids) as string[],
    }));
  }

  get empty(): boolean {
    return !this.#exists() || this.sql.exec("SELECT 1 FROM vault LIMIT 1").toArray().length === 0;
  }

  /** Keeps a sealed credential; what of its session is one too many loses its own. Returns open deferred replies among those. */
  keep(id: string, home: string, ask: SealAsk, sealed: string, now: number): Held[] {
    if (!this.#exists()) this.sql.exec(SCHEMA);
    this.sql.exec(
      `INSERT INTO vault (id, home, tenant, app, kind, sealed, meta, aliases, sealed_at, expires_at, uses_left, deferred)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, expires_at = excluded.expires_at WHERE sealed IS NOT NULL`,
      id,
      home,
      ask.tenant,
      ask.app,
      ask.kind,
      sealed,
      JSON.stringify(ask.meta),
      JSON.stringify(ask.aliases),
      now,
      ask.expires_at,
      ask.uses,
      deferredOf(ask.kind, ask.meta),
    );
    const gone = surplus(this.all());
    const open = openOf(gone, now);
    // An open reply is ended first: the alarm does that, as nothing of it may be lost to a failed call.
    for (const h of open)
      this.sql.exec("UPDATE vault SET deferred = 'answered', expires_at = ? WHERE id = ?", now, h.id);
    for (const h of gone) if (!open.includes(h)) this.sql.exec("DELETE FROM vault WHERE id = ?", h.id);
    return open;
  }

  /**
   * Takes what is meant for one call, uses and all; null: nothing may be used. `cost`: uses of the call, which may end the
   * deferred reply or not.
   */
  claim(by: WieldBy, cost: (held: Held, ends: boolean) => number, now: number): Claim | null {
    const held = resolve(this.all(), by, now);
    if (!held) return null;
    const was = held.deferred;
    const ends = !("message_id" in by) && (was === "open" || was === "answered");
    const uses = cost(held, ends);
    if (!usable(held, uses, now)) return null;
    this.sql.exec(
      "UPDATE vault SET uses_left = uses_left - ?, wielded = wielded + 1, deferred = ? WHERE id = ?",
      uses,
      ends ? "taken" : was,
      held.id,
    );
    return { held, uses, was, ends };
  }

  /** The call was certainly not applied: as if it had never been claimed. */
  giveBack({ held, uses, was }: Claim): void {
    if (!this.#exists()) return;
    this.sql.exec(
      "UPDATE vault SET uses_left = uses_left + ?, wielded = MAX(wielded - 1, 0), deferred = ? WHERE id = ?",
      uses,
      was,
      held.id,
    );
  }

  /** The call was made. `over`: the platform says that it is of no more use. */
  used({ held, ends }: Claim, ids: readonly string[], over: boolean): void {
    // Purged meanwhile.
    if (!this.#exists()) return;
    if (ends) this.sql.exec("UPDATE vault SET deferred = 'ended' WHERE id = ?", held.id);
    const fresh = held.kind === DISCORD ? ids.filter((id) => !held.ids.includes(id)) : [];
    if (fresh.length > 0)
      this.sql.exec(
        "UPDATE vault SET ids = ? WHERE id = ?",
        JSON.stringify([...held.ids, ...fresh].slice(-50)),
        held.id,
      );
    if (over) this.sql.exec("UPDATE vault SET sealed = NULL WHERE id = ?", held.id);
  }

  open(now: number): number {
    return openOf(this.all(), now).length;
  }

  /** The answer went to the chat another way: deferred replies that wait are to be taken away, not answered. */
  answered(): void {
    if (this.#exists()) this.sql.exec("UPDATE vault SET deferred = 'answered' WHERE deferred = 'open'");
  }

  view(now: number): VaultRow[] {
    return view(this.all(), now);
  }

  /** Wall ms of the next thing to do, or null. */
  dueAt(): number | null {
    const due = this.all().map(dueAt);
    return due.length > 0 ? Math.min(...due) : null;
  }

  /** Those whose time is over and whose deferred reply still shows. Each is told once: it counts as taken from here on. */
  overdue(now: number): Held[] {
    const due = this.all().filter(
      (h) => h.sealed !== null && h.expires_at <= now && (h.deferred === "open" || h.deferred === "answered"),
    );
    for (const h of due) this.sql.exec("UPDATE vault SET deferred = 'taken' WHERE id = ?", h.id);
    return due;
  }

  /** Throws away credentials whose time is over, and rows that told long enough. */
  expire(now: number): void {
    if (this.empty) return;
    this.sql.exec("DELETE FROM vault WHERE sealed_at <= ?", now - TOLD_MS);
    this.sql.exec("UPDATE vault SET sealed = NULL WHERE expires_at <= ? AND sealed IS NOT NULL", now);
  }

  purge(): void {
    if (this.#exists()) this.sql.exec("DELETE FROM vault");
  }
}
