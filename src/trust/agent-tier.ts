import { describe } from "../kernel/errors";
import { newId } from "../kernel/ids";
import { plain } from "../notify";
import { type SpendDeps, spend, withoutLinks } from "../reason";
import { type TierInput, type TierVerdict, tierInput, tierVerdict } from "./types";

/**
 * Tier two: a model judges a client that no rule could (`connectonion.md` (f)). It is shown an address, a level, our own
 * counters and the operator's policy text; no prompt, code, payment or other word of the caller, and it has no tools. It can
 * change nothing: this file imports no store of trust (test/node/trust-structure.test.ts).
 */

/** Wall ms for the whole judgement (design §2). */
export const TIER_LIMIT = 10_000;
const MAX_REASON = 200;

const RULES = [
  "You decide whether a client of an agent may be served right now, by the policy below and nothing else.",
  "You know the client's verified address, its level and counters. You can't see what it asks for, and must not guess.",
  "When the policy does not clearly allow, deny.",
  'Answer with one JSON object and nothing else: {"allow": true or false, "reason": "one short sentence"}.',
  'You may add "propose": "promote" or "block" when an administrator should look at this client. It changes nothing by itself.',
].join("\n");

const denied = (failed: string): TierVerdict => ({ allow: false, reason: "Trust could not be judged.", failed });

/** Judges one client. Never throws: what is not a clear, well-formed allow within 10 s is a denial. */
export async function judge(deps: SpendDeps, raw: unknown): Promise<TierVerdict> {
  const parsed = tierInput.safeParse(raw);
  if (!parsed.success) return denied("bad_input");
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<TierVerdict>((resolve) => {
    timer = setTimeout(() => resolve(denied("timeout")), TIER_LIMIT);
  });
  try {
    return await Promise.race([ask(deps, parsed.data), late]);
  } catch (error) {
    deps.runtime.log("error", "trust.tier_failed", { error: describe(error) });
    return denied("error");
  } finally {
    clearTimeout(timer);
  }
}

async function ask(deps: SpendDeps, input: TierInput): Promise<TierVerdict> {
  const { runtime } = deps;
  const result = await spend(deps, {
    call_id: `trust:${newId(runtime.clock.now())}`,
    route: "trust",
    system: `${RULES}\n\n# Policy\n\n${input.policy || "(The policy has no text. Deny.)"}`,
    prompt: JSON.stringify({ client_id: input.client_id, level: input.level, counters: input.counters }),
    tools: [],
    max_output_tokens: 300,
    max_steps: 1,
    timeout_ms: TIER_LIMIT - 500,
  });
  if (!result.ok) return denied(result.error);
  if (result.truncated) return denied("truncated");
  const verdict = tierVerdict.safeParse(jsonOf(result.text));
  if (!verdict.success) return denied("invalid_output");
  const { allow, reason, propose } = verdict.data;
  const said = withoutLinks(plain(runtime.redact.text(reason))).slice(0, MAX_REASON);
  return { allow, reason: said || "No reason given.", ...(propose ? { propose } : {}) };
}

/** The one JSON object of an answer; a code fence around it is forgiven, anything else is not. */
function jsonOf(text: string): unknown {
  const body = /^\s*```(?:json)?\s*([\s\S]*?)\s*```\s*$/.exec(text)?.[1] ?? text;
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
