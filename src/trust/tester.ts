import type { Runtime } from "../kernel/runtime";
import { readFacts } from "./decide";
import { codeFits } from "./doors";
import { parsePolicy } from "./policy";
import type { Policy } from "./policy.types";
import { evaluate, type Facts, offer } from "./rules";
import type { ClientLevel, OnboardOffer } from "./types";

/** "What would happen if": the rules over a real client's facts, or over a level that is only supposed. Changes nothing. */

export interface TestAsk {
  client_id: string;
  /** Leave out to use the client's own. */
  level?: ClientLevel | undefined;
  invite_code?: string | undefined;
  /** Suppose that the verifier said yes or no to a payment. */
  payment?: "proven" | "unproven" | undefined;
  /** A policy to try instead of the one in force. */
  policy?: string | undefined;
}

export interface TestResult {
  /** `ask`: tier two would be asked; it is not asked here. */
  outcome: "allow" | "deny" | "ask";
  rule: string;
  reason: string;
  by: string;
  level: ClientLevel;
  changes: string | null;
  onboard: OnboardOffer | null;
}

/** @throws ReveilleError 400 `bad_policy` for a policy given here. */
export async function testPolicy(
  deps: { db: D1Database; runtime: Runtime; policy: Policy | { error: string }; self?: string | undefined },
  ask: TestAsk,
): Promise<TestResult> {
  const policy = ask.policy ? await parsePolicy(ask.policy, deps.runtime.vars) : deps.policy;
  const { standing, counters, review } = await readFacts(deps.db, ask.client_id, deps.runtime.clock.now());
  const level = ask.level ?? standing.level;
  if ("error" in policy) {
    const reason = "misconfigured: the trust policy can't be read";
    return { outcome: "deny", rule: policy.error, reason, by: "default", level, changes: null, onboard: null };
  }
  const self = ask.client_id === deps.self;
  const code = ask.invite_code ?? "";
  const facts: Facts = {
    level,
    admin: self || standing.admin,
    self,
    has_code: code !== "",
    has_payment: ask.payment !== undefined,
    counters,
    review,
    invite: code !== "" && (await codeFits(policy.doors.codes, code)),
    payment: ask.payment === "proven",
  };
  const step = evaluate(policy, facts);
  if (step.do !== "final") {
    const why = step.do === "ask" ? step.why : step.which;
    return { outcome: "ask", rule: why, reason: "Tier two decides", by: "llm", level, changes: null, onboard: null };
  }
  const onboard = step.allow || step.by === "blocked" ? null : offer(policy, facts);
  const changes =
    step.effect === "onboard" || step.effect === "promote"
      ? level === "stranger"
        ? "becomes a contact"
        : null
      : step.effect === "demote"
        ? "becomes a stranger"
        : step.effect === "block"
          ? "is blocked"
          : null;
  const { rule, reason, by, allow } = step;
  return { outcome: allow ? "allow" : "deny", rule, reason, by, level, changes, onboard };
}
