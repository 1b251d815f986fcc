import { bytesOf, type SessionView } from "../session";

/** What the relay keeps of one session with an agent behind it: its newest run (connectonion.md (e)). Times: Reveille ms. */
export interface RelayRun {
  id: string;
  session_id: string;
  agent: string;
  /** The agent's line it runs over: when that ends, so does the run. */
  agent_line: string;
  /** The address that proved itself, or null (a client that signs nothing can't own a session). */
  owner: string | null;
  status: "running" | "done" | "failed" | "interrupted";
  input_id: string | null;
  /** Answers still to come: a 0.6.5 agent gives one for each input that joined the run, a host one for all. */
  waiting: number;
  /** Kept for 0.6.5 agents only, whose host the relay is. */
  prompt: string | null;
  /** How the prompt begins: by it the answer is found in what the agent knows. Never shown. */
  asked: string | null;
  result: string | null;
  error: string | null;
  /** An operator ended it: no answer counts any more. */
  cancelled?: boolean;
  created: number;
  finished: number | null;
}

/** One turn with a 0.6.5 agent: the relay is its host, so it shows the history to a client that comes back. */
export interface Turn {
  id: string;
  prompt: string;
  answer: string | null;
}

/** The record as `GET /sessions/{id}` shows it; epoch seconds. */
export interface RelayRecord {
  session_id: string;
  status: RelayRun["status"];
  prompt: string | null;
  result: string | null;
  input_id: string | null;
  created: number;
  expires: number;
  duration_ms: number | null;
}

/** Reveille ms at which the run is forgotten, or null while it goes on. */
export const runExpires = (run: RelayRun, ttlMs: number): number | null =>
  run.finished === null ? null : Math.max(run.created, run.finished) + ttlMs;

/** The record, or null when it has expired. A run that goes on never expires. */
export function recordOf(run: RelayRun, now: number, ttlMs: number): RelayRecord | null {
  const expires = runExpires(run, ttlMs);
  if (expires !== null && expires <= now) return null;
  return {
    session_id: run.session_id,
    status: run.status,
    prompt: run.prompt,
    result: run.result,
    input_id: run.input_id,
    created: run.created / 1000,
    expires: (expires ?? run.created + ttlMs) / 1000,
    duration_ms: run.finished === null ? null : run.finished - run.created,
  };
}

/** How a run ended, as an agent's frame says it. */
export interface RunEnd {
  status: "done" | "failed" | "interrupted";
  result: string | null;
  error: string | null;
}

/** The answer of an OUTPUT as text: an agent may answer with a structure. */
export const resultText = (result: unknown): string =>
  typeof result === "string" ? result : result === undefined || result === null ? "" : JSON.stringify(result);

/** How this frame ends a run, or null when it does not. An ERROR that may be tried again leaves the run as it is. */
export function endOf(type: string, frame: Record<string, unknown>): RunEnd | null {
  if (type === "OUTPUT") return { status: "done", result: resultText(frame["result"]), error: null };
  if (type !== "ERROR" || frame["retryable"] === true) return null;
  const said = frame["message"] ?? frame["error"];
  return { status: "failed", result: null, error: typeof said === "string" ? said.slice(0, 2_000) : "Unknown error" };
}

/** The newest run as an operator sees it. */
export const viewOf = (run: RelayRun, now: number, ttlMs: number): RelayView | null => {
  const record = recordOf(run, now, ttlMs);
  const { session_id, owner, agent, status, created, finished, error } = run;
  const shown = { id: run.id, status, created, finished, error, waits_for: null };
  return (
    record && {
      ...{ session_id, owner, agent, status, created, mode: null },
      expires: runExpires(run, ttlMs),
      runs: [{ ...shown, inputs: Math.max(1, run.waiting), result_bytes: bytesOf(run.result) }],
    }
  );
};

export type RelayView = Omit<SessionView, "built_in" | "lines" | "log">;

/** A turn of a session as its agent knows it. */
export interface KnownTurn {
  asked: string;
  answer: string | null;
}

/** How much of a prompt is kept to know it again, and how many turns are looked through. */
const ASKED = 1_000;
const KNOWN_TURNS = 20;

export const askedOf = (prompt: string | null): string | null => (prompt === null ? null : prompt.slice(0, ASKED));

/**
 * What a CONNECTED says of a session in which nothing runs: its last turns, oldest first. That is how the answer comes to a
 * run that ended while its agent was out of reach (connectonion.md (c)). Null: something runs, or it is another frame.
 */
export function idleTurns(type: string, frame: Record<string, unknown>): KnownTurn[] | null {
  if (type !== "CONNECTED" || (frame["status"] !== "connected" && frame["status"] !== "new")) return null;
  const turns: KnownTurn[] = [];
  for (const item of Array.isArray(frame["chat_items"]) ? (frame["chat_items"] as unknown[]) : []) {
    const { type: by, content } = (item ?? {}) as { type?: unknown; content?: unknown };
    if (typeof content !== "string") continue;
    if (by === "user") turns.push({ asked: content.slice(0, ASKED), answer: null });
    else if (by === "agent") for (const turn of turns) turn.answer ??= content;
  }
  return turns.slice(-KNOWN_TURNS);
}

/** How a run ended that its agent does not run any more: with the answer to its prompt, else cut off. */
export function idleEnd(run: RelayRun, turns: KnownTurn[]): RunEnd {
  const answer = run.asked === null ? null : turns.findLast((turn) => turn.asked === run.asked)?.answer;
  return typeof answer === "string"
    ? { status: "done", result: answer, error: null }
    : { status: "interrupted", result: null, error: "the agent does not run it" };
}
