import type { ReasoningError, Rung } from "../types";
import type { Intent } from "./intents";

/** Where a question came from, and so where its answer goes. */
export type AskSource = "inbox" | "slack_dm" | "email" | "api" | "run";

/** Longest question, UTF-16 units. Longer ones are refused (API, page) or cut (Slack, mail). */
export const MAX_QUESTION = 2_000;

/** Kinds of rows an answer may cite. */
export const CITE_KINDS = [
  "target",
  "incident",
  "wake",
  "audit",
  "listener",
  "maintenance",
  "budget",
  "switchboard",
] as const;
export type CiteKind = (typeof CITE_KINDS)[number];

/** One live row behind an answer; `path` is its operator page. It existed when the answer was made. */
export interface Cite {
  kind: CiteKind;
  id: string;
  label: string;
  path: string;
}

/** What the built-in agent says to one question, as stored in `ask.answer`. */
export interface Answer {
  text: string;
  /** The model that answered, or `by rules`. */
  engine: string;
  intent: Intent | null;
  cites: Cite[];
  /** Reveille time of the state it is read from, ms. */
  as_of: number;
  /** Citations of the model that named no row. */
  dropped: number;
  /** A model's answer of which no citation survived. */
  guess: boolean;
  /** Why rules answered although a model was wanted, or null. */
  reasoning_error: ReasoningError | null;
  usd: number | null;
  ms: number;
}

/** The label of every answer that no model made. */
export const BY_RULES = "by rules";

/** The month's budget as an answer tells it, US dollars. */
export interface BudgetFacts {
  pool: number;
  spent: number;
  reserved: number;
  left: number;
  rung: Rung;
}

/** A question as stored. Times are Reveille ms. */
export interface AskRow {
  id: string;
  source: AskSource;
  source_ref: string | null;
  thread: string | null;
  by: string;
  question: string;
  state: "new" | "claimed" | "answered" | "failed";
  answer: string | null;
  created_at: number;
  lease_until: number | null;
  answered_at: number | null;
  sent_at: number | null;
  attempts: number;
  sends: number;
  tries: number;
  send_error: string | null;
}
