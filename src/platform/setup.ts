import { appVar } from "../kernel/config";
import type { SendDeps } from "./call";
import type { BotIdentity, OpResult } from "./types";

/** What the set-up check of a platform finds (design §8): what is set, what is missing, in words for a person. */

export interface Check {
  check: string;
  ok: boolean;
  detail: string;
}

export interface Checked {
  /** Null: the platform did not tell. */
  bot: BotIdentity | null;
  state: "ok" | "unset" | "refused" | "unreachable";
  checks: Check[];
}

/** How one platform is set up. `webhook`: our public URL of the app, without a tail. */
export interface Setup {
  check(d: SendDeps, webhook: string): Promise<Checked>;
  /** Tells the platform what it can be told by a call: its webhook, its commands. Returns what was done, or why not. */
  connect?(d: SendDeps, webhook: string): Promise<OpResult & { done?: string }>;
}

/** One line per variable; `optional` ones are told of and do not fail. */
export function variables(d: SendDeps, names: readonly string[], optional: readonly string[] = []): Check[] {
  return [...names, ...optional].map((name) => {
    const set = appVar(d.runtime.vars, name, d.app) !== "";
    const more = optional.includes(name) ? "not set (optional)" : "not set: npx wrangler secret put, or .dev.vars";
    return { check: name, ok: set || optional.includes(name), detail: set ? "set" : more };
  });
}

/** What a failed call says of the whole. */
export const failedAs = (fail: OpResult): "refused" | "unreachable" =>
  fail.error_code === "no_answer" || fail.error_code === "unavailable" || fail.retryable ? "unreachable" : "refused";

export const same = (check: string, seen: string | null, wanted: string, hint: string): Check => ({
  check,
  ok: seen === wanted,
  detail: seen === wanted ? wanted : `${seen ? `it is ${seen}` : "none"}; should be ${wanted}. ${hint}`,
});

/** The state of an answer that came: everything found in order, or something is missing. */
export const stateOf = (checks: readonly Check[]): "ok" | "unset" => (checks.every((c) => c.ok) ? "ok" : "unset");
