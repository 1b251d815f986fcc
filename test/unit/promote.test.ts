import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { proposeIntents } from "../../src/reason/promote/email-intent";
import { type Answered, proposePhrases } from "../../src/reason/promote/phrasebook";
import { type Investigated, proposeFixes } from "../../src/reason/promote/probe-fix-envelopes";
import { proposeRouting } from "../../src/reason/promote/router-tuning";
import { proposeFields } from "../../src/reason/promote/snapshot-expand";
import { clusters, commonTokens, cosine, patternOf, tokens, vectorOf } from "../../src/reason/promote/text";
import { proposeTrims } from "../../src/reason/promote/tool-trimming";

/** The clustering of the promote loops, pure: thresholds as written, no dependence on order, the same input the same proposals. */

const WORDS = ["is", "anything", "down", "checkout", "budget", "spent", "today", "why", "prod", "2"];
const sentence = fc.array(fc.constantFrom(...WORDS), { minLength: 1, maxLength: 6 }).map((w) => w.join(" "));
const fits = (pattern: string, text: string): boolean => new RegExp(pattern, "iu").test(text);
const shuffled = <T>(xs: readonly T[], seed: number): T[] =>
  xs
    .map((x, i) => ({ x, at: Math.imul(i + 1, 2_654_435_761 ^ seed) >>> 0 }))
    .sort((a, b) => a.at - b.at)
    .map(({ x }) => x);

describe("likeness of texts", () => {
  it("is the cosine of token counts", () => {
    expect(tokens("Is Checkout-2 DOWN?!")).toEqual(["is", "checkout-2", "down"]);
    expect(cosine(vectorOf("a b"), vectorOf("b a"))).toBeCloseTo(1);
    expect(cosine(vectorOf("a b"), vectorOf("a c"))).toBeCloseTo(0.5);
    expect(cosine(vectorOf("a a b"), vectorOf("a"))).toBeCloseTo(2 / Math.sqrt(5));
    expect(cosine(vectorOf("?!"), vectorOf("?!"))).toBe(0);
  });

  it("is symmetric, between 0 and 1, and 1 for the same words in any order", () => {
    fc.assert(
      fc.property(sentence, sentence, fc.integer(), (a, b, seed) => {
        const [x, y] = [vectorOf(a), vectorOf(b)];
        expect(cosine(x, y)).toBe(cosine(y, x));
        expect(cosine(x, y)).toBeGreaterThanOrEqual(0);
        expect(cosine(x, y)).toBeLessThanOrEqual(1);
        expect(cosine(x, vectorOf(shuffled(a.split(" "), seed).join(" ")))).toBeCloseTo(1);
      }),
    );
  });
});

describe("clusters", () => {
  const named = (texts: string[], threshold: number): string[] =>
    clusters(texts, threshold)
      .map((group) =>
        group
          .map((i) => texts[i]!)
          .sort()
          .join("|"),
      )
      .sort();

  it("hold every text once, each at least that like its centre", () => {
    fc.assert(
      fc.property(fc.array(sentence, { maxLength: 25 }), fc.constantFrom(0.85, 0.92), (texts, threshold) => {
        const groups = clusters(texts, threshold);
        expect(groups.flat().sort((a, b) => a - b)).toEqual(texts.map((_, i) => i));
        for (const group of groups) {
          const like = (i: number, j: number) =>
            i === j || cosine(vectorOf(texts[i]!), vectorOf(texts[j]!)) >= threshold;
          expect(group.some((centre) => group.every((i) => like(centre, i)))).toBe(true);
        }
        expect(groups.map((g) => g.length)).toEqual(groups.map((g) => g.length).sort((a, b) => b - a));
      }),
    );
  });

  it("are the same for any order of the input", () => {
    fc.assert(
      fc.property(fc.array(sentence, { maxLength: 25 }), fc.integer(), (texts, seed) => {
        expect(named(shuffled(texts, seed), 0.85)).toEqual(named(texts, 0.85));
      }),
    );
  });

  it("never chain: a to b to c does not bring a and c together through b's neighbours", () => {
    const chain = ["a b c d e f g h", "a b c d e f g x", "a b c d e f y x", "a b c d e z y x"];
    for (const group of clusters(chain, 0.85)) expect(group.length).toBeLessThan(4);
  });
});

describe("patterns", () => {
  it("want every common word, in any order, as whole words", () => {
    const pattern = patternOf(["checkout", "down"]);
    for (const yes of ["is checkout down?", "Down: CHECKOUT", "checkout\ndown"]) expect(fits(pattern, yes)).toBe(true);
    for (const no of ["checkout", "checkouts down", "checkout downtime", "mycheckout down"])
      expect(fits(pattern, no)).toBe(false);
    expect(fits(patternOf(["status"]), "Status?")).toBe(true);
    expect(fits(patternOf(["status"]), "status of checkout")).toBe(false);
  });

  it("escape what has a meaning in a pattern, and stay linear on long texts", () => {
    const pattern = patternOf(["a.b", "c/d-e"]);
    expect(fits(pattern, "a.b c/d-e")).toBe(true);
    expect(fits(pattern, "axb c/d-e")).toBe(false);
    const began = Date.now();
    expect(fits(patternOf(["aa", "ab", "zz"]), "a".repeat(200_000))).toBe(false);
    expect(Date.now() - began).toBeLessThan(2_000);
  });

  it("match three quarters of the group they are made of, at least", () => {
    fc.assert(
      fc.property(fc.array(sentence, { minLength: 5, maxLength: 12 }), (texts) => {
        const words = commonTokens(texts);
        expect(words.length).toBeLessThanOrEqual(3);
        for (const w of words)
          expect(texts.filter((t) => tokens(t).includes(w)).length).toBeGreaterThanOrEqual(0.75 * texts.length);
        if (words.length === 1) return;
        for (const t of texts)
          if (words.every((w) => tokens(t).includes(w))) expect(fits(patternOf(words), t)).toBe(true);
      }),
    );
  });
});

const investigated = (n: number, more: Partial<Investigated> = {}): Investigated[] =>
  Array.from({ length: n }, (_, i) => ({
    probe: "fly",
    category: "service_unhealthy",
    session_id: "probe:fly:service_unhealthy",
    incident_id: `I${i}`,
    wake_id: `W${i}`,
    summary: "machine stopped",
    ...more,
  }));

describe("probe_fix_envelopes", () => {
  it("needs three of one (probe, category); confidence is n / 6, at most 1", () => {
    expect(proposeFixes(investigated(2))).toEqual([]);
    expect(proposeFixes([...investigated(2), ...investigated(2, { category: "unreachable" })])).toEqual([]);
    expect(proposeFixes(investigated(3))[0]).toMatchObject({ cluster_size: 3, confidence: 0.5 });
    expect(proposeFixes(investigated(6))[0]!.confidence).toBe(1);
    expect(proposeFixes(investigated(40))[0]!.confidence).toBe(1);
  });

  it("names the declared fix or a placeholder, three samples, the commonest first 240 characters", () => {
    const [fly] = proposeFixes([
      ...investigated(3, { summary: "x".repeat(300) }),
      ...investigated(2, { summary: "other" }),
    ]);
    expect(fly!.vocabulary).toMatchObject({ fix_name: "restart_unhealthy_machine", summary: "x".repeat(240) });
    expect(fly!.facts["incidents"]).toHaveLength(3);
    const [vercel] = proposeFixes(investigated(3, { probe: "vercel", category: "schema_drift" }));
    expect(vercel!.vocabulary["fix_name"]).toBe("proposed_vercel_schema_drift");
  });

  it("calls a blast radius low only for one machine of fly that is down", () => {
    const level = (probe: string, category: string) =>
      proposeFixes(investigated(3, { probe, category }))[0]!.vocabulary["blast_radius"];
    expect(level("fly", "single_machine_not_started")).toBe("low");
    expect(level("fly", "machine_down")).toBe("low");
    expect(level("fly", "service_unhealthy")).toBe("high");
    expect(level("vercel", "machine_down")).toBe("high");
  });

  it("does not depend on the order of the rows", () => {
    const row = fc.record({
      probe: fc.constantFrom("fly", "vercel"),
      category: fc.constantFrom("unreachable", "service_unhealthy"),
      session_id: fc.constant(null),
      incident_id: fc.constantFrom("I1", "I2", "I3", "I4"),
      wake_id: fc.constant(null),
      summary: fc.constantFrom("one", "two", ""),
    });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 20 }), fc.integer(), (rows, seed) => {
        expect(proposeFixes(shuffled(rows, seed))).toEqual(proposeFixes(rows));
      }),
    );
  });
});

const asked = (question: string, text = "Nothing is down. 4 of 4 OK.", intent: string | null = null): Answered => ({
  question,
  text,
  intent,
});

describe("phrasebook", () => {
  const five = ["down in prod?", "is prod down", "prod down?", "Prod: down?", "down prod"].map((q) => asked(q));

  it("needs five like questions of which three quarters got the same answer", () => {
    const same = Array.from({ length: 4 }, () => asked("is prod down"));
    expect(proposePhrases(same)).toEqual([]);
    expect(proposePhrases([...same, asked("is prod down")])).toHaveLength(1);
    const answers = (n: number, of: number) =>
      Array.from({ length: of }, (_, i) =>
        asked("is prod down", i < n ? undefined : `entirely other words ${i} each time`),
      );
    expect(proposePhrases(answers(5, 8))).toEqual([]);
    expect(proposePhrases(answers(6, 8))).toHaveLength(1);
  });

  it("proposes the common words, the commonest reply and the agent's own category", () => {
    const [found] = proposePhrases(Array.from({ length: 6 }, (_, i) => asked(i % 2 ? "prod down?" : "down prod")));
    expect(found).toMatchObject({
      cluster: '["down","prod"]',
      cluster_size: 6,
      confidence: 0.6,
      vocabulary: { tokens: ["down", "prod"], template: "Nothing is down. 4 of 4 OK.", category: "overall" },
    });
    expect(fits(String(found!.vocabulary["pattern"]), "is prod down again?")).toBe(true);
    const named = proposePhrases(Array.from({ length: 5 }, () => asked("prod down?", "ok", "status")));
    expect(named[0]!.vocabulary["category"]).toBe("status");
  });

  it("has the same findings for the same rows in any order, and its own questions are one cluster", () => {
    fc.assert(
      fc.property(fc.array(sentence, { maxLength: 24 }), fc.integer(), (questions, seed) => {
        const rows = questions.map((q) => asked(q));
        expect(proposePhrases(shuffled(rows, seed)).sort(byCluster)).toEqual(proposePhrases(rows).sort(byCluster));
      }),
    );
    expect(proposePhrases(five).length).toBeLessThanOrEqual(1);
  });
});

const byCluster = (a: { cluster: string }, b: { cluster: string }): number => (a.cluster < b.cluster ? -1 : 1);

describe("email_intent", () => {
  it("needs five like mails, and gives away no sentence of them", () => {
    const mails = (n: number) =>
      Array.from({ length: n }, (_, i) => `please send me the nightly backup report ${"abcdef"[i]}`);
    expect(proposeIntents(mails(4))).toEqual([]);
    const [found] = proposeIntents(mails(5));
    expect(found!.vocabulary["tokens"]).toEqual(["backup", "nightly", "report"]);
    expect(JSON.stringify(found)).not.toContain("please send");
  });
});

describe("snapshot_expand", () => {
  it("needs five calls of a tool no field backs; confidence is n / 10", () => {
    const rows = [
      { tool: "get_target", n: 5, routes: "slack_dm,mcp_tool" },
      { tool: "get_incident", n: 4, routes: "slack_dm" },
      { tool: "get_budget", n: 90, routes: "slack_dm" },
      { tool: "get_samples", n: 90, routes: "probe_investigation" },
      { tool: "mcp_docs_add", n: 30, routes: "slack_dm" },
    ];
    expect(proposeFields(rows).map((f) => [f.cluster, f.confidence])).toEqual([
      ["mcp_docs_add", 1],
      ["get_target", 0.5],
    ]);
    expect(proposeFields(rows)[1]!.vocabulary).toEqual({ field: "target", tool: "get_target" });
  });
});

describe("router_tuning", () => {
  const route = (calls: number, escalated: number) => [{ route: "slack_dm", calls, escalated, usd: 1 }];
  it("tightens at 20 calls and 40 %", () => {
    expect(proposeRouting(route(19, 19), [])).toEqual([]);
    expect(proposeRouting(route(20, 7), [])).toEqual([]);
    expect(proposeRouting(route(20, 8), [])[0]).toMatchObject({
      confidence: 0.5,
      vocabulary: { route: "slack_dm", review: "tighten_review" },
    });
  });
  it("loosens at three overrides by hand", () => {
    expect(proposeRouting([], [{ route: "slack_dm", n: 2 }])).toEqual([]);
    expect(proposeRouting(route(20, 8), [{ route: "slack_dm", n: 3 }]).map((f) => f.vocabulary["review"])).toEqual([
      "tighten_review",
      "loosen_review",
    ]);
  });
});

describe("tool_trimming", () => {
  it("lists what others used and a route with 20 calls never did", () => {
    const rows = [
      { route: "slack_dm", tool: "get_target", n: 20 },
      { route: "mcp_tool", tool: "get_target", n: 19 },
      { route: "mcp_tool", tool: "get_budget", n: 0 },
      { route: "email_inbound", tool: "search_audit", n: 1 },
    ];
    expect(proposeTrims(rows).map((f) => f.vocabulary)).toEqual([
      { route: "slack_dm", drop: ["get_budget", "search_audit"] },
    ]);
    expect(proposeTrims([{ route: "slack_dm", tool: "get_target", n: 90 }])).toEqual([]);
  });
});
