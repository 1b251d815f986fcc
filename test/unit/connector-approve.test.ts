import { describe, expect, it } from "vitest";
import { type Heard, judgeEgress } from "../../src/gateway";

/** May this instance speak there (hermes-relay §8.0)? The facts are those of D1 and of the instance's own object. */

const facts = (more: Partial<Parameters<typeof judgeEgress>[0]> = {}) => ({
  routes: [] as { scope_id: string; tenant: string }[],
  tenants: ["t", "u"],
  grants: [] as { scope_id: string }[],
  bound: [] as { user_id: string; scope_id: string }[],
  ...more,
});
const heard = (scope: string | null, type = "group", author = "U1"): Heard[] => [{ author, scope, type }];
const T1 = [{ scope_id: "T1", tenant: "t" }];
const TAKEN = [{ scope_id: "T1", tenant: "u" }];

type Case = [string, ReturnType<typeof facts>, string, Heard[], boolean];
const cases: Case[] = [
  ["nothing is known", facts(), "C1", [], false],
  ["the only tenant, and nothing more", facts({ tenants: ["t"] }), "C1", [], false],
  ["heard, scope is ours", facts({ routes: T1 }), "C1", heard("T1"), true],
  ["heard, scope is nobody's, only tenant", facts({ tenants: ["t"] }), "C1", heard("T1"), true],
  ["heard, scope is nobody's of two", facts(), "C1", heard("T1"), false],
  ["heard, but the scope went to another tenant", facts({ routes: TAKEN, tenants: ["t"] }), "C1", heard("T1"), false],
  [
    "its author is bound, but the scope is another's",
    facts({ routes: TAKEN, bound: [{ user_id: "U1", scope_id: "" }] }),
    "C1",
    heard("T1"),
    false,
  ],
  ["holds the channel", facts({ routes: T1, grants: [{ scope_id: "T1" }] }), "C1", [], true],
  ["holds the channel of a lost scope", facts({ routes: TAKEN, grants: [{ scope_id: "T1" }] }), "C1", [], false],
  ["a bound author's own id", facts({ routes: T1, bound: [{ user_id: "U1", scope_id: "T1" }] }), "U1", [], true],
  [
    "a bound author's id in a lost scope",
    facts({ routes: TAKEN, bound: [{ user_id: "U1", scope_id: "T1" }] }),
    "U1",
    [],
    false,
  ],
  ["somebody else's id", facts({ routes: T1, bound: [{ user_id: "U1", scope_id: "T1" }] }), "U2", [], false],
  [
    "Telegram DM of a bound author",
    facts({ bound: [{ user_id: "42", scope_id: "" }] }),
    "42",
    heard(null, "dm", "42"),
    true,
  ],
  [
    "Discord DM of a bound author",
    facts({ bound: [{ user_id: "5", scope_id: "" }] }),
    "9001",
    heard(null, "dm", "5"),
    true,
  ],
  ["the same DM after they were unlinked", facts(), "9001", heard(null, "dm", "5"), false],
  [
    "Telegram group of a bound author, nobody's",
    facts({ bound: [{ user_id: "42", scope_id: "" }] }),
    "-100",
    heard(null, "group", "42"),
    false,
  ],
  ["Telegram group that is ours", facts({ routes: [{ scope_id: "-100", tenant: "t" }] }), "-100", heard(null), true],
  ["Telegram group of our bot", facts({ routes: [{ scope_id: "bot:app", tenant: "t" }] }), "-100", heard(null), true],
  [
    "of our bot, but given to another",
    facts({
      routes: [
        { scope_id: "-100", tenant: "u" },
        { scope_id: "bot:app", tenant: "t" },
      ],
    }),
    "-100",
    heard(null),
    false,
  ],
];

describe("a destination", () => {
  it.each(cases)("%s", (_, f, chat, h, expected) => {
    expect(judgeEgress(f, "t", chat, h)).toBe(expected);
  });
});
