/**
 * Who may hear what, at one agent's line. Pure: the object keeps the table, this file decides. The rule that matters: a
 * routing id, once used by somebody, never reaches anybody else as long as the agent's line lives, also after that client
 * has left, because the agent may still answer it (connectonion.md (d), "must not be hijackable").
 */

/** One routing id. */
export interface Binding {
  rid: string;
  /** The client line that hears it, or null when that client has left. */
  line: string | null;
  /** The address that signed its CONNECT, or null when nobody has proven anything. */
  owner: string | null;
  /** The client left in the middle of a run, and the agent does not know: what it says goes to the session's home. */
  held: boolean;
}

export type Table = Map<string, Binding>;

export interface BindAsk {
  /** The routing id the client names, or null. */
  rid: string | null;
  line: string;
  owner: string | null;
  /** A routing id nobody else has. */
  fresh: string;
}

export interface Bound {
  rid: string;
  /** The line that loses this routing id: it is closed. */
  displaced: string | null;
  /** The client named another id than it got. */
  private: boolean;
  /** The agent still has this id's stream of before: it must be closed first. */
  held: boolean;
}

/**
 * Binds a client line. A named id is given only to a proven signer, and only if nobody or the same signer had it; everyone
 * else gets the fresh one. A line has one routing id at a time.
 */
export function bind(table: Table, ask: BindAsk): Bound {
  const known = ask.rid === null ? undefined : table.get(ask.rid);
  const granted = ask.rid !== null && ask.owner !== null && (known === undefined || known.owner === ask.owner);
  const rid = granted ? ask.rid! : ask.fresh;
  const before = table.get(rid);
  for (const b of table.values()) if (b.line === ask.line && b.rid !== rid) b.line = null;
  table.set(rid, { rid, line: ask.line, owner: ask.owner, held: false });
  return {
    rid,
    displaced: before?.line && before.line !== ask.line ? before.line : null,
    private: ask.rid !== null && rid !== ask.rid,
    held: before?.held === true,
  };
}

/** The client left: its id stays known to be its signer's. Returns whether it was bound. */
export function leave(table: Table, rid: string, line: string, held = false): boolean {
  const b = table.get(rid);
  if (b?.line !== line) return false;
  b.line = null;
  b.held = held;
  return true;
}

/** May this line send under this routing id? */
export const holds = (table: Table, rid: string, line: string): boolean => table.get(rid)?.line === line;

/** The line a frame of the agent goes to, or null. */
export const lineOf = (table: Table, rid: string): string | null => table.get(rid)?.line ?? null;
