import { DAY } from "../kernel/clock";
import { utf8 } from "../kernel/crypto";
import { money, plainSpaces } from "../kernel/format";
import type { BudgetAsk, Price, Route, Rung } from "./types";

/** The rules of money, without a store: rungs, routing, worst cases, caps (`kora-watch.md` §7). Money is USD. */

/** An operator hears of these shares of the pool, each once a month. */
export const THRESHOLDS = [50, 75, 90, 100] as const;
/** Calls for one incident within 24 h. */
export const INCIDENT_CALLS_A_DAY = 6;
/** What all tool results of one call may add to its input, bytes. The engine cuts there. */
export const TOOL_BYTES = 16 * 1024;

/** Where spending stands; reservations count, because they may become spending at any moment. */
export function rungOf(used: number, pool: number): Rung {
  if (!(pool > 0) || used >= pool) return "hard_stop_100";
  if (used >= 0.9 * pool) return "downshift_90";
  return used >= 0.75 * pool ? "warn_75" : "normal";
}

/** `2026-11`: months are UTC. */
export const monthOf = (at: number): string => new Date(at).toISOString().slice(0, 7);

export const monthStart = (at: number): number => {
  const d = new Date(at);
  return Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), 1);
};

export const nextMonth = (at: number): number => {
  const d = new Date(at);
  return Date.UTC(d.getUTCFullYear(), d.getUTCMonth() + 1, 1);
};

/** Language that asks for a judgement rather than a fact. */
const DECISION =
  /\b(should (i|we|it)|decide|decision|trade-?offs?|pros and cons|recommend(ation)?|root cause|strategy|weigh|worth (it|doing)|which (is|option|would)|compare)\b/i;

/** Words of an answer that knows it is none. */
const UNCERTAIN =
  /\b(i('m| am) (not sure|not certain|unsure|uncertain)|(it('s| is) )?unclear|i (do not|don't|can not|cannot|can't) (know|tell|determine|say)|(not enough|insufficient) (information|context|data|evidence)|hard to (say|tell))\b/i;

export interface Choice {
  rung: Rung;
  route: Route;
  /** Round of a tool loop that the caller runs itself, from 0. */
  iteration?: number | undefined;
  /** A command in front of the question, e.g. `/opus`. */
  prefix?: string | null | undefined;
  /** REVEILLE_FORCE_LARGE. */
  force?: boolean | undefined;
  /** The operator's own words; vendor text never chooses the model. */
  question?: string | null | undefined;
}

/** Which model a call gets, and why; null = no call at all. The order is that of `kora-watch.md` §7. */
export function chooseModel(c: Choice): { size: "small" | "large"; why: string } | null {
  if (c.rung === "hard_stop_100") return null;
  if (c.rung !== "normal") return { size: "small", why: c.rung };
  if (c.force) return { size: "large", why: "forced" };
  if ((c.iteration ?? 0) >= 2) return { size: "large", why: "tool_loop" };
  if (c.prefix?.trim().toLowerCase() === "/opus") return { size: "large", why: "opus_prefix" };
  if (c.question && DECISION.test(c.question)) return { size: "large", why: "decision_language" };
  return { size: "small", why: "default" };
}

/** Why the small model's first answer should be asked again of the large one, once; null = it stands. */
export function needsEscalation(c: { rung: Rung; input: string; answer: string }): "uncertain" | "too_short" | null {
  if (c.rung !== "normal") return null;
  if (UNCERTAIN.test(c.answer)) return "uncertain";
  return c.input.length > 200 && c.answer.trim().length < 50 ? "too_short" : null;
}

/** No tokenizer makes more tokens than bytes; the frame of messages, tools and the provider's own words comes on top. */
export const inputBound = (texts: string[], tools: number): number =>
  texts.reduce((n, t) => n + utf8(t).length, 0) + 200 + (tools > 0 ? 1_000 + 100 * tools : 0);

/**
 * The most a call can cost: every step sends the whole input again, with the answers of the steps before and all tool results
 * allowed, at the dearest input rate, and answers to its limit. Tokens; `growth` = tokens tool results may add in all.
 */
export function worstCase(price: Price, input: number, maxOutput: number, steps: number, growth = 0): number {
  const rate = Math.max(price.input, price.cache_write, price.cache_read);
  const sent = steps * input + Math.max(0, steps - 1) * growth + ((steps * (steps - 1)) / 2) * maxOutput;
  return (sent * rate + steps * maxOutput * price.output) / 1_000_000;
}

/** Most that judging unknown clients may cost within 24 h, USD: whoever makes up addresses must not empty the month's pool. */
export const TRUST_DAILY_USD = 1;

/** Routes that may not use up the month on one bad day. */
export const routeCap = (route: Route, investigationDailyUsd: number): number | null =>
  route === "probe_investigation" ? investigationDailyUsd : route === "trust" ? TRUST_DAILY_USD : null;

/** What the decision over a reservation needs. `used` sums count open reservations in full. */
export interface AskFacts {
  pool: number;
  /** Spent and reserved in the month of the ask. */
  month_used: number;
  /** The same for the ask's route within the last 24 h. */
  route_day_used: number;
  cap: number | null;
  /** Calls for the ask's incident within the last 24 h. */
  incident_calls: number;
}

/** Floating sums of a few thousand calls are wrong in the last digits; a nanodollar is below any price. */
const NANO = 1e-9;

/** Why a reservation is refused, or null. Fails closed on any number that is none. */
export function refusal(
  ask: Pick<BudgetAsk, "model" | "worst_usd" | "route" | "incident_id">,
  f: AskFacts,
): {
  error: "cost_ladder_halted" | "unpriced_model";
  why: string;
  what: "price" | "pool" | "route" | "incident";
} | null {
  const worst = ask.worst_usd;
  if (worst === null || !Number.isFinite(worst) || worst < 0)
    return { error: "unpriced_model", what: "price", why: `${ask.model} has no price. Add it to REVEILLE_PRICES.` };
  const usd = (n: number): string => plainSpaces(money(n));
  if (!(f.pool > 0) || f.month_used + worst > f.pool + NANO)
    return {
      error: "cost_ladder_halted",
      what: "pool",
      why: `This call may cost ${usd(worst)}; ${usd(Math.max(0, f.pool - f.month_used))} of the month's ${usd(f.pool)} is left.`,
    };
  if (f.cap !== null && f.route_day_used + worst > f.cap + NANO)
    return {
      error: "cost_ladder_halted",
      what: "route",
      why: `This call may cost ${usd(worst)}; ${ask.route} has used ${usd(f.route_day_used)} of its ${usd(f.cap)} for 24 h.`,
    };
  if (ask.incident_id !== null && f.incident_calls >= INCIDENT_CALLS_A_DAY)
    return {
      error: "cost_ladder_halted",
      what: "incident",
      why: `This incident has had its ${INCIDENT_CALLS_A_DAY} calls for 24 h.`,
    };
  return null;
}

/** True while a call still counts for the sliding 24 h at `now`. */
export const withinDay = (at: number, now: number): boolean => at > now - DAY;

/** Where the month ends at the rate so far; null in its first 24 h, when a rate says nothing. */
export function project(s: {
  at: number;
  spent: number;
  pool: number;
}): { month_usd: number; empty_at: number | null } | null {
  const start = monthStart(s.at);
  const elapsed = s.at - start;
  if (elapsed < DAY) return null;
  const end = nextMonth(s.at);
  const month_usd = (s.spent / elapsed) * (end - start);
  const empty = s.spent > 0 ? start + (s.pool / s.spent) * elapsed : Number.POSITIVE_INFINITY;
  return { month_usd, empty_at: empty < end ? Math.max(s.at, Math.floor(empty)) : null };
}
