/** What a scripted client of `npm run drill -- relay` keeps: what it asked, what it saw of it, and what it holds against us. */

export type Kind = "host" | "legacy" | "own";
export type Point = "before ack" | "mid-stream" | "before delivery";

/** Where a client asks: an agent behind the relay (newest main or 0.6.5), or the built-in one. */
export interface Place {
  kind: Kind;
  address: string;
  /** The prompt for a token. */
  prompt(token: string, random: () => number): string;
}

export interface End {
  status: "done" | "failed" | "interrupted";
  result: string | null;
  /** How the client learned it: on its line, from the CONNECTED of a later one, or from `GET /sessions/{id}`. */
  how: "line" | "connected" | "poll";
}

/** One INPUT, or two sent at once of which the second may join the first. */
export interface Ask {
  kind: Kind;
  session: string | null;
  tokens: string[];
  prompts: string[];
  /** Input ids, in the order of the prompts. */
  inputs: string[];
  /** How often it was sent. */
  sends: number;
  /** The first acknowledgement the client saw: an event or RUNTIME_INPUT_ACK, CONNECTED while it runs or with it in the history. */
  accepted: "event" | "ack" | "connected" | "poll" | null;
  /** Number and id of the last event seen, for agents that number theirs. */
  last: number;
  last_id: string | null;
  /** We were told that events are missing. */
  signalled: boolean;
  /** The built-in agent has said its answer, which is not yet the result. */
  said: boolean;
  /** Tokens whose answer was seen. */
  answered: Set<string>;
  end: End | null;
  /** Every result that was delivered, each once. */
  results: string[];
}

/** What one line to the built-in agent carried of the numbered log. */
export interface LineView {
  path: "stock" | "direct";
  /** The cursor it named in CONNECT; 0: none. */
  cursor: number;
  gap: boolean;
  seen: { seq: number; id: string }[];
}

export interface SessionView {
  id: string;
  kind: Kind;
  /** Tokens of the inputs that were accepted in it, oldest first. */
  tokens: string[];
  last: Ask | null;
  lines: LineView[];
  /** The highest number seen. */
  seq: number;
}

export type Goal = "lost" | "wrong" | "doubled" | "foreign" | "crossed" | "gap" | "repeat" | "stuck";

/** What a client holds against Reveille. */
export interface Fault {
  goal: Goal;
  what: string;
}

/** A point at which a kill may be wanted. */
export interface Moment {
  point: Point;
  client: string;
  kind: Kind;
}

/** What clients share. */
export interface Scene {
  /** `http://127.0.0.1:port`, the same over restarts. */
  http: string;
  random(): number;
  faults: Fault[];
  moment(m: Moment): void;
  /** When an agent has answered a prompt, wall ms, by its own ledger. */
  answered: Map<string, number>;
  /** Whose session is which, as CONNECTED told. */
  owners: Map<string, string>;
  /** Ms since then, or since the last start of the runtime: patience begins anew there. */
  waited(since: number): number;
  /** Any trouble a client got over, by its words. */
  troubles: Map<string, number>;
  /** The drill was interrupted: give up. */
  stopped(): boolean;
}

/** Marks of one client's words; nobody else may ever read them. */
// No hexadecimal digit at the head: ids must not look like it.
export const TOKEN = /\bk(\d{3})-\d{4}\b/gi;
