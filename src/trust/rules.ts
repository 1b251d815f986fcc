import type { Condition, OnSuccess, Policy, Trigger, Who } from "./policy.types";
import type { ClientLevel, Counters, DecidedBy, OnboardOffer } from "./types";

/** What the rules say: pure, over facts that somebody else read. No rule promotes to the whitelist or makes an admin. */

export interface Facts {
  level: ClientLevel;
  admin: boolean;
  /** The agent's own address. */
  self: boolean;
  has_code: boolean;
  has_payment: boolean;
  counters: Counters;
  /** An admin still has to answer a proposal about this client. */
  review: boolean;
  /** What was checked so far; undefined = not yet. */
  invite?: boolean | undefined;
  payment?: boolean | undefined;
}

/** What a decision changes beside its answer. */
export type Effect = "onboard" | "promote" | "demote" | "block" | null;

export type Step =
  | { do: "verify"; which: "invite" | "payment" }
  | { do: "ask"; why: string }
  | {
      do: "final";
      allow: boolean;
      reason: string;
      by: DecidedBy;
      /** Which line of the file, in words. */
      rule: string;
      effect: Effect;
      /** The file asks for the whitelist: an admin is asked. */
      propose_whitelist: boolean;
    };

type Final = Extract<Step, { do: "final" }>;

const final = (allow: boolean, by: DecidedBy, rule: string, more: Partial<Final> = {}): Final => ({
  do: "final",
  allow,
  by,
  rule,
  reason: allow ? "Allowed by fast rules" : "Denied by fast rules",
  effect: null,
  propose_whitelist: false,
  ...more,
});

/** Five denials within 24 h, or a request a minute all day long. */
const SUSPICIOUS = { denied: 5, requests: 1_440 };

/** The next step for a client: a final answer, a check to make first, or tier two. Blocked is asked before any line of the file. */
export function evaluate(policy: Policy, facts: Facts): Step {
  if (facts.level === "blocked" && !facts.self) return final(false, "blocked", "blocked");
  return policy.grammar === "rules" ? byRules(policy, facts) : byLists(policy, facts);
}

const holds: Record<Condition, (f: Facts) => boolean> = {
  has_invite_code: (f) => f.has_code,
  has_payment: (f) => f.has_payment,
  is_blocked: (f) => f.level === "blocked",
  is_admin: (f) => f.admin,
  is_whitelist: (f) => f.level === "whitelist",
  is_contact: (f) => f.level === "contact",
  is_stranger: (f) => f.level === "stranger",
  always: () => true,
};

function byRules(policy: Extract<Policy, { grammar: "rules" }>, f: Facts): Step {
  for (const r of policy.rules) {
    if (!holds[r.if](f)) continue;
    const name = `rule ${r.n} (${r.if}: ${r.action})`;
    const by = r.if === "is_admin" || r.action === "require_admin" ? "admin" : "rule";
    switch (r.action) {
      case "allow":
        return final(true, by, name);
      case "deny":
        return final(false, by, name);
      case "require_admin":
        return final(f.admin, by, name);
      case "promote":
        return final(true, by, name, { effect: "promote" });
      case "demote":
        return final(false, by, name, { effect: "demote" });
      case "block":
        return final(false, by, name, { effect: "block" });
      case "verify_invite":
      case "verify_payment": {
        const which = r.action === "verify_invite" ? "invite" : "payment";
        const step = verify(policy, f, which, name, r.on_success);
        if (step) return step;
        break;
      }
      default:
        r.action satisfies never;
    }
  }
  const trigger = policy.use_agent.find((t) => fires(t, f));
  if (trigger) return { do: "ask", why: trigger.reason };
  return final(false, "default", "no rule matched");
}

/** A check of a code or a payment: to be made, passed, or null when it failed and the next line counts. */
function verify(
  { doors }: Policy,
  f: Facts,
  which: "invite" | "payment",
  rule: string,
  on_success: OnSuccess | null,
): Step | null {
  const carried = which === "invite" ? f.has_code && doors.codes.length > 0 : f.has_payment && doors.price !== null;
  if (!carried || f[which] === false) return null;
  if (f[which] === undefined) return { do: "verify", which };
  return final(true, "rule", rule, {
    effect: on_success ? "onboard" : null,
    propose_whitelist: on_success === "promote_to_whitelist",
  });
}

function fires(t: Trigger, f: Facts): boolean {
  if (t.kind === "requests") return f.counters.requests_24h > t.more_than;
  if (t.kind === "manual_review") return f.review;
  return f.counters.denied_24h >= SUSPICIOUS.denied || f.counters.requests_24h > SUSPICIOUS.requests;
}

const isOne = (who: Who, f: Facts): boolean => (who === "admin" ? f.admin : f.level === who);

function byLists(policy: Extract<Policy, { grammar: "lists" }>, f: Facts): Step {
  const bad = policy.deny.find((who) => isOne(who, f));
  if (bad && !(f.self && bad === "blocked")) return final(false, "rule", `deny: ${bad}`);
  const good = policy.allow.find((who) => isOne(who, f));
  if (good) return final(true, good === "admin" ? "admin" : "rule", `allow: ${good}`);
  for (const which of ["invite", "payment"] as const) {
    const step = verify(policy, f, which, `onboard: ${which}`, "promote_to_contact");
    if (step) return step;
  }
  if (policy.default === "allow") return final(true, "default", "default: allow");
  if (policy.default === "ask")
    return open(policy)
      ? final(false, "default", "default: ask, and a door is open", { reason: "Onboard required" })
      : { do: "ask", why: "default: ask" };
  return final(false, "default", "default: deny");
}

const open = ({ doors }: Policy): boolean => doors.codes.length > 0 || doors.price !== null;

/** The doors that would let this client in: only those a proof of which the policy would honour. Null when there is none. */
export function offer(policy: Policy, f: Facts): OnboardOffer | null {
  const opens = (proof: Partial<Facts>): boolean => {
    const step = evaluate(policy, { ...f, has_code: false, has_payment: false, ...proof });
    return step.do === "final" && step.allow;
  };
  const { codes, price } = policy.doors;
  const invite = codes.length > 0 && opens({ has_code: true, invite: true });
  const payment = price !== null && opens({ has_payment: true, payment: true });
  if (!invite && !payment) return null;
  return {
    methods: [...(invite ? ["invite_code"] : []), ...(payment ? ["payment"] : [])],
    ...(payment ? { payment_amount: price } : {}),
  };
}
