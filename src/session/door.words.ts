import { MINUTE } from "../kernel/clock";
import type { LineState } from "./door.types";

/** An ERROR as hosts send it: clients read `message`, those behind relays `error`. */
export const errorFrame = (text: string): { type: "ERROR"; message: string; error: string } => ({
  type: "ERROR",
  message: text,
  error: text,
});

/** A line nobody has proven anything on, just accepted. Times are wall ms. */
export const newLine = (id: string, own: string, direct: boolean, now: number, pingAt: number): LineState => ({
  id,
  own,
  path: direct ? "direct" : "stock",
  opened_at: now,
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
