import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CHANGES, type Change, levelOf, type Marks, NO_MARKS } from "../../src/trust/levels";
import { ACTIONS, CONDITIONS, type Policy, WHO } from "../../src/trust/policy.types";
import { evaluate, type Facts, offer, type Step } from "../../src/trust/rules";
import { CLIENT_LEVELS } from "../../src/trust/types";

/** The rules as pure functions: order, blocked first whatever the file says, and nothing that promotes too far. */

const shared = { name: "own", hash: "h", text: "", prompt: "", cache_ms: 0 };
const doors = fc.record({
  codes: fc.array(fc.string({ minLength: 1 }), { maxLength: 2 }),
  price: fc.option(fc.double({ min: 1, max: 100, noNaN: true })),
});
const ruleFiles = fc.record({
  doors,
  rules: fc
    .array(
      fc.record({
        if: fc.constantFrom(...CONDITIONS),
        action: fc.constantFrom(...ACTIONS),
        on_success: fc.constantFrom("promote_to_contact" as const, "promote_to_whitelist" as const, null),
      }),
      { maxLength: 8 },
    )
    .map((rules) => rules.map((r, i) => ({ ...r, n: i + 1 }))),
  use_agent: fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant("requests" as const), more_than: fc.nat(20), reason: fc.constant("r") }),
      fc.record({
        kind: fc.constantFrom("suspicious_pattern" as const, "manual_review" as const),
        reason: fc.constant("r"),
      }),
    ),
    { maxLength: 2 },
  ),
});
const listFiles = fc.record({
  doors,
  allow: fc.array(fc.constantFrom(...WHO), { maxLength: 4 }),
  deny: fc.array(fc.constantFrom(...WHO), { maxLength: 3 }),
  default: fc.constantFrom("allow" as const, "deny" as const, "ask" as const),
});
const policies: fc.Arbitrary<Policy> = fc.oneof(
  ruleFiles.map((f): Policy => ({ ...shared, grammar: "rules", ...f })),
  listFiles.map((f): Policy => ({ ...shared, grammar: "lists", ...f })),
);
const facts: fc.Arbitrary<Facts> = fc.record({
  level: fc.constantFrom(...CLIENT_LEVELS),
  admin: fc.boolean(),
  self: fc.constant(false),
  has_code: fc.boolean(),
  has_payment: fc.boolean(),
  counters: fc.record({ requests_24h: fc.nat(3_000), denied_24h: fc.nat(20) }),
  review: fc.boolean(),
  invite: fc.constantFrom(undefined, true, false),
  payment: fc.constantFrom(undefined, true, false),
});

/** What a whole decision ends with when the checks come out as told. */
function settle(
  policy: Policy,
  f: Facts,
  truth: { invite: boolean; payment: boolean },
): Exclude<Step, { do: "verify" }> {
  let now = { ...f, invite: undefined as boolean | undefined, payment: undefined as boolean | undefined };
  for (let i = 0; i < 5; i++) {
    const step = evaluate(policy, now);
    if (step.do !== "verify") return step;
    now = { ...now, [step.which]: truth[step.which] };
  }
  throw new Error("the rules ask for ever");
}
const truths = fc.record({ invite: fc.boolean(), payment: fc.boolean() });

/** The second reading of the first grammar, written for this test: a loop over lines and nothing else. */
function reference(
  policy: Extract<Policy, { grammar: "rules" }>,
  f: Facts,
  truth: { invite: boolean; payment: boolean },
): string {
  if (f.level === "blocked") return "deny blocked";
  const is: Record<string, boolean> = {
    has_invite_code: f.has_code,
    has_payment: f.has_payment,
    is_blocked: false,
    is_admin: f.admin,
    is_whitelist: f.level === "whitelist",
    is_contact: f.level === "contact",
    is_stranger: f.level === "stranger",
    always: true,
  };
  for (const r of policy.rules) {
    if (!is[r.if]) continue;
    if (r.action === "verify_invite") {
      if (f.has_code && policy.doors.codes.length > 0 && truth.invite) return `allow ${r.n}`;
    } else if (r.action === "verify_payment") {
      if (f.has_payment && policy.doors.price !== null && truth.payment) return `allow ${r.n}`;
    } else if (r.action === "allow" || r.action === "promote") return `allow ${r.n}`;
    else if (r.action === "require_admin") return `${f.admin ? "allow" : "deny"} ${r.n}`;
    else return `deny ${r.n}`;
  }
  return "rest";
}

describe("rules", () => {
  it("the first line that matches decides, as a plain reading of the file says", () => {
    fc.assert(
      fc.property(ruleFiles, facts, truths, (file, f, truth) => {
        const policy = { ...shared, grammar: "rules" as const, ...file };
        const step = settle(policy, f, truth);
        const expected = reference(policy, f, truth);
        if (expected === "rest") return step.do === "ask" || (!step.allow && step.rule === "no rule matched");
        if (step.do !== "final") return false;
        const [word, n] = expected.split(" ");
        return (
          step.allow === (word === "allow") &&
          (n === "blocked" ? step.by === "blocked" : step.rule.startsWith(`rule ${n} `))
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it("a blocked client is denied first, whatever the file, the codes, the payments and the admin mark say", () => {
    fc.assert(
      fc.property(policies, facts, (policy, f) => {
        const step = evaluate(policy, { ...f, level: "blocked" });
        return (
          step.do === "final" &&
          !step.allow &&
          step.by === "blocked" &&
          step.effect === null &&
          offer(policy, { ...f, level: "blocked" }) === null
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it("a deny list is asked before an allow list, and allow before the doors", () => {
    fc.assert(
      fc.property(listFiles, facts, truths, (file, f, truth) => {
        fc.pre(f.level !== "blocked");
        const step = settle({ ...shared, grammar: "lists", ...file }, f, truth);
        const is = (who: string): boolean => (who === "admin" ? f.admin : f.level === who);
        if (file.deny.some(is)) return step.do === "final" && !step.allow && step.rule.startsWith("deny:");
        if (file.allow.some(is)) return step.do === "final" && step.allow && step.effect === null;
        if (f.has_code && file.doors.codes.length > 0 && truth.invite)
          return step.do === "final" && step.effect === "onboard";
        return true;
      }),
      { numRuns: 2_000 },
    );
  });

  it("a door that is offered lets in whoever proves it", () => {
    fc.assert(
      fc.property(policies, facts, (policy, f) => {
        const offered = offer(policy, f);
        if (!offered) return true;
        return offered.methods.every((m) => {
          const proof =
            m === "payment" ? { has_payment: true, has_code: false } : { has_code: true, has_payment: false };
          const step = settle(policy, { ...f, ...proof }, { invite: true, payment: true });
          return step.do === "final" && step.allow;
        });
      }),
      { numRuns: 1_000 },
    );
  });

  it("tier two is asked only when the file says so, and never for a code or payment that a check can answer", () => {
    fc.assert(
      fc.property(policies, facts, truths, (policy, f, truth) => {
        const step = settle(policy, f, truth);
        if (step.do !== "ask") return true;
        const doorsOpen = policy.doors.codes.length > 0 || policy.doors.price !== null;
        return policy.grammar === "rules" ? policy.use_agent.length > 0 : policy.default === "ask" && !doorsOpen;
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("atomic changes", () => {
  const marks: fc.Arbitrary<Marks> = fc.record({
    contact: fc.option(fc.nat()),
    whitelist: fc.option(fc.nat()),
    blocked: fc.option(fc.nat()),
    admin: fc.option(fc.nat()),
  });
  const changes = Object.keys(CHANGES) as Change[];

  it("are idempotent, and only the two of admins touch the admin mark", () => {
    fc.assert(
      fc.property(marks, fc.constantFrom(...changes), fc.nat(), (m, change, at) => {
        const once = CHANGES[change](m, at);
        expect(CHANGES[change](once, at + 1)).toEqual(once);
        if (!change.endsWith("_admin")) expect(once.admin).toBe(m.admin);
      }),
    );
  });

  it("block covers a level and unblock gives it back", () => {
    fc.assert(
      fc.property(marks, fc.nat(), (m, at) => {
        const blocked = CHANGES.block(m, at);
        expect(levelOf(blocked)).toBe("blocked");
        expect(CHANGES.unblock(blocked)).toEqual({ ...m, blocked: null });
      }),
    );
  });

  it("have the effects of the spec", () => {
    const at = 5;
    const contact = CHANGES.promote_to_contact(NO_MARKS, at);
    const listed = CHANGES.promote_to_whitelist(contact, at + 1);
    expect(listed).toEqual({ contact: 5, whitelist: 6, blocked: null, admin: null });
    expect(CHANGES.demote_to_contact(listed, 9)).toEqual(contact);
    expect(CHANGES.demote_to_contact(CHANGES.promote_to_whitelist(NO_MARKS, 1), 9).contact).toBe(9);
    expect(CHANGES.demote_to_stranger(listed)).toEqual(NO_MARKS);
    expect([NO_MARKS, contact, listed, CHANGES.block(listed, 7)].map(levelOf)).toEqual([
      "stranger",
      "contact",
      "whitelist",
      "blocked",
    ]);
  });
});
