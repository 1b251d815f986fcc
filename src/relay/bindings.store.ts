import { CLIENTS_PER_AGENT } from "./limits";
import { type BindAsk, type Binding, type Bound, bind, holds, leave, lineOf, type Table } from "./routing";

/** How many ids of clients that have left are dropped at once when the table is full. */
const PRUNE = 1_000;

/** The routing table of one agent's line with its rows: read when first needed, so it outlives the object's memory. */
export class Bindings {
  #table: Table | null = null;

  constructor(readonly sql: SqlStorage) {}

  get #rows(): Table {
    if (this.#table) return this.#table;
    this.sql.exec(
      "CREATE TABLE IF NOT EXISTS binding (rid TEXT PRIMARY KEY, line TEXT, owner TEXT, held INTEGER) WITHOUT ROWID",
    );
    const rows = this.sql.exec<{ rid: string; line: string | null; owner: string | null; held: number | null }>(
      "SELECT * FROM binding",
    );
    this.#table = new Map([...rows].map((row) => [row.rid, { ...row, held: row.held === 1 }]));
    return this.#table;
  }

  all(): Binding[] {
    return [...this.#rows.values()];
  }

  /** Binds a client's line; null when the agent has no room for another one. */
  bind(ask: BindAsk): Bound | null {
    const table = this.#rows;
    if (table.size >= CLIENTS_PER_AGENT && !table.has(ask.rid ?? "") && !this.#prune()) return null;
    const bound = bind(table, ask);
    this.sql.exec("INSERT OR REPLACE INTO binding (rid, line, owner) VALUES (?, ?, ?)", bound.rid, ask.line, ask.owner);
    return bound;
  }

  /** The client has left; its id stays its signer's. Returns whether it was bound. */
  leave(rid: string, line: string, held = false): boolean {
    if (!leave(this.#rows, rid, line, held)) return false;
    this.sql.exec("UPDATE binding SET line = NULL, held = ? WHERE rid = ?", held ? 1 : null, rid);
    return true;
  }

  /** Does the agent still speak to a client that left in the middle of a run? */
  held(rid: string): boolean {
    return this.#rows.get(rid)?.held === true;
  }

  /** The run is over: the agent may know. */
  release(rid: string): void {
    this.#rows.get(rid)!.held = false;
    this.sql.exec("UPDATE binding SET held = NULL WHERE rid = ?", rid);
  }

  holds(rid: string, line: string): boolean {
    return holds(this.#rows, rid, line);
  }

  /** Was this id ever bound here? */
  knows(rid: string): boolean {
    return this.#rows.has(rid);
  }

  lineOf(rid: string): string | null {
    return lineOf(this.#rows, rid);
  }

  /** The rows are gone (the object's storage was emptied). */
  reset(): void {
    this.#table = null;
  }

  /** Drops ids of clients that have left. Their owners are also known to the sessions' homes. */
  #prune(): boolean {
    const gone = this.all()
      .filter((b) => b.line === null)
      .slice(0, PRUNE);
    for (const { rid } of gone) {
      this.#rows.delete(rid);
      this.sql.exec("DELETE FROM binding WHERE rid = ?", rid);
    }
    return gone.length > 0;
  }
}
