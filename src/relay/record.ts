/** What the relay keeps of one session with an agent behind it: its newest run (connectonion.md (e)). Times: Reveille ms. */
export interface RelayRun {
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
  result: string | null;
  error: string | null;
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
