import {
  appendTexts,
  clearLog,
  eventView,
  LOG_SCHEMA,
  type LoggedFrame,
  logAfter,
  logEnds,
  logTail,
  memberOf,
  readCursor,
  readFrame,
  type SessionView,
  TAIL,
} from "../session";

/**
 * The event log of a session whose agent is behind the relay: the log of sessions (`src/session/log.ts`), of frames that stay
 * as the agent sent them. Kept by the session's home, so it outlives the client, the agent and the object.
 */

/** What says how a connection stands, not what a run does: it is passed on and not kept. */
const CONTROL: ReadonlySet<string> = new Set([
  "CONNECTED",
  "PING",
  "PONG",
  "AGENT_PROFILE",
  "SESSION_STATUS",
  "ONBOARD_REQUIRED",
  "ONBOARD_SUCCESS",
  "ADMIN_RESULT",
  "RUNTIME_INPUT_ACK",
  "EXEC_RESULT",
  "DASHBOARD_SNAPSHOT",
  "session_sync",
  "mode_changed",
]);

/** What waits for an answer of the client: an agent says it again to a client that comes back. */
export const isQuestion = (type: string): boolean =>
  type === "approval_needed" || type === "ask_user" || type === "plan_review" || type === "ulw_turns_reached";

/** Is this frame of an agent kept? An ERROR only when it ends a run. */
export const isKept = (type: string, ends: boolean): boolean =>
  ends || (type !== "" && type !== "ERROR" && type !== "OUTPUT" && !CONTROL.has(type));

/**
 * Characters kept of one session; beyond it the oldest go, and a cursor before them gets a gap signal. All of it fits into one
 * call between objects (32 MiB, two bytes a character at worst).
 */
const MAX_TEXT = 12 * 1_048_576;
/** What is left after that, so that a long run does not delete with every event. */
const KEPT_TEXT = 8 * 1_048_576;

/** A frame's text with its number at the top level; all else stays as it came. */
export function numbered(text: string, seq: number): string {
  // Only an agent that numbers its own frames has the key already: the last of two would win.
  if (text.includes('"seq"')) {
    const read = readFrame(text);
    const own = read.ok ? memberOf(read.frame.root, "seq") : undefined;
    if (own) return `${text.slice(0, own.start)}${seq}${text.slice(own.end)}`;
  }
  const head = text.indexOf("{") + 1;
  const rest = text.slice(head);
  return `${text.slice(0, head)}"seq":${seq}${/^\s*\}/.test(rest) ? "" : ","}${rest}`;
}

export interface Entry {
  type: string;
  /** Null: it has none, so a repeat of it can't be told. */
  id: string | null;
  text: string;
}

/** Frames after a cursor. `gap`: some before the first of them are gone. */
export interface Page {
  frames: { seq: number; text: string }[];
  gap: boolean;
  after: number;
}

export class RelayLog {
  #made = false;
  #size: number | null = null;
  /** Numbers by type and id: agents say what they said again to a client that comes back. */
  #known: Map<string, number> | null = null;

  constructor(readonly sql: SqlStorage) {}

  /** Appends one frame; one that is there already, word for word, keeps its number. */
  append(run: string, entry: Entry): { seq: number; again: boolean } {
    this.#make();
    const key = entry.id === null ? null : keyOf(entry.type, entry.id);
    const known = key === null ? undefined : this.#index().get(key);
    if (known !== undefined && this.#textOf(known) === entry.text) return { seq: known, again: true };
    const id = entry.id ?? crypto.randomUUID();
    const { seq } = appendTexts(this.sql, run, [{ id, text: entry.text }])[0]!;
    if (key !== null) this.#index().set(key, seq);
    this.#shrink(entry.text.length);
    return { seq, again: false };
  }

  /** Is this frame kept, word for word? */
  has({ type, id, text }: Entry): boolean {
    if (id === null || !this.#exists()) return false;
    const seq = this.#index().get(keyOf(type, id));
    return seq !== undefined && this.#textOf(seq) === text;
  }

  /** Frames after `last_msg_id`, of one run or of all. */
  after(cursor: string | number | null, limit?: number, run?: string): Page {
    if (!this.#exists()) return { frames: [], gap: cursor !== null && cursor !== "" && cursor !== 0, after: 0 };
    const at = readCursor(this.sql, cursor);
    const rows = logAfter(this.sql, at.after, limit).filter((f) => run === undefined || f.run === run);
    const frames = rows.map(({ seq, text }: LoggedFrame) => ({ seq, text: numbered(text, seq) }));
    return { frames, gap: at.gap, after: rows.at(-1)?.seq ?? at.after };
  }

  /** The newest frames as an operator sees them. */
  view(): SessionView["log"] {
    if (!this.#exists()) return { first: 0, last: 0, tail: [] };
    return { ...logEnds(this.sql), tail: logTail(this.sql, TAIL).map(eventView) };
  }

  /** The number of the newest frame; 0: none. */
  last(): number {
    if (!this.#exists()) return 0;
    return this.sql.exec<{ n: number | null }>("SELECT MAX(seq) AS n FROM log").one().n ?? 0;
  }

  clear(): void {
    if (this.#exists()) clearLog(this.sql);
    this.#size = 0;
    this.#known = null;
  }

  /** The object's storage was emptied, tables too. */
  reset(): void {
    this.#made = false;
    this.#size = null;
    this.#known = null;
  }

  #exists(): boolean {
    this.#made ||= this.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'log'").toArray().length > 0;
    return this.#made;
  }

  /** Only a session that has something to keep has the table: an object is made for every connection. */
  #make(): void {
    if (!this.#made) this.sql.exec(LOG_SCHEMA);
    this.#made = true;
  }

  #textOf(seq: number): string | null {
    return (this.sql.exec("SELECT text FROM log WHERE seq = ?", seq).toArray()[0]?.["text"] as string) ?? null;
  }

  #index(): Map<string, number> {
    if (this.#known) return this.#known;
    const rows = this.sql.exec<{ seq: number; id: string; type: string }>(
      "SELECT seq, id, COALESCE(json_extract(text, '$.type'), '') AS type FROM log ORDER BY seq",
    );
    this.#known = new Map([...rows].map(({ seq, id, type }) => [keyOf(type, id), seq]));
    return this.#known;
  }

  #shrink(added: number): void {
    const { sql } = this;
    this.#size =
      this.#size === null
        ? sql.exec<{ n: number }>("SELECT COALESCE(SUM(LENGTH(text)), 0) AS n FROM log").one().n
        : this.#size + added;
    if (this.#size <= MAX_TEXT) return;
    // Newest first, as far as they fit: what is older goes.
    let size = 0;
    let cut = 0;
    const rows = sql.exec<{ seq: number; n: number }>("SELECT seq, LENGTH(text) AS n FROM log ORDER BY seq DESC");
    for (const { seq, n } of [...rows]) {
      if (size + n > KEPT_TEXT && size > 0) {
        cut = seq;
        break;
      }
      size += n;
    }
    sql.exec("DELETE FROM log WHERE seq <= ?", cut);
    this.#size = size;
  }
}

const keyOf = (type: string, id: string): string => `${type}\n${id}`;
