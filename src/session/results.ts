/** What is kept of a session's runs, and how it is shown (`connectonion.md` (e)). */

export type RunStatus = "queued" | "running" | "waiting_approval" | "done" | "failed" | "interrupted";

/** One accepted INPUT and those that were added while it ran. Times are Reveille ms. */
export interface RunRow {
  n: number;
  id: string;
  input_id: string | null;
  /** JSON array of texts: the prompt, then what the client added while it ran. */
  prompts: string;
  status: RunStatus;
  result: string | null;
  error: string | null;
  created: number;
  started: number | null;
  finished: number | null;
  /** Runs that took it and did not end it. */
  attempts: number;
  token: string | null;
  lease_until: number | null;
  /** When its queue message was last sent, and how often. */
  sent_at: number;
  sends: number;
  /** JSON of the question the run waits for, or null. */
  pending: string | null;
  /** JSON: answers by question key. */
  answers: string;
}

/** The record of `GET /sessions/{id}`; times are epoch seconds. All keys are always there. */
export interface SessionRecord {
  session_id: string;
  status: "running" | "waiting_approval" | "done" | "failed" | "interrupted" | "connected";
  prompt: string | null;
  result: string | null;
  /** What its client called the input: whoever comes back knows whether this is the run it waits for. */
  input_id: string | null;
  created: number | null;
  expires: number | null;
  duration_ms: number | null;
}

export const isOver = (status: RunStatus): boolean =>
  status === "done" || status === "failed" || status === "interrupted";

/** Reveille ms at which a run's result is deleted, or null while it goes on. */
export const expiresAt = (run: Pick<RunRow, "status" | "created" | "finished">, ttlMs: number): number | null =>
  isOver(run.status) ? Math.max(run.created, run.finished ?? run.created) + ttlMs : null;

/** The record of a session's newest run; null when it has expired. A run that goes on never expires. */
export function recordOf(sessionId: string, run: RunRow, now: number, ttlMs: number): SessionRecord | null {
  const expires = expiresAt(run, ttlMs);
  if (expires !== null && expires <= now) return null;
  const [prompt = null] = JSON.parse(run.prompts) as string[];
  return {
    session_id: sessionId,
    status: run.status === "queued" ? "running" : run.status,
    prompt,
    result: run.result,
    input_id: run.input_id,
    created: run.created / 1000,
    expires: (expires ?? run.created + ttlMs) / 1000,
    duration_ms: run.finished === null ? null : run.finished - run.created,
  };
}

/** What somebody who only knows the id may see: never what was asked. */
export const withoutPrompt = (record: SessionRecord): SessionRecord => ({ ...record, prompt: null, input_id: null });
