import { sha256Hex } from "../kernel/crypto";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { auditFirst, countDecision, countersOf, countersStatement } from "./counters.store";
import { codeFits } from "./doors";
import {
  block,
  demoteToStranger,
  promoteToContact,
  readStanding,
  type Standing,
  standingOf,
  standingStatement,
} from "./levels.store";
import { verifyPayment } from "./payment";
import type { Policy } from "./policy.types";
import { evaluate, type Facts, offer, type Step } from "./rules";
import { ADDRESS, type Counters, type Decision, type Situation, type TierInput, type TierVerdict } from "./types";
import { keepVerdict, proposeStatement, readVerdict, verdictKey } from "./verdict.store";

/** One question, one answer: may this client be served now? Rules first, tier two only where the policy says so. */

export interface TrustDeps {
  db: D1Database;
  runtime: Runtime;
  /** What is in force, or the words of what is wrong with it: then nobody is let in. */
  policy: Policy | { error: string };
  /** Tier two; left out = whoever would need it is denied. */
  reason?: ((input: TierInput) => Promise<TierVerdict>) | undefined;
  /** The agent's own address: always its own super admin. */
  self?: string | undefined;
}

export interface TrustAsk {
  /** Address whose signature was verified. */
  client_id: string;
  situation: Situation;
  invite_code?: string | undefined;
  /** What the client says about a payment: a hint for the verifier, never a proof. */
  payment_proof?: unknown;
}

/** Wall ms the edge waits for tier two (design §2). */
const TIER_WAIT = 10_000;

const shut = (reason: string): Decision => ({
  allow: false,
  reason,
  level: "stranger",
  onboard: null,
  by: "default",
  admin: false,
});

/** A decision before the admin mark is added. */
type Said = Omit<Decision, "admin">;

/**
 * Decides for one verified client. Never throws: a policy or store that can't be read refuses with `misconfigured: ...`. A rule
 * may make a stranger a contact; nothing here gives the whitelist or the admin mark.
 */
export async function decide(deps: TrustDeps, ask: TrustAsk): Promise<Decision> {
  const { runtime, policy } = deps;
  if (!ADDRESS.test(ask.client_id)) return shut("misconfigured: the client's address was not verified");
  if ("error" in policy) return shut("misconfigured: the trust policy can't be read");
  try {
    const { decision, llm, from } = await settle(deps, policy, ask);
    await proven(deps, ask, decision, from, llm).catch((error) =>
      runtime.log("error", "trust.uncounted", { error: describe(error) }),
    );
    runtime.log("info", "trust.decided", {
      client: ask.client_id.slice(0, 10),
      situation: ask.situation,
      allow: decision.allow,
      by: decision.by,
      client_level: decision.level,
    });
    return decision;
  } catch (error) {
    runtime.log("error", "trust.failed", { error: describe(error) });
    return shut("misconfigured: the trust store did not answer");
  }
}

/** The facts of a client in one round trip. */
export async function readFacts(
  db: D1Database,
  client: string,
  now: number,
): Promise<{ standing: Standing; counters: Counters; review: boolean }> {
  const [rows, counts, open] = await db.batch([
    standingStatement(db, client),
    countersStatement(db, client, now),
    db
      .prepare("SELECT 1 FROM trust_proposal WHERE client_id = ? AND state = 'pending' AND expires_at > ? LIMIT 1")
      .bind(client, now),
  ]);
  return {
    standing: standingOf(client, rows!.results as Parameters<typeof standingOf>[1]),
    counters: countersOf(counts!.results as Counters[]),
    review: open!.results.length > 0,
  };
}

/** Counts a decision; the first of its kind in an hour is an audit row. Tier two writes its own, with its reasons. */
async function proven(deps: TrustDeps, ask: TrustAsk, d: Decision, from: string, llm: boolean): Promise<void> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const { allow, by, reason, level } = d;
  const details = {
    ...{ actor: "fast_rule", action: allow ? "allow" : "deny", target: ask.client_id },
    ...{ from_level: from, to_level: level, by, reason, situation: ask.situation },
  };
  const count = countDecision(db, ask.client_id, { allow, llm }, now);
  await db.batch(llm ? [count] : [count, auditFirst(db, ask.client_id, { allow }, now, details)]);
}

interface Settled {
  decision: Decision;
  /** Tier two decided. */
  llm: boolean;
  /** The level before. */
  from: string;
}

async function settle(deps: TrustDeps, policy: Policy, ask: TrustAsk): Promise<Settled> {
  const { db, runtime } = deps;
  const { standing, counters, review } = await readFacts(db, ask.client_id, runtime.clock.now());
  const self = ask.client_id === deps.self;
  const facts: Facts = {
    level: standing.level,
    admin: self || standing.admin,
    self,
    has_code: typeof ask.invite_code === "string" && ask.invite_code !== "",
    has_payment: ask.payment_proof !== undefined && ask.payment_proof !== null,
    counters,
    review,
  };
  // A blocked admin is blocked; the agent itself never is.
  const seal = (said: Said): Decision => ({ ...said, admin: self || (standing.admin && said.level !== "blocked") });
  let reference: string | null = null;
  let step = evaluate(policy, facts);
  while (step.do === "verify") {
    if (step.which === "invite") facts.invite = await codeFits(policy.doors.codes, ask.invite_code ?? "");
    else {
      const paid = await verifyPayment(deps, {
        client_id: ask.client_id,
        agent: deps.self ?? "",
        price: policy.doors.price ?? Number.POSITIVE_INFINITY,
        claim: ask.payment_proof,
      });
      facts.payment = paid.ok;
      reference = paid.ok ? paid.reference : null;
    }
    step = evaluate(policy, facts);
  }
  if (step.do === "ask") {
    // Who shows a code or a payment is answered by a check, never by a model.
    const from = standing.level;
    if (ask.situation === "onboard") return { decision: seal(refusedDoor(policy, facts)), llm: false, from };
    return { decision: seal(await byTier(deps, policy, standing, counters, step.why)), llm: true, from };
  }
  const decision = await finish(deps, policy, ask, facts, standing, step, reference);
  return { decision: seal(decision), llm: false, from: standing.level };
}

/** Carries out what the rules said. Effects are written before the answer leaves. */
async function finish(
  deps: TrustDeps,
  policy: Policy,
  ask: TrustAsk,
  facts: Facts,
  standing: Standing,
  step: Extract<Step, { do: "final" }>,
  reference: string | null,
): Promise<Said> {
  let level = standing.level;
  const rule = { kind: "rule" as const, name: `fast_rule: ${step.rule}` };
  const id = ask.client_id;
  switch (step.effect) {
    case "onboard": {
      const by = facts.invite
        ? { ...rule, kind: "invite" as const, invite_hash: await codeHash(ask.invite_code!) }
        : { ...rule, kind: "payment" as const, payment_reference: reference };
      const done = await promoteToContact(deps, id, by);
      level = done.standing.level;
      // Blocked while the code was checked: the block stands.
      if (level === "blocked" && !facts.self) return refusal(policy, ask, facts, level, "blocked");
      break;
    }
    case "promote":
      level = (await promoteToContact(deps, id, rule)).standing.level;
      if (level === "blocked" && !facts.self) return refusal(policy, ask, facts, level, "blocked");
      break;
    case "demote":
      level = (await demoteToStranger(deps, id, rule)).standing.level;
      break;
    case "block":
      level = (await block(deps, id, rule)).standing.level;
      break;
    case null:
      break;
    default:
      step.effect satisfies never;
  }
  if (step.propose_whitelist && level === "contact") {
    const reason = `${step.rule} asks for the whitelist`;
    const now = deps.runtime.clock.now();
    await proposeStatement(deps.db, { client_id: id, level, action: "promote", reason, by: "rule" }, now).run();
  }
  const shown = (facts.has_code || facts.has_payment) && !facts.invite && !facts.payment;
  // The file may serve every stranger, but a wrong code is still told to be wrong.
  const wrongCode = ask.situation === "onboard" && level === "stranger" && shown;
  if (step.allow && !wrongCode) return { allow: true, reason: step.reason, level, onboard: null, by: step.by };
  return refusal(policy, ask, { ...facts, level }, level, step.by, step.reason);
}

/** Of a code only this is ever kept: enough to see that two were the same. */
const codeHash = async (code: string): Promise<string> => (await sha256Hex(`invite:${code}`)).slice(0, 16);

function refusal(
  policy: Policy,
  ask: TrustAsk,
  facts: Facts,
  level: Said["level"],
  by: Said["by"],
  reason = "Denied by fast rules",
): Said {
  if (by === "blocked")
    return { allow: false, reason: ask.situation === "onboard" ? "blocked" : reason, level, onboard: null, by };
  if (ask.situation === "onboard") return { ...refusedDoor(policy, facts), level, by };
  return { allow: false, reason, level, onboard: offer(policy, facts), by };
}

/** The words for who knocked at a door in vain (`connectonion.md` (c), onboarding). */
function refusedDoor(policy: Policy, facts: Facts): Said {
  const reason = facts.has_code
    ? "Invalid invite code"
    : facts.has_payment
      ? "Insufficient payment"
      : "invite_code or payment required";
  return { allow: false, reason, level: facts.level, onboard: offer(policy, facts), by: "default" };
}

/** Tier two: a kept verdict, or one question. Its allow is for this request; levels stay as they are. */
async function byTier(
  deps: TrustDeps,
  policy: Policy,
  standing: Standing,
  counters: Counters,
  why: string,
): Promise<Said> {
  const { db, runtime, reason } = deps;
  const { level, id } = standing;
  const answer = (allow: boolean, text: string): Said => ({
    allow,
    reason: text,
    level,
    onboard: null,
    by: "llm",
  });
  if (level === "blocked") return { ...answer(false, "Denied by fast rules"), by: "blocked" };
  const key = await verdictKey(deps.self ?? "", id, level, policy.hash);
  const kept = await readVerdict(db, key, runtime.clock.now());
  if (kept) return answer(kept.allow, kept.reason);
  const input: TierInput = { client_id: id, level, counters, policy: policy.prompt };
  const verdict = reason ? await withLimit(reason(input)) : noTier("no_tier");
  await keepVerdict(deps, { key, input, why, policy_hash: policy.hash, cache_ms: policy.cache_ms }, verdict);
  // The world went on while the model thought.
  const now = await readStanding(db, id);
  if (now.level !== level || now.version !== standing.version) {
    await db.prepare("DELETE FROM trust_verdict WHERE key = ?").bind(key).run();
    return { ...answer(false, "The client's level changed; ask again."), level: now.level };
  }
  return answer(verdict.allow, verdict.reason);
}

const noTier = (failed: string): TierVerdict => ({ allow: false, reason: "Trust could not be judged.", failed });

/** Whatever is not a verdict within the limit is a denial. */
async function withLimit(asked: Promise<TierVerdict>): Promise<TierVerdict> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<TierVerdict>((resolve) => {
    timer = setTimeout(() => resolve(noTier("timeout")), TIER_WAIT);
  });
  try {
    const verdict = await Promise.race([asked, late]);
    // A failed verdict can't allow, whoever made it.
    const { allow, reason, failed, propose } = verdict;
    const sound = typeof reason === "string" && reason !== "" && typeof allow === "boolean";
    if (!sound) return noTier("invalid_output");
    return {
      allow: allow && !failed,
      reason: reason.slice(0, 200),
      ...(failed ? { failed } : {}),
      ...(propose ? { propose } : {}),
    };
  } catch {
    return noTier("unreachable");
  } finally {
    clearTimeout(timer);
  }
}
