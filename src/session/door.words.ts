import { MINUTE } from "../kernel/clock";
import { attachmentProblem } from "./attachments";
import type { LineState } from "./door.types";
import { MAX_PROMPT } from "./run";

/** An ERROR as hosts send it: clients read `message`, those behind relays `error`. */
export const errorFrame = (text: string): { type: "ERROR"; message: string; error: string } => ({
  type: "ERROR",
  message: text,
  error: text,
});

/** A line nobody has proven anything on, just accepted. Times are wall ms. */
export const newLine = (
  id: string,
  own: string,
  direct: boolean,
  now: number,
  pingAt: number,
  ip: string,
): LineState => ({
  id,
  own,
  path: direct ? "direct" : "stock",
  opened_at: now,
  heard_at: now,
  ping_at: pingAt,
  from: null,
  level: null,
  admin: false,
  signed: false,
  to: null,
  named: null,
  home: null,
  sent: 0,
  held: null,
  skip_empty: false,
  each: false,
  ip,
  epoch: null,
  n: 0,
  seq: 0,
});

/** A line must say who it is within this long; a person who looks for an invite code gets more. Wall ms. */
const SILENT = MINUTE;
const ONBOARDING = 10 * MINUTE;

/** Why a line that has proven nothing is closed now, or null. */
export function silentLine(line: LineState, now: number): string | null {
  if (line.from !== null || now - line.opened_at < (line.held === null ? SILENT : ONBOARDING)) return null;
  return "unauthorized: nobody has connected on this line";
}

export const PROMPT_REQUIRED = "prompt required";

/** Why this agent does not take an input, or null; the same words on every way in. */
export function inputProblem(value: Record<string, unknown>): string | null {
  const { prompt, payload } = value;
  // First: an input of images alone must hear of them, also where an empty one is passed over.
  const attached = attachmentProblem(value, payload);
  if (attached !== null) return attached;
  if (typeof prompt !== "string" || prompt.trim() === "") return PROMPT_REQUIRED;
  return prompt.length > MAX_PROMPT ? `prompt too long: at most ${MAX_PROMPT} characters` : null;
}
