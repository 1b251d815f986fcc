import type { HomeState } from "./home.store";
import { expiresAt, isOver, type RunRow } from "./results";
import type { Question } from "./run";

/** A session as an operator sees it. Prompts and results are told by their size; times are Reveille ms, of lines wall ms. */
export interface SessionView {
  session_id: string;
  owner: string | null;
  /** The address that answers it; null: our own agent has no key. */
  agent: string | null;
  built_in: boolean;
  status: string;
  mode: string | null;
  created: number;
  /** When all of it is forgotten; null while a run goes on. */
  expires: number | null;
  /** Newest first. */
  runs: RunView[];
  lines: LineView[];
  log: { first: number; last: number; tail: EventView[] };
}

export interface RunView {
  id: string;
  status: string;
  created: number;
  finished: number | null;
  /** Inputs that share its one result. */
  inputs: number;
  /** Bytes of UTF-8; null: no result. */
  result_bytes: number | null;
  error: string | null;
  /** What it waits for a person to answer, or null. */
  waits_for: string | null;
}

export interface LineView {
  id: string;
  from: string | null;
  /** Another object holds the socket. */
  lent: boolean;
  opened_at: number | null;
  /** At most ten seconds old; null: its holder did not say. */
  heard_at: number | null;
}

export interface EventView {
  seq: number;
  type: string;
  /** Epoch ms, as its sender said; null: it did not. */
  at: number | null;
  text: string;
}

/** What a line's holder knows of it. */
export interface LineInfo {
  opened_at: number;
  heard_at: number;
}

/** A line that said nothing for this long is shown as stale, and never closed for it (design §11). Wall ms. */
export const STALE_AFTER = 60_000;
/** How precisely that is known: each note of it is kept with the socket. */
export const HEARD_EVERY = 10_000;

/** Events shown of a log, and characters of each. */
export const TAIL = 50;
const EVENT_TEXT = 600;

export const bytesOf = (text: string | null): number | null =>
  text === null ? null : new TextEncoder().encode(text).length;

export function eventView({ seq, text }: { seq: number; text: string }): EventView {
  const frame = JSON.parse(text) as Record<string, unknown>;
  const { type, ts } = frame;
  return {
    seq,
    type: typeof type === "string" ? type : "",
    at: typeof ts === "number" && Number.isFinite(ts) ? ts * 1000 : null,
    text: text.length > EVENT_TEXT ? `${text.slice(0, EVENT_TEXT).toWellFormed()}…` : text,
  };
}

export function runView(run: RunRow): RunView {
  const { id, created, finished, error } = run;
  return {
    ...{ id, created, finished, error },
    status: run.status === "queued" ? "running" : run.status,
    inputs: (JSON.parse(run.prompts) as string[]).length,
    result_bytes: bytesOf(run.result),
    waits_for: run.pending === null ? null : waitsFor(JSON.parse(run.pending) as Question),
  };
}

const waitsFor = ({ frame }: Question): string =>
  [frame.type, frame["tool"]].filter((x): x is string => typeof x === "string").join(" ");

/** The state of a session of our own agent; null when there is nothing to show. */
export function stateView(state: HomeState | null, runs: RunRow[], ttlMs: number) {
  if (!state) return null;
  const [newest] = runs;
  const expires = newest ? (isOver(newest.status) ? expiresAt(newest, ttlMs) : null) : state.created + ttlMs;
  return {
    session_id: state.id,
    owner: state.owner,
    status: newest ? runView(newest).status : "connected",
    mode: state.mode,
    created: state.created,
    expires,
    runs: runs.map(runView),
  };
}
