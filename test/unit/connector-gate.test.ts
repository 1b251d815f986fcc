import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DropReason, type GateFacts, judge, linkCodeOf, type Principal } from "../../src/gateway";
import type { Inbound } from "../../src/platform";
import { inbound, inChannel } from "./connector-kit";

/**
 * The delivery gate as a pure function of its facts (hermes-relay §9): the table of principal, relevance and DM
 * default, and what no facts may ever bring about. What D1 holds is in test/integration/connector-gate.test.ts.
 */

const A = { tenant: "t", instance: "a" };
const B = { tenant: "t", instance: "b" };

const nothing: GateFacts = {
  scope_tenant: "t",
  only_tenant: null,
  bindings: [],
  grants: [],
  relevance: [],
  prompt: null,
};
const facts = (more: Partial<GateFacts> = {}): GateFacts => ({ ...nothing, ...more });
const bound = (to: { tenant: string; instance: string }, at = 1, dm_default = false) => ({
  ...to,
  dm_default,
  created_at: at,
});
const holds = (to: { tenant: string; instance: string }, principal: Principal = "any", allow: string[] = []) => ({
  ...to,
  principal,
  allow,
});
const rule = (to: { tenant: string; instance: string }, more: object = {}) => ({
  ...to,
  require_address: false,
  free_response_scopes: [] as string[],
  allow_other_bots: false,
  ...more,
});
const drop = (reason: DropReason) => ({ drop: reason });

describe("whose it is", () => {
  it("is told by the event's own scope, else the only tenant, else nobody", () => {
    const linked = { bindings: [bound(A)] };
    expect(judge(facts(linked), inbound())).toEqual({ to: A });
    expect(judge(facts({ ...linked, scope_tenant: null, only_tenant: "t" }), inbound())).toEqual({ to: A });
    expect(judge(facts({ ...linked, scope_tenant: null }), inbound())).toEqual(drop("unknown_tenant"));
    // The scope of another tenant wins over the author's binding here.
    expect(judge(facts({ ...linked, scope_tenant: "other" }), inbound())).toEqual(drop("unlinked"));
  });

  it("is told by the author alone in a DM without a scope", () => {
    const telegram = { platform: "telegram" as const, chat_id: "42", user_id: "42" };
    const dm = () => {
      const made = inbound({ source: telegram, platform: "telegram" });
      delete made.event.source.scope_id;
      return made;
    };
    const nobodys = { scope_tenant: null, only_tenant: null };
    expect(judge(facts({ ...nobodys, bindings: [bound(A)] }), dm())).toEqual({ to: A });
    expect(judge(facts(nobodys), dm())).toEqual(drop("unknown_tenant"));
    const group = dm();
    group.event.source.chat_type = "group";
    expect(judge(facts({ ...nobodys, bindings: [bound(A)] }), group)).toEqual(drop("unknown_tenant"));
  });

  it("is nobody's when we wrote it, or no author is known", () => {
    expect(judge(facts({ bindings: [bound(A)] }), inbound({ own: true }))).toEqual(drop("own"));
    expect(judge(facts({ grants: [holds(A)] }), inChannel({ user_id: null }))).toEqual(drop("no_author"));
  });
});

describe("a linked author", () => {
  it("reaches their own instance, whoever holds the channel and whatever it wants to hear", () => {
    const f = facts({ bindings: [bound(A)], grants: [holds(B)], relevance: [rule(A, { require_address: true })] });
    expect(judge(f, inChannel())).toEqual({ to: A });
  });

  it("with several reaches the DM default, else the newest", () => {
    expect(judge(facts({ bindings: [bound(A, 1), bound(B, 2)] }), inbound())).toEqual({ to: B });
    expect(judge(facts({ bindings: [bound(A, 1, true), bound(B, 2)] }), inbound())).toEqual({ to: A });
  });

  it("with several reaches, in a channel, the one of theirs that holds it", () => {
    const f = facts({ bindings: [bound(A, 1), bound(B, 2, true)], grants: [holds(A)] });
    expect(judge(f, inChannel())).toEqual({ to: A });
    expect(judge(f, inbound())).toEqual({ to: B });
  });

  it("that is a bot needs leave like any bot", () => {
    const f = facts({ bindings: [bound(A)] });
    expect(judge(f, inChannel({ is_bot: true }))).toEqual(drop("other_bot"));
    expect(judge({ ...f, relevance: [rule(A, { allow_other_bots: true })] }, inChannel({ is_bot: true }))).toEqual({
      to: A,
    });
  });
});

describe("an author who is not linked", () => {
  const table: [string, Partial<GateFacts>, ReturnType<typeof judge>][] = [
    ["no grant", {}, drop("unlinked")],
    ["a grant of another tenant", { grants: [holds({ tenant: "x", instance: "a" })] }, drop("unlinked")],
    ["owner-only", { grants: [holds(A, "owner-only")] }, drop("principal")],
    ["owner-only with names", { grants: [holds(A, "owner-only", ["U1"])] }, drop("principal")],
    ["allow-list without them", { grants: [holds(A, "allow-list", ["U2"])] }, drop("principal")],
    ["allow-list with them", { grants: [holds(A, "allow-list", ["U2", "U1"])] }, { to: A }],
    ["any", { grants: [holds(A)] }, { to: A }],
    ["the chat before its parent", { grants: [holds(A), holds(B)] }, { to: A }],
  ];
  it.each(table)("%s", (_, more, expected) => {
    expect(judge(facts(more), inChannel())).toEqual(expected);
  });
});

describe("relevance, for who does not own the instance", () => {
  const need = (more: object = {}) =>
    facts({ grants: [holds(A)], relevance: [rule(A, { require_address: true, ...more })] });
  const cases: [string, GateFacts, Inbound, ReturnType<typeof judge>][] = [
    ["absent rule: all", facts({ grants: [holds(A)] }), inChannel(), { to: A }],
    ["not addressed", need(), inChannel(), drop("not_addressed")],
    ["addressed", need(), inChannel({}, { addressed: true }), { to: A }],
    ["free channel", need({ free_response_scopes: ["C1"] }), inChannel(), { to: A }],
    ["thread of a free channel", need({ free_response_scopes: ["P"] }), inChannel({ parent_chat_id: "P" }), { to: A }],
    ["another free channel", need({ free_response_scopes: ["C2", "T1"] }), inChannel(), drop("not_addressed")],
    ["a DM", need(), inbound(), { to: A }],
    ["a group of people is no DM", need(), inbound({ source: { one_to_one_verified: false } }), drop("not_addressed")],
    ["a bot", facts({ grants: [holds(A)] }), inChannel({ is_bot: true }), drop("other_bot")],
    ["a bot with leave", need({ allow_other_bots: true }), inChannel({ is_bot: true }), drop("not_addressed")],
    [
      "a bot with leave that addresses us",
      need({ allow_other_bots: true }),
      inChannel({ is_bot: true }, { addressed: true }),
      { to: A },
    ],
    [
      "the rule of another instance",
      facts({ grants: [holds(A)], relevance: [rule(B, { require_address: true })] }),
      inChannel(),
      { to: A },
    ],
  ];
  it.each(cases)("%s", (_, f, event, expected) => {
    expect(judge(f, event)).toEqual(expected);
  });
});

describe("a press", () => {
  const press = (user_id = "U1") =>
    inbound({
      source: { chat_id: "C1", chat_type: "group", user_id },
      event: { text: "/yes", prompt_response: { prompt_id: "p", option_id: "yes" } },
      addressed: true,
    });
  it("goes to the instance that asked, when the gate lets its author there", () => {
    expect(judge(facts({ prompt: A, bindings: [bound(A, 1), bound(B, 2)] }), press())).toEqual({ to: A });
    expect(judge(facts({ prompt: A, grants: [holds(A)] }), press())).toEqual({ to: A });
    expect(judge(facts({ bindings: [bound(B)] }), press())).toEqual({ to: B });
  });
  it("goes nowhere when its author may not talk to that instance", () => {
    expect(judge(facts({ prompt: A, bindings: [bound(B)], grants: [holds(A)] }), press())).toEqual(
      drop("foreign_prompt"),
    );
    expect(judge(facts({ prompt: A, grants: [holds(B)] }), press())).toEqual(drop("foreign_prompt"));
    expect(judge(facts({ prompt: { tenant: "x", instance: "a" }, bindings: [bound(A)] }), press())).toEqual(
      drop("foreign_prompt"),
    );
    expect(judge(facts({ prompt: A }), press())).toEqual(drop("unlinked"));
  });
});

describe("whatever the facts", () => {
  const name = fc.constantFrom("a", "b", "c");
  const tenant = fc.constantFrom("t", "u");
  const to = fc.record({ tenant, instance: name });
  const user = fc.constantFrom("U1", "U2");
  const anyFacts: fc.Arbitrary<GateFacts> = fc.record({
    scope_tenant: fc.option(tenant),
    only_tenant: fc.option(tenant),
    bindings: fc.array(fc.record({ tenant, instance: name, dm_default: fc.boolean(), created_at: fc.nat(3) }), {
      maxLength: 3,
    }),
    grants: fc.array(
      fc.record({
        tenant,
        instance: name,
        principal: fc.constantFrom<Principal>("owner-only", "allow-list", "any"),
        allow: fc.array(user, { maxLength: 2 }),
      }),
      { maxLength: 2 },
    ),
    relevance: fc.array(
      fc.record({
        tenant,
        instance: name,
        require_address: fc.boolean(),
        free_response_scopes: fc.array(fc.constantFrom("C1", "C2"), { maxLength: 2 }),
        allow_other_bots: fc.boolean(),
      }),
      { maxLength: 3 },
    ),
    prompt: fc.option(to),
  });
  const anyEvent: fc.Arbitrary<Inbound> = fc
    .record({
      user_id: fc.option(user),
      is_bot: fc.boolean(),
      dm: fc.boolean(),
      scoped: fc.boolean(),
      addressed: fc.boolean(),
      own: fc.boolean(),
    })
    .map(({ user_id, is_bot, dm, scoped, addressed, own }) => {
      const made = dm
        ? inbound({ source: { user_id, is_bot }, addressed, own })
        : inChannel({ user_id, is_bot }, { addressed, own });
      if (!scoped) delete made.event.source.scope_id;
      return made;
    });
  const same = (a: { tenant: string; instance: string }, b: { tenant: string; instance: string }): boolean =>
    a.tenant === b.tenant && a.instance === b.instance;

  it("an event leaves only for an instance its author owns or was let into, of the tenant of its scope", () => {
    fc.assert(
      fc.property(anyFacts, anyEvent, (f, e) => {
        const verdict = judge(f, e);
        if (!("to" in verdict)) return;
        const { user_id, scope_id, chat_type } = e.event.source;
        expect(e.own).toBe(false);
        expect(user_id).not.toBeNull();
        const owner = f.bindings.some((b) => same(b, verdict.to));
        const admitted = f.grants.some(
          (g) =>
            same(g, verdict.to) &&
            (g.principal === "any" || (g.principal === "allow-list" && g.allow.includes(user_id!))),
        );
        expect(owner || admitted).toBe(true);
        const of = f.scope_tenant ?? f.only_tenant;
        if (of !== null) expect(verdict.to.tenant).toBe(of);
        else expect([scope_id, chat_type, owner]).toEqual([undefined, "dm", true]);
        if (f.prompt) expect(verdict.to).toEqual(f.prompt);
        // Who is linked in this tenant never ends up at an instance that is not theirs.
        if (f.bindings.some((b) => of === null || b.tenant === of)) expect(owner).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it("each filter only narrows: taking a grant, a binding or leave away never opens another way to a stranger's instance", () => {
    fc.assert(
      fc.property(anyFacts, anyEvent, (f, e) => {
        const strict = {
          ...f,
          relevance: [A, B, { tenant: "t", instance: "c" }].map((x) => rule(x, { require_address: true })),
        };
        const open = judge({ ...f, relevance: [] }, e);
        const closed = judge(strict, e);
        if ("to" in closed) expect(open).toEqual(closed);
        if ("drop" in judge({ ...f, grants: [] }, e) && f.bindings.length === 0) return;
        const without = judge({ ...f, grants: [], bindings: [] }, e);
        expect("drop" in without).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  it("does not depend on the order of its bindings", () => {
    fc.assert(
      fc.property(anyFacts, anyEvent, (f, e) => {
        expect(judge({ ...f, bindings: [...f.bindings].reverse() }, e)).toEqual(judge(f, e));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("/link", () => {
  const of = (text: string, more: Parameters<typeof inbound>[0] = {}) =>
    linkCodeOf(inbound({ ...more, event: { text } }));
  it.each([
    ["/link ABCD-EFGH-JKLMN", "ABCD-EFGH-JKLMN"],
    ["  /LINK abcd  thanks", "abcd"],
    ["/link@our_bot abcd", "abcd"],
    ["/hermes link abcd", "abcd"],
    ["/hermes /link abcd", "abcd"],
    ["/link\nabcd", "abcd"],
    ["/link", ""],
    ["/link ", ""],
  ])("%j is one", (text, code) => expect(of(text)).toBe(code));
  it.each(["link abcd", "/linked abcd", "/link-me x", "please /link abcd", "/hermes linking x", ""])(
    "%j is none",
    (text) => expect(of(text)).toBeNull(),
  );
  it("is none when a button is named so, or it is our own text", () => {
    const pressed = inbound({ event: { text: "/link", prompt_response: { prompt_id: "p", option_id: "link" } } });
    expect(linkCodeOf(pressed)).toBeNull();
    expect(of("/link abcd", { own: true })).toBeNull();
  });
});
