import { describe, expect, it } from "vitest";
import { DISCORD, type Held, KEEP, resolve, usable } from "../../src/vault";
import { deferredOf, dueAt, openOf, surplus, TOLD_MS, view } from "../../src/vault/capability";

/** Which credential of a chat is meant (hermes-relay §7), by the clock alone. Wall ms. */

let serial = 0;
const held = (more: Partial<Held> = {}): Held => ({
  id: `h${++serial}`,
  home: "chat",
  tenant: "t",
  app: "app",
  kind: "slack.response_url",
  sealed: "v1.x",
  meta: {},
  aliases: ["agent:main:slack:dm:D1", "agent:main:slack:dm:T1:D1"],
  sealed_at: serial,
  expires_at: 1_000,
  uses_left: 5,
  wielded: 0,
  deferred: null,
  ids: [],
  ...more,
});
const by = { session_key: "agent:main:slack:dm:T1:D1", kind: "slack.response_url" };

describe("by session", () => {
  it("is the newest of its kind, under any namespace", () => {
    const [older, newer, other] = [held(), held(), held({ kind: DISCORD })];
    expect(resolve([newer, other, older], by, 10)).toBe(newer);
    expect(resolve([older, newer], { ...by, session_key: "agent:work:slack:dm:D1" }, 10)).toBe(newer);
    expect(resolve([older], { ...by, session_key: "agent:main:slack:dm:D2" }, 10)).toBeNull();
  });

  it("is nothing when the newest is over, though an older one lives", () => {
    const older = held();
    for (const gone of [held({ expires_at: 10 }), held({ sealed: null })])
      expect(resolve([older, gone], by, 10)).toBeNull();
    expect(usable(held({ uses_left: 0 }), 1, 10)).toBe(false);
    expect(usable(held({ uses_left: null }), 9, 10)).toBe(true);
    expect([usable(held(), 5, 999), usable(held(), 5, 1_000), usable(held(), 6, 10)]).toEqual([true, false, false]);
  });
});

describe("by what it answers", () => {
  const open = (n: string, more: Partial<Held> = {}): Held =>
    held({ kind: DISCORD, meta: { interaction_id: n }, deferred: "open", uses_left: null, ...more });

  it("is the interaction that is named, until another call has it in hand", () => {
    const [a, b] = [open("1"), open("2")];
    expect(resolve([a, b], { reply_to: "1" }, 10)).toBe(a);
    expect(resolve([open("1", { deferred: "taken" }), b], { reply_to: "1" }, 10)).toBeNull();
    expect(resolve([open("1", { deferred: "ended" })], { reply_to: "1" }, 10)).not.toBeNull();
    expect(resolve([a], { reply_to: "3" }, 10)).toBeNull();
  });

  it("is the only one that waits, when none is named", () => {
    const [a, b] = [open("1"), open("2")];
    expect(resolve([a, open("2", { deferred: "ended" })], { reply_to: null }, 10)).toBe(a);
    expect(resolve([a, b], { reply_to: null }, 10)).toBeNull();
    expect(openOf([a, b, open("3", { expires_at: 5 })], 10)).toEqual([a, b]);
  });

  it("is the one that made a message", () => {
    const a = open("1", { deferred: "ended", ids: ["9"] });
    expect(resolve([a], { message_id: "9" }, 10)).toBe(a);
    expect(resolve([a], { message_id: "8" }, 10)).toBeNull();
  });

  it("waits only where something shows", () => {
    expect(deferredOf(DISCORD, { deferred: "reply" })).toBe("open");
    expect(deferredOf(DISCORD, { deferred: "update" })).toBeNull();
    expect(deferredOf("slack.response_url", {})).toBeNull();
  });
});

describe("what makes way", () => {
  it("is the oldest of a session and kind, and nobody else's", () => {
    const mine = Array.from({ length: KEEP + 2 }, () => held());
    const others = [held({ aliases: ["agent:main:slack:dm:D2"] }), held({ kind: DISCORD })];
    expect(surplus([...others, ...mine]).map((h) => h.id)).toEqual([mine[1]!.id, mine[0]!.id]);
  });

  it("is shown with its state; the credential goes before the row", () => {
    const rows = [held({ uses_left: 0 }), held({ expires_at: 5 }), held(), held()];
    expect(view(rows, 10).map((r) => r.state)).toEqual(["live", "replaced", "expired", "spent"]);
    expect(JSON.stringify(view(rows, 10))).not.toContain("v1.x");
    expect(dueAt(held({ expires_at: 7 }))).toBe(7);
    expect(dueAt(held({ sealed: null, sealed_at: 3 }))).toBe(3 + TOLD_MS);
  });
});
