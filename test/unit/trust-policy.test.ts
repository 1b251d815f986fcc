import { describe, expect, it } from "vitest";
import { defaultTrustLevel } from "../../src/trust";
import { codeFits } from "../../src/trust/doors";
import { matches, readEntry } from "../../src/trust/levels";
import { parsePolicy } from "../../src/trust/policy";
import { PRESETS } from "../../src/trust/presets";

/** Policy files: both grammars, what is refused at load and in which words, and the doors they open. */

const file = (head: string, body = "Serve friends."): string => `---\n${head}\n---\n${body}\n`;
const wrong = async (text: string, vars: Record<string, unknown> = {}): Promise<string> =>
  parsePolicy(text, vars).then(
    () => "accepted",
    (error: { code: string; message: string; field?: string }) => `${error.field}: ${error.message}`,
  );

const DOC_CAREFUL = `fast_rules:
  - if: has_invite_code
    action: verify_invite
    on_success: promote_to_contact
  - if: has_payment
    action: verify_payment
    on_success: promote_to_contact
  - if: is_blocked
    action: deny
  - if: is_admin
    action: allow
  - if: is_whitelist
    action: allow
  - if: is_contact
    action: allow
  - if: is_stranger
    action: deny
use_agent:
  - when: requests > 10
    reason: busy
cache: 24h`;

describe("a policy", () => {
  it("is a preset by name, whatever its case, and every preset parses", async () => {
    expect(await parsePolicy(" Open ")).toMatchObject({
      name: "open",
      grammar: "lists",
      default: "allow",
      deny: ["blocked"],
    });
    expect(await parsePolicy("careful")).toMatchObject({ default: "ask", allow: ["admin", "whitelist", "contact"] });
    expect(await parsePolicy("STRICT")).toMatchObject({ default: "deny", allow: ["admin", "whitelist"] });
    for (const text of Object.values(PRESETS)) {
      const policy = await parsePolicy(text);
      expect(policy.doors).toEqual({ codes: [], price: null });
      expect(policy.prompt).not.toContain("---");
    }
  });

  it("without front matter is all prompt and denies everybody", async () => {
    const policy = await parsePolicy("Be nice to everyone.");
    expect(policy).toMatchObject({ grammar: "lists", allow: [], deny: ["blocked"], default: "deny" });
    expect(policy.prompt).toBe("Be nice to everyone.");
  });

  it("of the documented grammar keeps order, aliases, triggers and cache", async () => {
    const policy = await parsePolicy(file(DOC_CAREFUL.replace("has_invite_code", "invite_code")), {
      CO_INVITE_CODE: "a-code",
    });
    expect(policy).toMatchObject({
      grammar: "rules",
      cache_ms: 86_400_000,
      use_agent: [{ kind: "requests", more_than: 10, reason: "busy" }],
      doors: { codes: ["a-code"], price: null },
      prompt: "Serve friends.",
    });
    expect(policy.grammar === "rules" && policy.rules[0]).toEqual({
      n: 1,
      if: "has_invite_code",
      action: "verify_invite",
      on_success: "promote_to_contact",
    });
  });

  it.each([
    [
      "both grammars",
      "fast_rules: []\nallow: [contact]",
      /fast_rules: "fast_rules" and "allow" belong to two different grammars/,
    ],
    ["rules with a default", "use_agent: []\ndefault: allow", /two different grammars/],
    ["an unknown key", "alow: [contact]", /"alow" is no key/],
    [
      "an unknown condition",
      "fast_rules: [{if: is_friend, action: allow}]",
      /fast_rules\[1\]: "is_friend" is no condition/,
    ],
    ["an unknown action", "fast_rules: [{if: always, action: shrug}]", /"shrug" is no action/],
    [
      "on_success without a check",
      "fast_rules: [{if: always, action: allow, on_success: promote_to_contact}]",
      /only follows/,
    ],
    ["a promotion to admin", "fast_rules: [{if: always, action: verify_invite, on_success: set_admin}]", /on_success/],
    ["an unknown trigger", "use_agent: [{when: moon > 3}]", /use_agent\[1\].*"moon > 3" is unknown/],
    ["an unknown name in a list", "deny: [strangers]", /deny names "strangers"/],
    ["a cache that is none", "cache: soon", /cache is "soon"/],
    ["a cache of a year", "cache: 365d", /at most 30d/],
    ["a key twice", "default: allow\ndefault: deny", /not YAML/],
    ["YAML that is none", "allow: [", /not YAML/],
    ["aliases", "allow: &a [contact]\ndeny: *a", /aliases/],
    ["a list instead of keys", "- allow", /keys and values/],
    ["an onboard with another key", "onboard: {code: x}", /onboard takes/],
  ])("with %s is refused", async (_what, head, words) => {
    expect(await wrong(file(head))).toMatch(words);
  });

  it("that never ends its front matter, or is too long, is refused", async () => {
    expect(await wrong("---\nallow: [contact]\n")).toContain("never ends");
    expect(await wrong(file("default: deny", "x".repeat(33_000)))).toContain("32 KiB");
  });

  it("with a default nobody knows denies", async () => {
    expect(await parsePolicy(file("default: perhaps"))).toMatchObject({ default: "deny" });
  });
});

describe("doors", () => {
  const onboard = (text: string): string => file(`onboard: ${text}`);
  const verifier = { REVEILLE_PAYMENT_VERIFIER_URL: "https://pay.example" };

  it("open only when their variable is set, under any of its names", async () => {
    const text = onboard("{invite_code: [$CO_INVITE_CODE, $TRUST_PARTNER], payment: $CO_PAYMENT}");
    expect((await parsePolicy(text)).doors).toEqual({ codes: [], price: null });
    const vars = { REVEILLE_INVITE_CODE: "one", TRUST_PARTNER: "two", CO_PAYMENT: "10", ...verifier };
    expect((await parsePolicy(text, vars)).doors).toEqual({ codes: ["one", "two"], price: 10 });
  });

  it("for payment need a price above zero and a verifier", async () => {
    for (const price of ["0", "-1", "free", "null", ".nan"])
      expect((await parsePolicy(onboard(`{payment: ${price}}`), verifier)).doors.price).toBeNull();
    expect((await parsePolicy(onboard("{payment: 10}"))).doors.price).toBeNull();
    expect((await parsePolicy(onboard("{payment: 10}"), verifier)).doors.price).toBe(10);
  });

  it("can't read a secret of something else", async () => {
    for (const name of ["REVEILLE_OPERATOR_TOKEN", "OPERATOR_TOKEN", "WATCH_TOKEN", "REVEILLE_AGENT_SEED"])
      expect(await wrong(onboard(`{invite_code: $${name}}`), { [name]: "secret" })).toContain(
        "setting of something else",
      );
  });

  it("take a whole code only, and never an empty one", async () => {
    const { codes } = (await parsePolicy(onboard("{invite_code: ABC}"))).doors;
    expect(await codeFits(codes, "ABC")).toBe(true);
    for (const code of ["A", "AB", "abc", "ABCD", "", " ABC"]) expect(await codeFits(codes, code)).toBe(false);
    expect(await codeFits([""], "")).toBe(false);
  });

  it("no rule leads to are shut", async () => {
    const policy = await parsePolicy(file("fast_rules: [{if: is_contact, action: allow}]"), { CO_INVITE_CODE: "x1" });
    expect(policy.doors.codes).toEqual([]);
  });

  it("don't show in the hash: codes are short enough to be guessed from one", async () => {
    const text = onboard("{invite_code: $CO_INVITE_CODE}");
    const hashes = await Promise.all(
      ["one", "two"].map(async (c) => (await parsePolicy(text, { CO_INVITE_CODE: c })).hash),
    );
    expect(hashes[0]).toBe(hashes[1]);
    expect((await parsePolicy(text)).hash).not.toBe(hashes[0]);
  });
});

it("the environment chooses the preset", () => {
  expect(["development", "Production", "staging", "test", "", "moon"].map(defaultTrustLevel)).toEqual([
    "open",
    "strict",
    "careful",
    "careful",
    "careful",
    "careful",
  ]);
});

describe("list entries", () => {
  it.each([
    ["trusted-*", "trusted-x", true],
    ["trusted-*", "un-trusted-x", false],
    ["*-x", "a-x", true],
    ["a*b*c", "a1b2c", true],
    ["a*b*c", "a1c2b", false],
    ["a*a", "a", false],
    ["A*", "abc", true],
    ["a.c", "abc", false],
    ["a*b", "ab", true],
    ["*ab*ab*", "abab", true],
    ["*ab*ab*", "aba", false],
  ])("%s on %s is %s: whole, folded, only * is special", (pattern, id, is) => {
    expect(matches(pattern, id)).toBe(is);
  });

  it("are addresses or patterns that say something", () => {
    const address = `0x${"AB".repeat(32)}`;
    expect(readEntry(` ${address} `)).toEqual({ id: address.toLowerCase(), pattern: false });
    expect(readEntry("0xdead*")).toEqual({ id: "0xdead*", pattern: true });
    for (const text of ["", "*", "**", "0*", "0x12", `${address}0`, "a b*", "' OR 1=1 *"])
      expect(readEntry(text)).toBeNull();
  });
});
