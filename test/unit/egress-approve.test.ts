import { describe, expect, it } from "vitest";
import { opsOf } from "../../src/gateway";
import { promptOptions, readAction } from "../../src/gateway/egress.actions";
import { type ApprovalFacts, approve } from "../../src/gateway/egress.approve";

/** Proves the rule of who may write where, apart from where its facts come from (hermes-relay §8.0), and the forms of ops. */

const facts = (more: Partial<ApprovalFacts>): ApprovalFacts => ({ claims: [], routes: [], only_tenant: null, ...more });
const dm = { scope: null, dm: true };
const group = { scope: null, dm: false };
const slack = { scope: "T1", dm: false };

describe("approval", () => {
  it.each<[string, Partial<ApprovalFacts>, boolean]>([
    ["nothing speaks for it, even with one tenant alone", { only_tenant: "a" }, false],
    ["its scope is the tenant's", { claims: [slack], routes: [{ scope_id: "T1", tenant: "a" }] }, true],
    ["its scope is another's", { claims: [slack], routes: [{ scope_id: "T1", tenant: "b" }], only_tenant: "a" }, false],
    ["its scope is nobody's, and there is one tenant", { claims: [slack], only_tenant: "a" }, true],
    ["its scope is nobody's, and there are several", { claims: [slack] }, false],
    ["a scope that another claim has", { claims: [slack], routes: [{ scope_id: "T2", tenant: "a" }] }, false],
    ["a DM without a scope", { claims: [dm] }, true],
    ["a DM whose bot is another's", { claims: [dm], routes: [{ scope_id: "bot:main", tenant: "b" }] }, false],
    ["a group without a scope", { claims: [group] }, false],
    [
      "a group that is the tenant's by the bot",
      { claims: [group], routes: [{ scope_id: "bot:main", tenant: "a" }] },
      true,
    ],
    [
      "a group that is another's, of a bot that is the tenant's",
      {
        claims: [group],
        routes: [
          { scope_id: "bot:main", tenant: "a" },
          { scope_id: "c1", tenant: "b" },
        ],
      },
      false,
    ],
  ])("%s", (_, more, expected) => {
    expect(approve(facts(more), "a", "c1", "main")).toBe(expected);
  });
});

describe("actions", () => {
  it("take null, numbers and unknown fields as gateways send them", () => {
    expect(readAction("send", { op: "send", chat_id: -100123, content: "x", reply_to: null, more: 1 })).toEqual({
      action: { chat_id: "-100123", content: "x", reply_to: null, metadata: {} },
    });
    expect(readAction("edit", { chat_id: "1", content: "x" })).toEqual({
      wrong: expect.stringContaining("message_id"),
    });
  });

  it("refuse prompts whose presses could not come back", () => {
    const ask = (prompt_id: string, ...ids: string[]) =>
      promptOptions({
        chat_id: "1",
        content: "?",
        prompt_id,
        reply_to: null,
        metadata: {},
        options: ids.map((id) => ({ id, label: id })),
      });
    expect(ask("a1.0f", "once")).toEqual([{ label: "once", token: "hp1:a1.0f:once", style: "secondary" }]);
    for (const bad of [
      ask("a:b", "x"),
      ask("a", "x", "x"),
      ask("", "x"),
      ask("a", "ö"),
      ask("p".repeat(32), "o".repeat(32)),
    ])
      expect(bad).toBeNull();
  });

  it("are advertised where a sender does them", () => {
    expect(opsOf("slack")).toEqual([
      "send",
      "edit",
      "typing",
      "follow_up",
      "get_chat_info",
      "send_media",
      "prompt",
      "react",
    ]);
    expect(opsOf("telegram")).toEqual(["send", "edit", "typing", "get_chat_info", "send_media", "prompt", "react"]);
    expect([opsOf("whatsapp"), opsOf("sms"), opsOf("relay")]).toEqual([
      ["send", "send_media", "prompt", "react"],
      ["send"],
      [],
    ]);
  });
});
