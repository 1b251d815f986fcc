import { MINUTE, SECOND } from "../kernel/clock";
import { isOver, type RunRow } from "./results";

/**
 * The runs of a session on its object's SQLite. Every function is one synchronous step, so nothing comes between look and
 * write. One run at a time; an INPUT that comes while it goes on joins it, and all of them share its one result.
 */

export const RUN_SCHEMA = `CREATE TABLE IF NOT EXISTS run (
  n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, input_id TEXT, prompts TEXT NOT NULL, status TEXT NOT NULL,
  result TEXT, error TEXT, created INTEGER NOT NULL, started INTEGER, finished INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0, token TEXT, lease_until INTEGER,
  sent_at INTEGER NOT NULL, sends INTEGER NOT NULL DEFAULT 1, pending TEXT, answers TEXT NOT NULL DEFAULT '{}')`;

/** An executor that says nothing for this long is dead; it speaks every `RUN_BEAT`. Wall ms. */
export const RUN_LEASE = 30 * SECOND;
export const RUN_BEAT = 8 * SECOND;
/** Executors that may die over one run before it ends as interrupted. */
export const MAX_ATTEMPTS = 5;
/** A queued run whose message brought nobody for this long is sent again, later each time up to the longest. Wall ms. */
const SEND_AGAIN = 10 * SECOND;
/** A second message for a run that waits its turn costs one call; a client gives up after ten minutes. */
const SEND_AGAIN_LATEST = MINUTE;
/** Runs kept for their input ids; only the newest has a record. */
const KEPT_RUNS = 20;
/** Inputs that may join one run. */
export const MAX_JOINED = 10;
/** Longest prompt and longest answer to a question, UTF-16 units: a row holds 2 MB, with all that joined. */
export const MAX_PROMPT = 32_768;
export const MAX_ANSWER = 16_384;

const COLUMNS =
  "n, id, input_id, prompts, status, result, error, created, started, finished, attempts, token, lease_until, sent_at, sends, pending, answers";

const one = (sql: SqlStorage, where: string, ...values: (string | number)[]): RunRow | null =>
  (sql
    .exec(`SELECT ${COLUMNS} FROM run WHERE ${where} ORDER BY n DESC LIMIT 1`, ...values)
    .toArray()[0] as unknown as RunRow) ?? null;

export const newestRun = (sql: SqlStorage): RunRow | null => one(sql, "1 = 1");
export const runById = (sql: SqlStorage, id: string): RunRow | null => one(sql, "id = ?", id);

/** All that are kept, newest first. */
export const keptRuns = (sql: SqlStorage): RunRow[] =>
  sql.exec(`SELECT ${COLUMNS} FROM run ORDER BY n DESC LIMIT ?`, KEPT_RUNS).toArray() as unknown as RunRow[];

/** The run that goes on, or null. */
export function liveRun(sql: SqlStorage): RunRow | null {
  const run = newestRun(sql);
  return run && !isOver(run.status) ? run : null;
}

export interface NewInput {
  run_id: string;
  input_id: string | null;
  prompt: string;
  at: number;
}

/**
 * Takes an INPUT: a new run, one that joins the run under way, or one that came before (`again`: the same input_id makes no
 * second run). `full`: too many joined.
 */
export function acceptInput(
  sql: SqlStorage,
  input: NewInput,
): { run: RunRow; how: "started" | "joined" | "again" | "full" } {
  if (input.input_id !== null) {
    const known = knownInput(sql, input.input_id);
    if (known) return { run: known, how: "again" };
  }
  const live = liveRun(sql);
  if (live) {
    const prompts = JSON.parse(live.prompts) as string[];
    if (prompts.length > MAX_JOINED) return { run: live, how: "full" };
    prompts.push(input.prompt);
    sql.exec("UPDATE run SET prompts = ? WHERE n = ?", JSON.stringify(prompts), live.n);
    if (input.input_id !== null) joinedInput(sql, input.input_id, live.id);
    return { run: { ...live, prompts: JSON.stringify(prompts) }, how: "joined" };
  }
  sql.exec(
    "INSERT INTO run (id, input_id, prompts, status, created, sent_at) VALUES (?, ?, ?, 'queued', ?, ?)",
    input.run_id,
    input.input_id,
    JSON.stringify([input.prompt]),
    input.at,
    input.at,
  );
  const run = newestRun(sql)!;
  sql.exec("DELETE FROM run WHERE n <= ?", run.n - KEPT_RUNS);
  sql.exec("DELETE FROM joined WHERE run NOT IN (SELECT id FROM run)");
  return { run, how: "started" };
}

export const JOINED_SCHEMA =
  "CREATE TABLE IF NOT EXISTS joined (input_id TEXT PRIMARY KEY, run TEXT NOT NULL) WITHOUT ROWID";
const joinedInput = (sql: SqlStorage, inputId: string, run: string): unknown =>
  sql.exec("INSERT OR IGNORE INTO joined (input_id, run) VALUES (?, ?)", inputId, run);

function knownInput(sql: SqlStorage, inputId: string): RunRow | null {
  const direct = one(sql, "input_id = ?", inputId);
  if (direct) return direct;
  const run = sql.exec("SELECT run FROM joined WHERE input_id = ?", inputId).toArray()[0]?.["run"];
  return run === undefined ? null : runById(sql, run as string);
}

/** What an executor gets. `retry_at`: somebody else has it, Reveille ms. */
export type Claimed =
  | { state: "mine"; token: string; prompts: string[]; attempts: number; resume: string | null }
  | { state: "over" }
  | { state: "parked" }
  | { state: "busy"; retry_at: number }
  | { state: "given_up" };

function resumeOf(run: RunRow): string | null {
  const kept = (JSON.parse(run.answers) as Record<string, unknown>)[RESUME];
  return typeof kept === "string" ? kept : null;
}

/** Takes a run for one executor at a time. `leaseMs` in Reveille ms. */
export function claimRun(sql: SqlStorage, id: string, token: string, now: number, leaseMs: number): Claimed {
  const run = runById(sql, id);
  if (!run || isOver(run.status)) return { state: "over" };
  if (run.status === "waiting_approval") return { state: "parked" };
  if (run.lease_until !== null && run.lease_until > now) return { state: "busy", retry_at: run.lease_until };
  if (run.attempts >= MAX_ATTEMPTS) return { state: "given_up" };
  sql.exec(
    "UPDATE run SET status = 'running', token = ?, lease_until = ?, attempts = attempts + 1, sends = 0, started = COALESCE(started, ?) WHERE n = ?",
    token,
    now + leaseMs,
    now,
    run.n,
  );
  return {
    state: "mine",
    token,
    prompts: JSON.parse(run.prompts) as string[],
    attempts: run.attempts + 1,
    resume: resumeOf(run),
  };
}

/** Whether this executor still has the run; its lease is drawn out, at most once a tenth of it (a row write each). */
export function holdsRun(sql: SqlStorage, id: string, token: string, now: number, leaseMs: number): boolean {
  const run = runById(sql, id);
  if (run?.status !== "running" || run.token !== token) return false;
  if ((run.lease_until ?? 0) < now + leaseMs * 0.9)
    sql.exec("UPDATE run SET lease_until = ? WHERE n = ?", now + leaseMs, run.n);
  return true;
}

export interface Outcome {
  status: "done" | "failed" | "interrupted";
  result: string | null;
  error: string | null;
}

export type Finished =
  | { state: "ended"; run: RunRow }
  | { state: "more"; prompts: string[] }
  | { state: "lost" }
  | { state: "again" };

/**
 * Ends a run once. `seen`: how many prompts the executor has answered; those that joined meanwhile come back as `more`.
 * `again`: this same executor ended it before (its answer was lost on the way).
 */
export function finishRun(
  sql: SqlStorage,
  id: string,
  token: string,
  outcome: Outcome,
  seen: number,
  now: number,
): Finished {
  const run = runById(sql, id);
  if (!run || run.token !== token) return { state: "lost" };
  if (isOver(run.status)) return { state: "again" };
  if (run.status !== "running") return { state: "lost" };
  const prompts = JSON.parse(run.prompts) as string[];
  if (outcome.status === "done" && prompts.length > seen) return { state: "more", prompts: prompts.slice(seen) };
  return { state: "ended", run: endRun(sql, run, outcome, now) };
}

/** Ends a run that nobody holds, or whose executor is not asked (interrupt, gave up). */
export function endRun(sql: SqlStorage, run: RunRow, outcome: Outcome, now: number): RunRow {
  sql.exec(
    "UPDATE run SET status = ?, result = ?, error = ?, finished = ?, lease_until = NULL, pending = NULL WHERE n = ?",
    outcome.status,
    outcome.result,
    outcome.error,
    now,
    run.n,
  );
  return { ...run, ...outcome, finished: now, lease_until: null, pending: null };
}

/** Gives a run back after its executor failed; another's claim is left alone. */
export const releaseRun = (sql: SqlStorage, id: string, token: string): unknown =>
  sql.exec("UPDATE run SET lease_until = NULL WHERE id = ? AND token = ? AND status = 'running'", id, token);

/** A question to the client that the run waits for. `key` is the same each time the executor comes to it. */
export interface Question {
  key: string;
  /** The frame shown: approval_needed, ask_user, plan_review or ulw_turns_reached, with its `id`. */
  frame: { type: string; id: string } & Record<string, unknown>;
  /** What the executor that takes the run up after the answer must know; nobody else reads it. */
  resume?: string;
}

/** The key of `resume` among the answers of a run. */
const RESUME = "$resume";

/** Which frame answers which question. */
export const ANSWERED_BY: Record<string, string> = {
  approval_needed: "APPROVAL_RESPONSE",
  ask_user: "ASK_USER_RESPONSE",
  plan_review: "PLAN_REVIEW_RESPONSE",
  ulw_turns_reached: "ULW_RESPONSE",
};

/** Parks a run at a question and gives up its lease. False when this executor does not have it. */
export function parkRun(sql: SqlStorage, id: string, token: string, question: Question): boolean {
  const run = runById(sql, id);
  if (run?.status !== "running" || run.token !== token) return false;
  // A wait for a person is no death of an executor.
  sql.exec(
    "UPDATE run SET status = 'waiting_approval', pending = ?, token = NULL, lease_until = NULL, attempts = 0 WHERE n = ?",
    JSON.stringify(question),
    run.n,
  );
  return true;
}

/** Takes the client's answer to the pending question, once. Null: nothing waits for this kind of answer. */
export function answerQuestion(
  sql: SqlStorage,
  type: string,
  answer: Record<string, unknown>,
  now: number,
): { run: RunRow; question: Question } | null {
  const run = liveRun(sql);
  if (run?.status !== "waiting_approval" || run.pending === null) return null;
  const question = JSON.parse(run.pending) as Question;
  if (ANSWERED_BY[question.frame.type] !== type) return null;
  const answers = {
    ...(JSON.parse(run.answers) as Record<string, unknown>),
    [question.key]: answer,
    [RESUME]: question.resume,
  };
  sql.exec(
    "UPDATE run SET status = 'queued', pending = NULL, answers = ?, sent_at = ?, sends = 1 WHERE n = ?",
    JSON.stringify(answers),
    now,
    run.n,
  );
  return { run, question };
}

/** When a run must be looked at again, Reveille ms; null: nobody is waited for but a person, or it is over. */
export function dueAt(run: RunRow, rate: number): number | null {
  if (run.status === "running" && run.lease_until !== null) return run.lease_until;
  if (run.status !== "queued" && run.status !== "running") return null;
  return run.sent_at + Math.min(SEND_AGAIN_LATEST, SEND_AGAIN * 2 ** (run.sends - 1)) * rate;
}

/** Notes that its queue message is sent (again). A run whose executor died goes back to the queue. */
export const noteSent = (sql: SqlStorage, run: RunRow, now: number): unknown =>
  sql.exec(
    "UPDATE run SET status = 'queued', token = NULL, lease_until = NULL, sent_at = ?, sends = sends + 1 WHERE n = ?",
    now,
    run.n,
  );
