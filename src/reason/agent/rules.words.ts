import { duration, plainSpaces, utcMinute } from "../../kernel/format";
import { plain } from "../../notify";
import type { Claim } from "./cites";
import { isBlind, type LiveState } from "./state";

/** What all rules say things with. */

export interface RuleAnswer {
  text: string;
  claims: Claim[];
}

export const span = (ms: number): string => plainSpaces(duration(Math.max(0, ms)));
export const name = (text: string): string => plain(text).slice(0, 80);
export const claim = (kind: Claim["kind"], id: string): Claim => ({ kind, id });
export const plural = (n: number, one: string): string => `${n} ${one}${n === 1 ? "" : "s"}`;
/** How many things one sentence lists before it says how many more there are. */
export const LISTED = 6;
export const more = (n: number): string => (n > LISTED ? `, and ${n - LISTED} more` : "");

/** What stands before every answer about states while nobody looks. */
export function blindLine(state: LiveState, now: number): string {
  return isBlind(state, now)
    ? `Reveille has not looked for ${span(now - state.looked_at)}; what follows is from ${utcMinute(state.looked_at, now)}.\n`
    : "";
}
