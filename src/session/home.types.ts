import type { Clock } from "../kernel/clock";
import type { Log } from "../kernel/log";
import type { AcceptorPort } from "./lending";
import type { SessionState } from "./merge";
import type { RunRow } from "./results";

/** A session's index row in D1, or its removal. */
export interface IndexRow {
  id: string;
  owner: string | null;
  status: string | null;
  updated: number;
}

/** What a home needs of the object it lives in. */
export interface HomePorts {
  sql: SqlStorage;
  clock: Clock;
  log: Log;
  /** Reveille ms that a result is kept after its run ended. */
  ttlMs: number;
  /** Writes to the sockets held here: to one line, or to all attached ones of an address. */
  ownLine(line: string, texts: string[]): void;
  ownLines(from: string, texts: string[]): void;
  /** The object that holds a lent line. */
  acceptor(id: string): AcceptorPort;
  enqueue(sessionId: string, runId: string): Promise<void>;
  index(row: IndexRow): Promise<void>;
  /** Sets the alarm to whatever is due next. */
  arm(): Promise<void>;
}

export interface Attach {
  session_id: string;
  line: string;
  /** The object that holds the socket; null: this one. */
  acceptor: string | null;
  from: string;
  /** The client's own copy of the conversation. */
  session: unknown;
  last_msg_id: string | number | null;
  /** First-generation clients know no CONNECTED. */
  announce: boolean;
  /** `run`: what stock clients expect, events of the run under way. `all`: everything after the cursor. */
  replay: "run" | "all";
}

/** One command of an authenticated line; `frame` is what was signed, when it was. */
export interface Command {
  line: string;
  acceptor: string | null;
  from: string;
  /** May approve: contact, whitelist or admin. */
  may_approve: boolean;
  frame: Record<string, unknown> & { type: string };
}

/** A stream event: `id` and `ts` (epoch seconds) always. */
export type StreamFrame = { type: string; id: string; ts: number } & Record<string, unknown>;

export type Submitted = { state: "accepted"; run_id: string } | { state: "busy" } | { state: "not_found" };

export interface Ended {
  status: RunRow["status"];
  result: string | null;
  duration_ms: number;
  session: SessionState;
  chat_items: object[];
}
